"""Places are told in nm, in messages and in the journal, never in parts of a field."""

from __future__ import annotations

import re

import pytest

from fakes import FakeInstrument, FakeSettings
from lab import Lab, column_region, experiment, run
from napari_hae.coordinates import FieldFrame, place_text
from napari_hae.experiment.finer import finer_frame
from napari_hae.experiment.journal_events import BookedEvent
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.settings import Budget, DriftSettings
from napari_hae.experiment.stored import open_run
from napari_hae.instruments.base import (
    ForbiddenPosition,
    InstrumentError,
    LocalDoseExceeded,
    OutOfRange,
)
from napari_hae.instruments.dose import DoseLimits
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.regions.allowed_field import AllowedField
from napari_hae.regions.regions import Regions
from napari_hae.types import Area, ProbePosition

HERE = ProbePosition(x=0.8047, y=0.0922)
IN_NM = "(x = 64.4 nm, y = 7.38 nm)"
PARTS = re.compile(r"[xy] ?= ?0?\.\d{3,}(?! nm)")
"""What is told of a place as a part of the field."""


@pytest.fixture
def gate() -> GuardedInstrument:
    """A gate whose field is 80 nm × 80 nm, with columns that are closed."""
    gate = GuardedInstrument(FakeInstrument(FakeSettings(scans_areas=True)))
    gate.connect()
    frame = FieldFrame((8, 8), (80.0, 80.0))
    zone = column_region("beside", 5, 6, 7)
    gate.set_constraint(AllowedField(frame, Regions(forbidden=(zone,))))
    return gate


@pytest.mark.parametrize(
    ("where", "field_nm", "words"),
    [
        (HERE, (80.0, 80.0), IN_NM),
        (ProbePosition(x=0.5, y=1.2), (2000.0, 100.0), "(x = 50.0 nm, y = 2400 nm)"),
        (ProbePosition(x=0.0, y=1e-6), (10.0, 10.0), "(x = 0 nm, y = 0 nm)"),
        (
            Area(0.25, 0.5, 0.5, 1.0),
            (80.0, 800.0),
            "(x = 200–400 nm, y = 40.0–80.0 nm)",
        ),
    ],
)
def test_a_place_is_told_in_nm_with_three_digits(where, field_nm, words):
    assert place_text(where, field_nm) == words


def test_what_the_gate_refuses_it_tells_in_nm(gate):
    refused = re.escape(f"{IN_NM} lies in the forbidden zone 'beside'")
    with pytest.raises(ForbiddenPosition, match=refused):
        gate.place_beam(HERE)
    outside = re.escape("(x = 96.0 nm, y = 40.0 nm) is not inside the field of view")
    with pytest.raises(OutOfRange, match=outside):
        gate.place_beam(ProbePosition(x=1.2, y=0.5))
    part = re.escape("a survey image of (x = 40.0–80.0 nm, y = 0–80.0 nm) would expose")
    with pytest.raises(ForbiddenPosition, match=part):
        gate.acquire_survey(["HAADF"], (8, 8), 1e-5, Area(0.5, 0.0, 1.0, 1.0))


def test_a_dose_that_is_too_much_at_a_place_is_told_in_nm(gate):
    gate.begin_run()
    one_e = 0.1 * 10e-12 / 1.602e-19
    gate.limit_dose(DoseLimits(point_e=1.5 * one_e))
    gate.place_beam(ProbePosition(x=0.1, y=0.25))
    gate.acquire_spectrum("EELS", 0.1)
    told = re.escape("(x = 8.00 nm, y = 20.0 nm) would take")
    with pytest.raises(LocalDoseExceeded, match=told):
        gate.acquire_spectrum("EELS", 0.1)


def test_a_finer_image_that_is_none_is_told_in_nm(gate):
    frame = FieldFrame((8, 8), (80.0, 80.0))
    with pytest.raises(ValueError, match=re.escape("(x = 0–80.0 nm, y = 0–79.9 nm)")):
        finer_frame(frame, Area(0, 0, 1, 0.999), gate.capabilities())


def test_the_journal_tells_places_in_nm(tmp_path):
    lab = Lab(tmp_path)
    failed = []

    def fail_once(_):
        if len(lab.bare.beam.exposed) == 3 and not failed:
            failed.append(True)
            raise InstrumentError("the detector is off")

    lab.bare.during_exposure = fail_once
    runner = lab.runner(experiment(budget=Budget(steps=6)))
    runner.events.measured.connect(
        lambda _: runner.configure(drift=DriftSettings(fiducial=(0.125, 0.25, 0.5, 1)))
    )
    run(runner)
    journal = open_run(runner.record.path).journal
    told = [sentence(event) for event in journal]
    (booked,) = [text for text in told if "came to nothing" in text]
    assert re.search(r"of 0.1 s at \(x = \d+\.\d+ nm, y = \d+\.\d+ nm\) came", booked)
    assert any("chose a fiducial region" in text for text in told)
    assert not [text for text in told if PARTS.search(text)]
    # Records of earlier versions do not say in which field it was.
    (event,) = [event for event in journal if isinstance(event, BookedEvent)]
    older = event.model_copy(update={"field_nm": None})
    assert "of 0.1 s came to nothing" in sentence(older)
