"""Groups and arrays, in an HDF5 file or on a Tiled server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Node(Protocol):
    """A group or an array."""

    def names(self) -> list[str]:
        """Return the names in a group; none for an array."""

    def child(self, name: str) -> Node:
        """Return the child of that name in a group."""

    def values(self) -> NDArray[Any]:
        """Return the values of an array."""

    def attributes(self) -> dict[str, Any]:
        """Return the attributes stored with the values."""


class Hdf5Node:
    """A group or a dataset of h5py."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def names(self) -> list[str]:
        """Return the names in a group; none for a dataset."""
        return list(self._node) if hasattr(self._node, "keys") else []

    def child(self, name: str) -> Node:
        """Return the child of that name in a group."""
        return Hdf5Node(self._node[name])

    def values(self) -> NDArray[Any]:
        """Return the values of a dataset."""
        return np.asarray(self._node[()])

    def attributes(self) -> dict[str, Any]:
        """Return the attributes."""
        return dict(self._node.attrs)


class TiledNode:
    """A container or an array of a Tiled client."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def names(self) -> list[str]:
        """Return the names in a container; none for an array."""
        return list(self._node) if hasattr(self._node, "keys") else []

    def child(self, name: str) -> Node:
        """Return the child of that name in a container."""
        return TiledNode(self._node[name])

    def values(self) -> NDArray[Any]:
        """Return the values of an array."""
        return np.asarray(self._node.read())

    def attributes(self) -> dict[str, Any]:
        """Return the metadata."""
        return dict(self._node.metadata)
