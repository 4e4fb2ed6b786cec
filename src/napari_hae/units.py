"""Units of length and energy as files write them, understood by pint."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

ENERGY_UNITS = "meV, eV, keV, MeV"
"""Units of an energy axis, for messages."""
_LENGTHS = ("meter", "angstrom", "micron")
_ENERGIES = ("electron_volt", "joule")
_LONGEST = 40
_CASES = {"ev": "eV", "kev": "keV"}
"""Common spellings in the wrong case; of meV and MeV the case decides."""


def unit_text(axis: Any) -> str:
    """Return the unit of a HyperSpy axis; empty if none is defined."""
    text = axis.units.strip().strip("$").strip() if isinstance(axis.units, str) else ""
    return "" if text in ("<undefined>", "[]") else text


def nm_per_unit(text: str) -> float | None:
    """Return the length of a unit in nm; None if it is not a length, such as pixels."""
    return _factor(text, "nm", _LENGTHS)


def ev_per_unit(text: str) -> float | None:
    """Return the energy of a unit in eV; None if it is not an energy."""
    return _factor(text, "eV", _ENERGIES)


def is_physical(text: str) -> bool:
    """Return whether a unit has a dimension, be it length, time or their inverse.

    Units that only count something, such as pixels, have none.
    """
    unit = _parsed(text)
    if unit is None or unit.dimensionless:
        return False
    # pint knows the pixel and the point of printers.
    is_printed = any(name in str(unit) for name in ("pixel", "point", "dot"))
    return not is_printed


def _factor(text: str, wanted: str, names: tuple[str, ...]) -> float | None:
    unit = _parsed(text)
    # The lengths of pixels and points of printers are none of a sample.
    if unit is None or not str(unit).endswith(names):
        return None
    registry = _registry()
    if unit.dimensionality != registry.parse_units(wanted).dimensionality:
        return None
    factor = registry.Quantity(1.0, unit).to(wanted).magnitude
    # A micron comes as 999.9999999999999 nm.
    return float(f"{factor:.12g}")


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """Return the unit as parsed by pint; None if it is unknown."""
    if not text or len(text) > _LONGEST:
        return None
    # As it is written before in lower case: mm is no Mm. But EV is no exavolt.
    for spelling in (_CASES.get(text.lower(), text), text.lower()):
        try:
            return _registry().parse_units(spelling)
        # What is no unit fails in its parser in many ways.
        except Exception:
            continue
    return None


@cache
def _registry() -> Any:
    # Of its own: what other packages do to the shared one must not change units.
    import pint

    return pint.UnitRegistry()
