"""Rules about spectra, aborting and disconnecting."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.instruments.base import (
    Aborted,
    OutOfRange,
    Unsupported,
)
from napari_hae.instruments.conformance.subject import (
    FIRST,
    NO_DETECTOR,
    SECOND,
    Subject,
    are_close,
    expect,
    expect_not_connected,
    is_same_place,
    must_raise,
    outside,
)
from napari_hae.types import BeamState, dose_electrons

if TYPE_CHECKING:
    from napari_hae.types import ProbePosition, Spectrum

_PATIENCE_S = 30


def one_spectrum(subject: Subject) -> None:
    """With the beam on a spectrum can be taken, and says where and how it was taken."""
    instrument = subject.instrument
    instrument.place_beam(FIRST)
    instrument.unblank()
    if subject.capabilities.blanker_can_be_read:
        beam = instrument.status().beam
        expect(beam is BeamState.ON, "the beam is on after unblank", f"it is {beam}")
    lit = subject.spectrum()
    instrument.blank()
    subject.expect_blanked("after blank")
    _expect_spectrum(subject, lit, FIRST)
    _expect_dose(subject, lit)
    before = lit.counts.copy()
    dark = subject.spectrum()
    rule = "a spectrum does not change when the next one is taken"
    expect(np.array_equal(lit.counts, before), rule, "its counts were overwritten")
    subject.expect_blanked("after a spectrum with the beam blanked")
    seen = f"{dark.counts.sum():g} counts, and {lit.counts.sum():g} with the beam on"
    is_dark = abs(float(dark.counts.sum())) <= abs(float(lit.counts.sum())) / 2
    expect(is_dark, "a spectrum with the beam blanked holds no signal", seen)


def _expect_spectrum(
    subject: Subject, spectrum: Spectrum, position: ProbePosition
) -> None:
    counts, size = spectrum.counts, (spectrum.energy.size,)
    rule = "a spectrum has one count per channel of its energy axis"
    expect(counts.shape == size, rule, f"{counts.shape} counts, {size} channels")
    rule = "the counts of a spectrum are float32"
    expect(counts.dtype == np.float32, rule, f"{counts.dtype}")
    wrong = int(np.count_nonzero(~np.isfinite(counts)))
    seen = f"{wrong} of {counts.size} are NaN or infinite"
    expect(wrong == 0, "the counts of a spectrum are finite", seen)
    rule = "the energy axis ascends"
    expect(spectrum.energy.dispersion_ev > 0, rule, f"{spectrum.energy}")
    rule = "a spectrum names the detector asked for"
    expect(spectrum.detector == subject.detector, rule, spectrum.detector)
    rule = f"a spectrum names its position {position}"
    expect(is_same_place(spectrum.position, position), rule, f"{spectrum.position}")
    rule = f"a spectrum names its exposure of {subject.exposure_s:g} s"
    same = are_close([spectrum.exposure_s], [subject.exposure_s])
    expect(same, rule, f"{spectrum.exposure_s:g} s")


def _expect_dose(subject: Subject, spectrum: Spectrum) -> None:
    current_pa = subject.capabilities.current_pa
    if current_pa is None:
        rule = "the dose of a spectrum is NaN where the current is unknown"
        expect(math.isnan(spectrum.dose_e), rule, f"{spectrum.dose_e:g} e⁻")
        return
    dose_e = dose_electrons(current_pa, subject.exposure_s)
    rule = f"the dose of a spectrum is current × exposure, {dose_e:g} e⁻"
    same = are_close([spectrum.dose_e], [dose_e])
    expect(same, rule, f"{spectrum.dose_e:g} e⁻")


def spectrum_refusals(subject: Subject) -> None:
    """A spectrum that cannot be had as asked is refused."""
    instrument, detector = subject.instrument, subject.detector
    instrument.place_beam(FIRST)
    with must_raise(Unsupported, "a spectrum with an unknown detector"):
        instrument.acquire_spectrum(NO_DETECTOR, subject.exposure_s)
    for wrong_s in outside(subject.capabilities.exposure_s):
        with must_raise(OutOfRange, f"a spectrum with an exposure of {wrong_s} s"):
            instrument.acquire_spectrum(detector, wrong_s)
    subject.expect_blanked("after a refused spectrum")


def several_spectra(subject: Subject) -> None:
    """Spectra at several positions, one after the other, each belong to their own."""
    instrument = subject.instrument
    for position in (FIRST, SECOND, FIRST):
        instrument.place_beam(position)
        instrument.unblank()
        spectrum = subject.spectrum()
        instrument.blank()
        subject.expect_blanked("after a spectrum and blank")
        _expect_spectrum(subject, spectrum, position)
        subject.expect_at(position, "its spectrum")


def aborting(subject: Subject) -> None:
    """An abort blanks at once, and holds until the beam is placed again."""
    instrument = subject.instrument
    instrument.place_beam(FIRST)
    instrument.unblank()
    instrument.abort()
    subject.expect_blanked("after abort")
    instrument.abort()
    for _ in range(2):
        with must_raise(Aborted, "a spectrum after place_beam and abort"):
            subject.spectrum()
    subject.expect_blanked("after an aborted spectrum")
    instrument.place_beam(SECOND)
    subject.expect_blanked("after abort and place_beam")
    _expect_spectrum(subject, subject.spectrum(), SECOND)


def aborting_from_another_thread(subject: Subject) -> None:
    """Any thread may abort."""
    instrument = subject.instrument
    instrument.place_beam(FIRST)
    instrument.unblank()
    _abort_elsewhere(subject)
    subject.expect_blanked("after abort from another thread")
    with must_raise(Aborted, "a spectrum after an abort from another thread"):
        subject.spectrum()
    shape = subject.capabilities.smallest_survey_shape
    detectors = subject.capabilities.survey_detectors
    instrument.acquire_survey(detectors, shape, subject.dwell_time_s)


def _abort_elsewhere(subject: Subject) -> None:
    failures: list[Exception] = []

    def abort() -> None:
        try:
            subject.instrument.abort()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=abort, name="conformance-abort", daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    rule = f"abort returns within {_PATIENCE_S} s in any thread"
    expect(not thread.is_alive(), rule, "it did not return")
    expect(not failures, "abort works in any thread", f"it raised {failures}")


def disconnecting(subject: Subject) -> None:
    """Disconnecting blanks, twice does no harm, and nothing answers afterwards."""
    instrument = subject.instrument
    instrument.place_beam(FIRST)
    instrument.unblank()
    instrument.disconnect()
    subject.expect_blanked("after disconnect")
    instrument.disconnect()
    status = instrument.status()
    rule = "status says not connected after disconnect"
    expect(not status.connected, rule, f"{status}")
    expect_not_connected(instrument, "after disconnect")
    instrument.abort()
    instrument.connect()
    subject.expect_blanked("after connecting again")


RULES = (
    one_spectrum,
    spectrum_refusals,
    several_spectra,
    aborting,
    aborting_from_another_thread,
)
LAST = (disconnecting,)
"""Rules that run after all others."""
