"""The conformance check accepts what obeys the rules and names a broken rule."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

import broken_instruments
from napari_hae.instruments.conformance import ConformanceError, check_instrument
from napari_hae.instruments.simulated import SimulatedMicroscope, SimulatedSettings
from napari_hae.types import BeamState

SETTINGS = SimulatedSettings(shape=(32, 32), particles=3)
REALTIME = SETTINGS.model_copy(update={"realtime": True})


def test_the_simulated_microscope_conforms_and_is_left_safe():
    microscope = SimulatedMicroscope(SETTINGS)

    check_instrument(microscope)

    assert not microscope.status().connected
    assert microscope.status().beam is BeamState.BLANKED


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (48, 32), "dead_time_s": 1e-4},
        {"counting_noise": False, "drift_x_nm_per_s": 3, "random_walk_nm": 2},
        {"damage_dose_e_per_nm2": 1e5, "contamination_dose_e_per_nm2": 1e5},
    ],
)
def test_it_conforms_with_its_imperfections(changes):
    check_instrument(SimulatedMicroscope(SETTINGS.model_copy(update=changes)))


def test_the_callers_exposure_and_dwell_time_are_used():
    seen = []

    class Watched(SimulatedMicroscope):
        def acquire_survey(self, detectors, shape, dwell_time_s, *area):
            seen.append(dwell_time_s)
            return super().acquire_survey(detectors, shape, dwell_time_s, *area)

        def acquire_spectrum(self, detector, exposure_s):
            seen.append(exposure_s)
            return super().acquire_spectrum(detector, exposure_s)

    check_instrument(Watched(SETTINGS), exposure_s=0.125, dwell_time_s=3e-6)

    assert {0.125, 3e-6} <= set(seen)


def test_an_instrument_that_cannot_read_its_blanker_conforms():
    class Blind(SimulatedMicroscope):
        def capabilities(self):
            return replace(super().capabilities(), blanker_can_be_read=False)

        def status(self):
            return replace(super().status(), beam=BeamState.UNVERIFIED)

    check_instrument(Blind(SETTINGS))


def test_an_instrument_that_can_read_its_blanker_must_do_so():
    class Vague(SimulatedMicroscope):
        def status(self):
            return replace(super().status(), beam=BeamState.UNVERIFIED)

    with pytest.raises(ConformanceError, match="blanked after connect"):
        check_instrument(Vague(SETTINGS))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (broken_instruments.Nameless, "the title is text"),
        (
            broken_instruments.AnswersUnconnected,
            "blank before connect raises NotConnected",
        ),
        (broken_instruments.ConnectsUnblanked, "the beam is blanked after connect"),
        (broken_instruments.ConnectsOnce, "Connecting works, twice does no harm"),
        (broken_instruments.ShapesInDisorder, "survey shapes are in order"),
        (broken_instruments.OblongAfterAll, "a survey of shape (32, 1024) raises Unsu"),
        (
            broken_instruments.NegativeExposure,
            "exposure_s is an interval of positive times",
        ),
        (broken_instruments.SurveyTooSmall, "detectors and the shape asked for"),
        (broken_instruments.SurveyOfDoubles, "image counts are float32"),
        (
            broken_instruments.AnyDetectorWillDo,
            "a survey with an unknown detector raises Unsupported",
        ),
        (
            broken_instruments.LongDwellIsClipped,
            "a survey with a dwell time of 0.02 s raises OutOfRange",
        ),
        (
            broken_instruments.SurveyLeavesBeamOn,
            "the beam is blanked after a survey image",
        ),
        (
            broken_instruments.AreaIgnored,
            "an image of an area has the area and the shape asked for",
        ),
        (
            broken_instruments.StartsSomewhere,
            "position is None until the beam is placed",
        ),
        (broken_instruments.PlacesUnblanked, "the beam is blanked after place_beam"),
        (broken_instruments.Clips, "never clipped"),
        (
            broken_instruments.Snaps,
            "status().position is (x=0.2500, y=0.7500) after place_beam",
        ),
        (
            broken_instruments.NeverDark,
            "a spectrum with the beam blanked holds no signal",
        ),
        (
            broken_instruments.ForgetsTheDose,
            "the dose of a spectrum is current × exposure",
        ),
        (
            broken_instruments.ShortExposureWillDo,
            "a spectrum with an exposure of -1.0 s raises OutOf",
        ),
        (broken_instruments.ShiftedAxis, "one count per channel"),
        (broken_instruments.OverwritesTheLast, "does not change when the next one"),
        (broken_instruments.NamesTheFirstPlace, "a spectrum names its position"),
        (broken_instruments.AbortDoesNotBlank, "the beam is blanked after abort"),
        (
            broken_instruments.AbortDoesNotHold,
            "a spectrum after place_beam and abort raises Aborted",
        ),
        (
            broken_instruments.AbortHoldsOnce,
            "a spectrum after place_beam and abort raises Aborted",
        ),
        (broken_instruments.AbortHoldsForEver, "holds until the beam is placed again"),
        (broken_instruments.AbortInOneThreadOnly, "abort works in any thread"),
        (
            broken_instruments.DisconnectsUnblanked,
            "the beam is blanked after disconnect",
        ),
        (
            broken_instruments.DisconnectsOnce,
            "Disconnecting blanks, twice does no harm",
        ),
        (
            broken_instruments.NeverDisconnects,
            "status says not connected after disconnect",
        ),
    ],
)
def test_a_broken_instrument_is_caught_with_the_rule_in_words(broken, words):
    with pytest.raises(ConformanceError) as caught:
        check_instrument(broken(SETTINGS))

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (broken_instruments.AbortDoesNotEnd, "abort ends an exposure within 1 s"),
        (
            broken_instruments.AbortWaits,
            "abort returns within 1 s in the middle of an exposure",
        ),
        (broken_instruments.AbortDoesNotEndScans, "abort ends a scan within 1"),
        (
            broken_instruments.DeliversWhatWasAborted,
            "what abort ends raises Aborted, as an exposure does. Seen: it delivered",
        ),
        (
            broken_instruments.AbortLeavesTheBeamOn,
            "the beam is off after abort in the middle of an exposure",
        ),
        (
            broken_instruments.NeverBusy,
            "place_beam raises Busy in the middle of an exposure",
        ),
        (
            broken_instruments.MovesMeanwhile,
            "place_beam raises Busy in the middle of an exposure",
        ),
        (
            broken_instruments.Queues,
            "acquire_spectrum returns within 1 s in the middle of an exposure",
        ),
        (
            broken_instruments.StatusWaits,
            "status returns within 1 s in the middle of an exposure",
        ),
        (
            broken_instruments.BlankDoesNothingMeanwhile,
            "the beam is off after blank in the middle of an exposure",
        ),
        (
            broken_instruments.BlankIsForOneThread,
            "blank works in the middle of an exposure",
        ),
    ],
)
def test_what_cannot_be_interrupted_is_caught(broken, words):
    with pytest.raises(ConformanceError) as caught:
        check_instrument(broken(REALTIME))

    assert words in str(caught.value)


DIRECTIONS = "probe positions and the pixels of the survey image have the same direct"


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (broken_instruments.SwapsXAndY, f"{DIRECTIONS}.*x and y swapped"),
        (broken_instruments.MirrorsTheSurvey, f"{DIRECTIONS}.*mirrored left to right"),
        (
            broken_instruments.TurnsTheSurveyUpsideDown,
            f"{DIRECTIONS}.*mirrored top to bottom",
        ),
        (
            broken_instruments.IgnoresTheExposure,
            "an exposure 10 times as long gives more counts",
        ),
        (broken_instruments.InfiniteCounts, "the counts of a spectrum are finite"),
        (broken_instruments.OneCountIsNan, "the counts of a spectrum are finite"),
        (broken_instruments.NegativeCounts, "counts of a spectrum are not negative"),
        (broken_instruments.EmptyCounts, "spectra with the beam on hold counts"),
        (broken_instruments.NanSurvey, "all pixels of a survey image are finite"),
        (
            broken_instruments.OnePixelIsInfinite,
            "all pixels of a survey image are finite",
        ),
    ],
)
def test_what_shows_something_else_is_caught(broken, words):
    with pytest.raises(ConformanceError, match=words):
        check_instrument(broken(SETTINGS))


def test_a_microscope_that_takes_its_time_conforms():
    check_instrument(SimulatedMicroscope(REALTIME))


def test_a_picture_is_written_for_a_person_also_where_the_check_fails(tmp_path):
    for microscope in (SimulatedMicroscope, broken_instruments.SwapsXAndY):
        file = tmp_path / f"{microscope.__name__}.png"
        with suppress(ConformanceError):
            check_instrument(microscope(SETTINGS), picture=file)
        shown = imread(file)
        assert shown.shape[1] > shown.shape[0] > 100
        assert shown.std() > 0.1


def test_a_sample_without_structure_says_nothing_of_directions():
    nothing = SETTINGS.model_copy(update={"particles": 1, "current_pa": 1e-3})

    class Vacuum(SimulatedMicroscope):
        def _scan(self, *asked):
            image = super()._scan(*asked)
            return replace(image, data=np.ones_like(image.data))

    check_instrument(Vacuum(nothing))


def test_a_class_that_lacks_methods_is_told_which():
    with pytest.raises(ConformanceError, match=r"it lacks .*'acquire_spectrum'"):
        check_instrument(broken_instruments.Incomplete())


def test_an_instrument_that_is_connected_already_is_refused():
    microscope = SimulatedMicroscope(SETTINGS)
    microscope.connect()

    with pytest.raises(ConformanceError, match="given an instrument that is not conn"):
        check_instrument(microscope)


def test_a_broken_instrument_is_left_blanked_and_disconnected():
    microscope = broken_instruments.PlacesUnblanked(SETTINGS)

    with pytest.raises(ConformanceError):
        check_instrument(microscope)

    assert not microscope.status().connected
    assert microscope.status().beam is BeamState.BLANKED
