"""Pyro5, imported late and set up once: msgpack, and no waiting for full packets."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from napari_hae.instruments.base import Unsupported

SERIALIZER = "msgpack"


@cache
def pyro() -> Any:
    """The module `Pyro5.api`.

    Raises
    ------
    Unsupported
        If the extra `remote` is not installed.
    """
    try:
        import msgpack  # noqa: F401  Pyro5 does without it, and this bridge does not.
        import Pyro5.api
        import Pyro5.errors
    except ImportError as error:
        raise Unsupported(
            f"a remote microscope needs Pyro5 and msgpack ({error}): "
            'pip install "napari-hae[remote]"'
        ) from error
    Pyro5.config.SOCK_NODELAY = True
    # Its words are for programmers; what fails is told in this package's own.
    logging.getLogger("Pyro5").setLevel(logging.CRITICAL)
    return Pyro5.api


def pyro_errors() -> Any:
    """The module `Pyro5.errors`. Raises `Unsupported` like `pyro`."""
    pyro()
    import Pyro5.errors

    return Pyro5.errors
