"""Finds the energy axis of a spectrum image, and calibrates its three axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.base import Unsupported
from napari_hae.instruments.delivered import why_no_axis
from napari_hae.types import EnergyAxis
from napari_hae.units import (
    ENERGY_UNITS,
    ev_per_unit,
    is_physical,
    nm_per_unit,
    unit_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


FEWEST_CHANNELS = 2
"""A band has two ends."""


@dataclass(frozen=True)
class SpectrumAxes:
    """The axes of a spectrum image.

    Attributes
    ----------
    energy_index
        The place of the energy axis in the array; rows and columns are the other two,
        in order.
    shape
        `(rows, columns)`.
    fov_nm
        `(height, width)`.
    notes
        Sentences on what the file leaves open and was assumed.
    """

    energy_index: int
    energy: EnergyAxis
    shape: tuple[int, int]
    fov_nm: tuple[float, float]
    notes: tuple[str, ...]


def axes_of(what: str, signal: Any, energy_axis: str = "") -> SpectrumAxes:
    """Return the axes of a three-dimensional HyperSpy signal.

    Parameters
    ----------
    what
        The signal, for messages.
    energy_axis
        The name of the energy axis, or its number from 1 in the order of the array.
        Default: the only axis whose unit is an energy, else the signal axis.

    Raises
    ------
    Unsupported
        If it is no spectrum image; the text says what is needed.
    """
    axes = _in_order(signal)
    index = (
        _named(what, axes, energy_axis) if energy_axis else _found(what, signal, axes)
    )
    notes: list[str] = []
    energy = _energy(what, axes[index], notes)
    rows, columns = (axis for axis in axes if axis is not axes[index])
    return SpectrumAxes(
        energy_index=index,
        energy=energy,
        shape=(rows.size, columns.size),
        fov_nm=_field(what, rows, columns, notes),
        notes=tuple(notes),
    )


def _in_order(signal: Any) -> list[Any]:
    """Return the three axes in the order of the array."""
    manager = signal.axes_manager
    axes = [*manager.navigation_axes, *manager.signal_axes]
    return sorted(axes, key=lambda axis: axis.index_in_array)


def _named(what: str, axes: Sequence[Any], wanted: str) -> int:
    names = [_name(axis) for axis in axes]
    if wanted.strip() in ("1", "2", "3"):
        return int(wanted) - 1
    matching = [
        index for index, name in enumerate(names) if name.lower() == wanted.lower()
    ]
    if len(matching) != 1:
        raise Unsupported(
            f"{what} has no single axis {wanted!r}: the setting instrument.energy_axis "
            f"takes a name or a number of {_numbered(axes)}"
        )
    return matching[0]


def _found(what: str, signal: Any, axes: Sequence[Any]) -> int:
    energies = [
        index
        for index, axis in enumerate(axes)
        if ev_per_unit(unit_text(axis)) is not None
    ]
    if len(energies) == 1:
        return energies[0]
    manager = signal.axes_manager
    is_spectral = (manager.navigation_dimension, manager.signal_dimension) == (2, 1)
    if is_spectral:
        marked = int(manager.signal_axes[0].index_in_array)
        if not energies or marked in energies:
            return marked
    raise Unsupported(
        f"{what} does not tell which of its axes is the energy: name it by the setting "
        f"instrument.energy_axis, as one of {_numbered(axes)}"
    )


def _energy(what: str, axis: Any, notes: list[str]) -> EnergyAxis:
    if not axis.is_uniform:
        raise Unsupported(
            f"the energy axis of {what} is not uniform; one with the same step "
            "between all channels is needed"
        )
    unit = unit_text(axis)
    per_unit = ev_per_unit(unit) if unit else 1.0
    if per_unit is None:
        raise Unsupported(
            f"the signal axis of {what} is in {unit}; an energy axis in "
            f"{ENERGY_UNITS} is needed"
        )
    if not (0 < axis.scale < math.inf and math.isfinite(axis.offset)):
        raise Unsupported(
            f"the energy axis of {what} starts at {axis.offset:g} {unit} with a "
            f"step of {axis.scale:g} {unit}; a step above 0 is needed"
        )
    if not unit:
        is_bare = (axis.scale, axis.offset) == (1, 0)
        notes.append(
            f"the energy axis of {what} has no unit: "
            + (
                "its channel numbers are taken as eV"
                if is_bare
                else f"it is taken to be in eV, from {axis.offset:g} eV in steps of "
                f"{axis.scale:g} eV"
            )
        )
    energy = EnergyAxis(axis.offset * per_unit, axis.scale * per_unit, axis.size)
    if energy.size < FEWEST_CHANNELS:
        raise Unsupported(
            f"{what} has {axis.size} channel along its energy axis, and a spectrum "
            f"needs {FEWEST_CHANNELS} at least"
        )
    if why := why_no_axis(energy):
        raise Unsupported(f"{what} cannot be replayed: {why}")
    return energy


def _field(what: str, rows: Any, columns: Any, notes: list[str]) -> tuple[float, float]:
    """Return the field of view `(height, width)` in nm."""
    steps = [_step_nm(what, axis) for axis in (rows, columns)]
    for index, (axis, other) in enumerate(((rows, columns), (columns, rows))):
        if steps[index] is not None:
            continue
        steps[index], assumed = _assumed_step_nm(axis, other, steps[1 - index])
        notes.append(
            f"{what} has no scale for {_name(axis)} (step {axis.scale:g}, unit "
            f"{unit_text(axis) or 'none'}): {assumed}"
        )
    height, width = (
        float(abs(step or 1.0) * axis.size)
        for step, axis in zip(steps, (rows, columns), strict=True)
    )
    return height, width


def _step_nm(what: str, axis: Any) -> float | None:
    """Return the size of a pixel along an axis; None where the file does not tell."""
    if not axis.is_uniform:
        raise Unsupported(
            f"the pixels of {what} are not evenly spaced along {_name(axis)}; that is "
            "needed"
        )
    unit = unit_text(axis)
    per_unit = nm_per_unit(unit)
    if per_unit is None and is_physical(unit):
        raise Unsupported(
            f"the axis {_name(axis)} of {what} is in {unit}; a length, such as nm or "
            "µm, is needed"
        )
    if per_unit is None or not math.isfinite(axis.scale) or axis.scale == 0:
        return None
    return float(axis.scale * per_unit)


def _assumed_step_nm(
    axis: Any, other: Any, other_step_nm: float | None
) -> tuple[float, str]:
    """Return the size of a pixel that is assumed, and what that is."""
    per_unit = nm_per_unit(unit_text(other))
    if other_step_nm is None or per_unit is None:
        return 1.0, "1 nm per pixel is taken"
    # A scale of 1 is what an axis has that nobody calibrated.
    is_calibrated = math.isfinite(axis.scale) and axis.scale not in (0, 1)
    if is_calibrated and not unit_text(axis):
        step_nm = axis.scale * per_unit
        return step_nm, f"the unit of {_name(other)} is taken, {step_nm:g} nm per pixel"
    return other_step_nm, (
        f"square pixels are taken, {abs(other_step_nm):g} nm as along {_name(other)}"
    )


def _name(axis: Any) -> str:
    """Return the name of an axis; its number in the array where it has none."""
    name = axis.name if isinstance(axis.name, str) else "None"
    return str(axis.index_in_array + 1) if name in ("", "None") else name


def _numbered(axes: Sequence[Any]) -> str:
    return ", ".join(
        f"{index} ({_name(axis)}, {axis.size}, {unit_text(axis) or 'no unit'})"
        for index, axis in enumerate(axes, start=1)
    )
