"""Order in which the objects of a plan are measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

Pixel = tuple[int, int]

AS_LISTED, NEAREST_NEXT = "as listed", "nearest next"
_WAYS = {"smallest first": 1.0, "largest first": -1.0}


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects to measure, in the order of a layer.

    Attributes
    ----------
    pixels
        One pixel `(row, column)` of the survey image for each object.
    properties
        Numeric properties of the objects by name, each of shape `(objects,)`; NaN if an
        object has none.
    """

    pixels: tuple[Pixel, ...]
    properties: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def distinct(self) -> Objects:
        """Return each pixel once, with the properties of its first object."""
        first = {pixel: n for n, pixel in reversed(list(enumerate(self.pixels)))}
        kept = sorted(first.values())
        return Objects(
            tuple(self.pixels[n] for n in kept),
            {name: values[kept] for name, values in self.properties.items()},
        )


def orders(objects: Objects) -> list[str]:
    """Return the names of all available orders."""
    return [AS_LISTED, NEAREST_NEXT, *(name for name, *_ in _by_property(objects))]


def ordered(
    objects: Objects,
    order: str,
    *,
    pixel_nm: tuple[float, float] = (1.0, 1.0),
    start: Pixel = (0, 0),
) -> tuple[Pixel, ...]:
    """Return the objects' pixels in an order; those without its property come last.

    Parameters
    ----------
    pixel_nm
        Height and width of a pixel, for distances.
    start
        Start of the path through the nearest neighbours.

    Raises
    ------
    ValueError
        If there is no such order.
    """
    if order == AS_LISTED:
        return objects.pixels
    if order == NEAREST_NEXT:
        return _nearest_next(objects.pixels, pixel_nm, start)
    for name, values, sign in _by_property(objects):
        if name == order:
            # NaN sorts to the end; equal values keep their order.
            places = np.argsort(sign * values, kind="stable")
            return tuple(objects.pixels[place] for place in places)
    raise ValueError(
        f"there is no order {order!r}; there are {', '.join(orders(objects))}"
    )


def _by_property(
    objects: Objects,
) -> Iterator[tuple[str, NDArray[np.float64], float]]:
    for name, values in objects.properties.items():
        for way, sign in _WAYS.items():
            yield f"{name}, {way}", values, sign


def _nearest_next(
    pixels: tuple[Pixel, ...], pixel_nm: tuple[float, float], start: Pixel
) -> tuple[Pixel, ...]:
    """Return the path from the start, always to the nearest remaining object."""
    places = np.array(pixels, dtype=float).reshape(-1, 2) * pixel_nm
    here = np.array(start) * np.array(pixel_nm)
    left = np.ones(len(pixels), dtype=bool)
    path = []
    for _ in pixels:
        distances = np.hypot(*(places - here).T)
        nearest = int(np.where(left, distances, np.inf).argmin())
        left[nearest] = False
        here = places[nearest]
        path.append(pixels[nearest])
    return tuple(path)
