"""A Tiled server, with readable errors."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_hae.instruments.asyncroscopy.device import INSTALL
from napari_hae.instruments.asyncroscopy.nodes import Node, TiledNode
from napari_hae.instruments.base import InstrumentError, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENTER = "enter its API key in the instrument's settings"


class TiledServer:
    """A connection to a Tiled server.

    Parameters
    ----------
    uri
        Its address, for example `http://microscope:9091`.
    api_key
        Empty: that of the environment variable TILED_API_KEY.
    timeout_s
        Longest time for an answer.

    Raises
    ------
    Unsupported
        If the client of Tiled is not installed.
    InstrumentError
        If it does not answer, or does not take the key.
    """

    def __init__(self, uri: str, api_key: str, timeout_s: float) -> None:
        self.uri = uri
        try:
            import httpx
            from tiled.client.constructors import from_context
            from tiled.client.context import Context
        except ImportError as error:
            raise Unsupported(
                f"the data are on a Tiled server, and its client is missing: {INSTALL}"
            ) from error
        self._httpx = httpx
        key = api_key or os.environ.get("TILED_API_KEY")
        with self._in_words("connecting"):
            # Tiled's client tries for most of a minute where nothing answers.
            httpx.get(uri, timeout=timeout_s, follow_redirects=True)
            limit = httpx.Timeout(timeout_s)
            context, path = Context.from_any_uri(uri, api_key=key, timeout=limit)
            self._connection = context.http_client
            try:
                # Its client would ask for a password in the terminal.
                if context.server_info.authentication.required and not key:
                    raise InstrumentError(
                        f"the Tiled server {uri} wants an API key: {_ENTER}"
                    )
                self._client = from_context(context, node_path_parts=path)
            except BaseException:
                self.close()
                raise

    @contextmanager
    def opened(self, key: str) -> Iterator[Node]:
        """Return the entry of a key.

        Raises
        ------
        InstrumentError
            If there is nothing of that key, or the server fails.
        """
        with self._in_words(key):
            try:
                node = self._client[key]
            except KeyError as error:
                raise InstrumentError(
                    f"the Tiled server {self.uri} has nothing of the key {key!r}"
                ) from error
            yield TiledNode(node)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def _in_words(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._httpx.HTTPStatusError as error:
            hint = ""
            if error.response.status_code in (401, 403):
                hint = f"; {_ENTER}"
            raise InstrumentError(
                f"the Tiled server {self.uri} refused {what}: {error}{hint}"
            ) from error
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            raise InstrumentError(
                f"the Tiled server {self.uri} does not answer ({what}): {error}"
            ) from error
