"""Groups and arrays, in an HDF5 file or on a Tiled server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Node(Protocol):
    """A group or an array."""

    def names(self) -> list[str]:
        """The names in a group; none for an array."""

    def child(self, name: str) -> Node:
        """What has that name in a group."""

    def values(self) -> NDArray[Any]:
        """The values of an array."""

    def attributes(self) -> dict[str, Any]:
        """What is written beside the values."""


class Hdf5Node:
    """A group or a dataset of h5py."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def names(self) -> list[str]:
        """The names in a group; none for a dataset."""
        return list(self._node) if hasattr(self._node, "keys") else []

    def child(self, name: str) -> Node:
        """What has that name in a group."""
        return Hdf5Node(self._node[name])

    def values(self) -> NDArray[Any]:
        """The values of a dataset."""
        return np.asarray(self._node[()])

    def attributes(self) -> dict[str, Any]:
        """The attributes."""
        return dict(self._node.attrs)


class TiledNode:
    """A container or an array of a Tiled client."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def names(self) -> list[str]:
        """The names in a container; none for an array."""
        return list(self._node) if hasattr(self._node, "keys") else []

    def child(self, name: str) -> Node:
        """What has that name in a container."""
        return TiledNode(self._node[name])

    def values(self) -> NDArray[Any]:
        """The values of an array."""
        return np.asarray(self._node.read())

    def attributes(self) -> dict[str, Any]:
        """The metadata."""
        return dict(self._node.metadata)
