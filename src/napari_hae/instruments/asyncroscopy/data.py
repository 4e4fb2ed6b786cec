"""Images and spectra, by the key in the microscope's answer."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.asyncroscopy.device import INSTALL
from napari_hae.instruments.asyncroscopy.nodes import Hdf5Node
from napari_hae.instruments.asyncroscopy.tiled_server import TiledServer
from napari_hae.instruments.base import InstrumentError, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_hae.instruments.asyncroscopy.nodes import Node
    from napari_hae.instruments.asyncroscopy.settings import AsyncroscopySettings


class Data:
    """Reader of the data behind a key: an HDF5 file, or an entry of a Tiled server.

    Parameters
    ----------
    settings
        With the address of the Tiled server, if there is one, and the data folder.

    Raises
    ------
    InstrumentError
        If a Tiled server is named and cannot be used.
    """

    def __init__(self, settings: AsyncroscopySettings) -> None:
        self._folder = settings.data_folder
        uri = settings.tiled_uri or os.environ.get("ASYNCROSCOPY_TILED_URI", "")
        self._tiled: TiledServer | None = None
        if uri:
            key = settings.tiled_api_key.get_secret_value()
            self._tiled = TiledServer(uri, key, settings.margin_s)

    def images(self, key: str, detectors: Sequence[str]) -> list[NDArray[Any]]:
        """Return the image of each detector.

        Raises
        ------
        InstrumentError
            If the key leads nowhere, or an image is missing there.
        """
        with self._opened(key) as root:
            node = _child(root, "image", key)
            if not node.names() and len(detectors) == 1:
                return [node.values()]
            return [_child(node, name, key).values() for name in detectors]

    def spectrum(self, key: str) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return the counts and their attributes. Raises as `images` does."""
        with self._opened(key) as root:
            node = _child(root, "spectrum", key)
            return node.values(), node.attributes()

    def close(self) -> None:
        """Close the connection to the Tiled server."""
        if self._tiled is not None:
            self._tiled.close()

    @contextmanager
    def _opened(self, key: str) -> Iterator[Node]:
        if key.startswith("["):
            raise InstrumentError(
                f"the microscope wrote other files than HDF5: {key}; set "
                "output_format of its scan device to .h5"
            )
        file = self._file(key)
        if file is not None:
            with _opened_file(file) as node:
                yield node
        elif self._tiled is not None:
            with self._tiled.opened(key) as node:
                yield node
        else:
            raise InstrumentError(
                f"the microscope answered with {key!r}, which is no file on this "
                "computer: enter the data folder as it is seen here, or the address of "
                "the Tiled server"
            )

    def _file(self, key: str) -> Path | None:
        """Return the file of a key; None if it has none here, as a key of Tiled."""
        # The microscope's computer may run Windows and this one not.
        name = PureWindowsPath(key).name
        candidates = [Path(key)]
        if self._folder:
            candidates.append(Path(self._folder).expanduser() / name)
        return next((path for path in candidates if path.is_file()), None)


@contextmanager
def _opened_file(file: Path) -> Iterator[Node]:
    try:
        import h5py
    except ImportError as error:
        raise Unsupported(
            f"the data are in an HDF5 file, and h5py is missing: {INSTALL}"
        ) from error
    try:
        opened = h5py.File(file, "r")
    except OSError as error:
        raise InstrumentError(f"{file} cannot be read: {error}") from error
    with opened:
        yield Hdf5Node(opened)


def _child(node: Node, name: str, key: str) -> Node:
    """Return a child by its name, whatever its case, with - or _."""
    names = node.names()
    for known in names:
        if _plain(known) == _plain(name):
            return node.child(known)
    raise InstrumentError(
        f"there is no {name!r} in {key!r}; there is: {', '.join(names) or 'nothing'}"
    )


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")
