"""Handling of impossible numbers and names reported by an instrument."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.instruments.base import InstrumentError
from napari_hae.types import LARGEST, EnergyAxis, ProbePosition

if TYPE_CHECKING:
    from napari_hae.instruments.base import Capabilities
    from napari_hae.types import Spectrum

LARGEST_PA = 1e12
"""No beam current is larger: one ampere."""


def with_credible_values(spectrum: Spectrum, known: Spectrum) -> tuple[Spectrum, str]:
    """Return the spectrum with impossible values replaced by known ones.

    Parameters
    ----------
    spectrum
        As the instrument delivers it.
    known
        What was ordered and booked, and the axis that the detector is said to have.

    Returns also which values were replaced, in one sentence; empty if none.

    Raises
    ------
    InstrumentError
        If neither the spectrum nor its detector has an energy axis.
    """
    dose_e = spectrum.dose_e
    is_credible = {
        "energy": _is_axis(spectrum.energy),
        "detector": _is_name(spectrum.detector),
        "position": _is_place(spectrum.position),
        "exposure_s": _is_number(spectrum.exposure_s) and spectrum.exposure_s > 0,
        # A dose that is not known is NaN.
        "dose_e": _is_real(dose_e) and bool(np.isnan(dose_e) or 0 <= dose_e <= LARGEST),
    }
    wrong = [name for name, is_right in is_credible.items() if not is_right]
    if not wrong:
        return spectrum, ""
    if "energy" in wrong and not _is_axis(known.energy):
        raise InstrumentError(
            f"the detector {known.detector!r} gave a spectrum with the energy axis "
            f"{_in_short(spectrum.energy)}: offset and dispersion must be numbers, and "
            "the dispersion not 0"
        )
    said = ", ".join(f"{each} {_in_short(getattr(spectrum, each))}" for each in wrong)
    text = (
        f"The instrument says of a spectrum what cannot be ({said}); what was ordered "
        "and booked, and the axis of the detector, are noted instead."
    )
    right: dict[str, Any] = {each: getattr(known, each) for each in wrong}
    return replace(spectrum, **right), text


def with_credible_current(able: Capabilities) -> Capabilities:
    """Return the capabilities; an impossible beam current counts as unknown."""
    current_pa = able.current_pa
    if current_pa is None or (_is_real(current_pa) and not current_pa > LARGEST_PA):
        return able
    note = (
        f"The instrument says a beam current of {_in_short(current_pa)} pA, which "
        "cannot be: the current counts as unknown."
    )
    return replace(able, current_pa=None, notes=(*able.notes, note))


def _is_axis(axis: object) -> bool:
    if not isinstance(axis, EnergyAxis):
        return False
    numbers = axis.offset_ev, axis.dispersion_ev
    return all(map(_is_number, numbers)) and axis.dispersion_ev != 0


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isprintable()


def _is_place(place: object) -> bool:
    """Return whether it has two coordinates; the caller that placed it checks them."""
    return isinstance(place, ProbePosition) and _is_real(place.x) and _is_real(place.y)


def _is_number(value: Any) -> bool:
    """Return whether it is a number that a record can hold."""
    return _is_real(value) and bool(abs(value) <= LARGEST)


def _is_real(value: object) -> bool:
    kinds = int, float, np.integer, np.floating
    return isinstance(value, kinds) and not isinstance(value, bool)


def _in_short(value: object) -> str:
    if isinstance(value, EnergyAxis):
        return f"{value.offset_ev} eV + {value.dispersion_ev} eV per channel"
    return repr(value)[:40]
