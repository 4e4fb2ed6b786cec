"""The rules that every instrument obeys, as a test that anyone can run on their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.instruments.base import Instrument
from napari_hae.instruments.conformance import (
    interruption_rules,
    setup_rules,
    signal_rules,
    spectrum_rules,
)
from napari_hae.instruments.conformance.subject import ConformanceError, Subject, named

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ConformanceError", "check_instrument"]

_RULES = (
    *setup_rules.RULES,
    *spectrum_rules.RULES,
    *signal_rules.RULES,
    *interruption_rules.RULES,
    *spectrum_rules.LAST,
)


def check_instrument(
    instrument: Instrument,
    *,
    exposure_s: float | None = None,
    dwell_time_s: float | None = None,
    picture: Path | None = None,
) -> None:
    """Check that an instrument keeps every promise of `Instrument`.

    It connects, takes a few survey images and about 150 spectra, interrupts
    exposures and scans of 2 s, and leaves the instrument blanked and disconnected. Run
    it on an instrument that may be used freely, and on a sample with structure: whether
    image and probe have the same directions can be seen only where they show something.

    Parameters
    ----------
    instrument
        The instrument, not yet connected.
    exposure_s
        Exposure of the spectra in s; about 10 ms where None.
    dwell_time_s
        Dwell time of the survey images in s; about 1 µs where None.

    picture
        Path of a PNG for visual inspection of what no code can verify: whether the
        image shows the sample as the microscope has it, and whether spectra change
        where it does. None: no picture.

    Raises
    ------
    ConformanceError
        At the first rule that is broken.
    """
    subject = Subject(instrument, exposure_s, dwell_time_s, picture)
    try:
        for rule in _RULES:
            try:
                rule(subject)
            except ConformanceError:
                raise
            except Exception as error:
                raise ConformanceError(
                    f"{rule.__doc__} Instead it raised {named(error)}"
                ) from error
    finally:
        _leave_safe(instrument)


def _leave_safe(instrument: Instrument) -> None:
    if not (isinstance(instrument, Instrument) and instrument.status().connected):
        return
    try:
        instrument.blank()
    finally:
        instrument.disconnect()
