"""Looks at a server without taking its microscope."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_hae.instruments.bridge.line import Line

if TYPE_CHECKING:
    from napari_hae.instruments.base import Status
    from napari_hae.instruments.bridge.settings import RemoteSettings


@dataclass(frozen=True)
class ServerState:
    """What a server says of itself.

    Attributes
    ----------
    title
        What its instrument is called.
    version
        Of napari-hae there.
    owner
        Who has the microscope, and since when; empty if nobody has.
    status
        The state of the microscope; not connected while nobody has it.
    """

    title: str
    version: str
    owner: str
    status: Status


def look(settings: RemoteSettings) -> ServerState:
    """The state of a server, whoever has its microscope.

    Raises
    ------
    NotConnected
        If the server cannot be reached or does not let this side in.
    ValueError
        If there is no token.
    """
    session, timeout_s = uuid.uuid4().hex, settings.connect_timeout_s
    where = (settings.host, settings.port, settings.secret())
    line = Line(*where, session, session, timeout_s)
    try:
        reply = line.call("hello", timeout_s=timeout_s)
    finally:
        line.cut()
    about = json.loads(reply.value)
    return ServerState(about["title"], about["version"], about["owner"], reply.status)
