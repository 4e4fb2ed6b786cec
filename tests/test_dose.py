"""The electrons that are booked, and the limits that they are held against."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from lab import Lab, experiment, run
from napari_hae.experiment.settings import Budget, SurveySettings
from napari_hae.experiment.survey import acquire_survey
from napari_hae.instruments.base import (
    DoseExceeded,
    InstrumentError,
    LocalDoseExceeded,
    OutOfRange,
    Unsupported,
)
from napari_hae.instruments.dose import DoseLimits, Exposure
from napari_hae.instruments.dose_book import DoseBook
from napari_hae.instruments.place_dose import PlaceDose
from napari_hae.instruments.simulated import SimulatedMicroscope, SimulatedSettings
from napari_hae.types import WHOLE_FIELD, Area, ProbePosition, dose_electrons

FOV_NM = (100.0, 100.0)
CURRENT_PA = 10.0
ONE_E = dose_electrons(CURRENT_PA, 0.1)
HERE, NEAR, FAR = (ProbePosition(x, 0.5) for x in (0.5, 0.51, 0.9))


@pytest.fixture
def book() -> DoseBook:
    made = DoseBook()
    made.know(CURRENT_PA)
    return made


def take(book, where, exposure_s=0.1, points=1, known_pa=CURRENT_PA, fov_nm=FOV_NM):
    return book.reserve(Exposure(where, exposure_s, points), known_pa, fov_nm)


def test_the_dose_is_current_times_time(book):
    assert take(book, HERE) == pytest.approx(10e-12 * 0.1 / 1.602176634e-19)
    assert book.all_e == pytest.approx(ONE_E)


def test_a_point_takes_no_more_than_it_may_and_others_stay_open(book):
    book.limit(DoseLimits(point_e=2.5 * ONE_E))
    take(book, HERE)
    take(book, HERE)
    with pytest.raises(LocalDoseExceeded, match="at one point: the limit is"):
        take(book, HERE)
    take(book, NEAR)
    assert book.all_e == pytest.approx(3 * ONE_E)


def test_the_local_dose_counts_what_lies_within_the_radius(book):
    book.limit(DoseLimits(local_e_per_nm2=1.5 * ONE_E / (4 * math.pi), radius_nm=2.0))
    take(book, HERE)
    with pytest.raises(LocalDoseExceeded, match="e⁻/nm² within 2 nm"):
        take(book, NEAR)
    take(book, FAR)


def test_a_place_between_two_others_may_not_push_them_over_the_limit(book):
    limits = DoseLimits(local_e_per_nm2=2.5 * ONE_E / (math.pi * 2.25), radius_nm=1.5)
    book.limit(limits)
    middle = ProbePosition(0.51, 0.5)
    take(book, HERE)
    take(book, middle)
    # 1 nm from the middle and 2 nm from the first: only the middle would have three.
    with pytest.raises(LocalDoseExceeded):
        take(book, ProbePosition(0.52, 0.5))


def test_what_was_taken_before_a_limit_or_its_radius_changed_counts(book):
    take(book, HERE)
    book.limit(DoseLimits(local_e_per_nm2=1.5 * ONE_E / math.pi, radius_nm=1.0))
    with pytest.raises(LocalDoseExceeded):
        take(book, HERE)


def test_an_exposure_that_no_place_may_take_is_told_as_such(book):
    book.limit(DoseLimits(point_e=0.5 * ONE_E))
    with pytest.raises(DoseExceeded, match="any place would take") as caught:
        take(book, HERE)
    assert not isinstance(caught.value, LocalDoseExceeded)


def test_a_survey_image_counts_for_the_run_and_in_what_it_scans(book):
    left = Area(0.0, 0.0, 0.45, 1.0)
    book.limit(DoseLimits(point_e=1.5 * ONE_E, run_e=200 * ONE_E))
    take(book, left, exposure_s=0.1 * 100, points=100)
    with pytest.raises(LocalDoseExceeded):
        take(book, ProbePosition(0.2, 0.5))
    take(book, FAR)
    with pytest.raises(DoseExceeded, match="budget"):
        take(book, Area(0.5, 0.0, 1.0, 1.0), exposure_s=0.1 * 100, points=1000)


def test_a_survey_image_over_a_place_that_took_its_share_is_refused(book):
    book.limit(DoseLimits(point_e=1.5 * ONE_E))
    take(book, HERE)
    with pytest.raises(LocalDoseExceeded):
        take(book, WHOLE_FIELD, exposure_s=0.1 * 100, points=100)
    take(book, Area(0.6, 0.0, 1.0, 1.0), exposure_s=0.1 * 100, points=100)


def test_a_survey_image_counts_in_the_local_dose_by_its_density(book):
    per_nm2 = 100 * ONE_E / (FOV_NM[0] * FOV_NM[1])
    disc_nm2 = math.pi * 25.0**2
    both = 100 * ONE_E * disc_nm2 / 1e4 + ONE_E
    assert per_nm2 * disc_nm2 > ONE_E
    for allowed, is_open in ((1.001 * both, True), (0.999 * both, False)):
        book = DoseBook()
        book.know(CURRENT_PA)
        limits = DoseLimits(local_e_per_nm2=allowed / disc_nm2, radius_nm=25.0)
        book.limit(limits)
        take(book, WHOLE_FIELD, exposure_s=0.1 * 100, points=10_000)
        if is_open:
            take(book, HERE)
        else:
            with pytest.raises(DoseExceeded):
                take(book, HERE)


def test_what_was_taken_before_the_current_was_entered_counts_with_it(book):
    book = DoseBook()
    take(book, HERE, known_pa=None)
    assert math.isnan(book.all_e)
    with pytest.raises(Unsupported, match="enter it in the budget"):
        book.limit(DoseLimits(point_e=ONE_E))
    book.limit(DoseLimits(point_e=1.5 * ONE_E, current_pa=CURRENT_PA))
    assert book.all_e == pytest.approx(ONE_E)
    with pytest.raises(LocalDoseExceeded):
        take(book, HERE, known_pa=None)


@pytest.mark.parametrize("nonsense", [0.0, -5.0, math.nan, math.inf])
def test_a_current_that_is_none_counts_as_unknown(book, nonsense):
    book.limit(DoseLimits(run_e=5 * ONE_E))
    with pytest.raises(Unsupported, match="beam current"):
        take(book, HERE, known_pa=nonsense)


def test_a_run_begins_with_what_it_took_already(book):
    book.limit(DoseLimits(run_e=2.5 * ONE_E))
    book.begin_run([Exposure(HERE, 0.1, dose_e=2 * ONE_E)], CURRENT_PA, FOV_NM)
    with pytest.raises(DoseExceeded, match="are left"):
        take(book, FAR)
    assert book.run_e == pytest.approx(2 * ONE_E)


def test_what_this_instrument_delivered_itself_is_not_counted_twice(book):
    book.limit(DoseLimits(point_e=2.5 * ONE_E))
    took = take(book, HERE)
    book.begin_run([Exposure(HERE, 0.1, dose_e=took)], CURRENT_PA, FOV_NM)
    take(book, HERE)
    fresh = DoseBook()
    fresh.know(CURRENT_PA)
    fresh.limit(DoseLimits(point_e=2.5 * ONE_E))
    fresh.begin_run([Exposure(HERE, 0.1, dose_e=2 * took)], CURRENT_PA, FOV_NM)
    with pytest.raises(LocalDoseExceeded):
        take(fresh, HERE)


def told(where, mark="", *, points=1):
    """What a record tells of an exposure of 0.1 s for each point."""
    return Exposure(where, 0.1 * points, points, mark=mark)


def counted(book, where):
    """How many exposures were counted at a place."""
    limits = DoseLimits(point_e=1e-3 * ONE_E)
    book.limit(limits)
    with pytest.raises(DoseExceeded) as caught:
        take(book, where)
    book.limit(DoseLimits())
    would_take_e = float(re.search(r"would take ([\d.e+]+)", str(caught.value))[1])
    return round(would_take_e / ONE_E) - 1


def begin(book, *taken):
    book.begin_run(taken, CURRENT_PA, FOV_NM)


def test_an_older_record_counts_on_top_of_what_was_taken_here(book):
    begin(book)
    for place in (HERE, NEAR):
        take(book, place)
    begin(book, told(HERE, "a"), told(FAR, "b"))
    assert [counted(book, place) for place in (HERE, NEAR, FAR)] == [2, 1, 1]


def test_a_run_of_this_gate_is_not_counted_twice_however_often_it_goes_on(book):
    survey = told(WHOLE_FIELD, "image", points=100)
    again = told(WHOLE_FIELD, points=100)
    take(book, WHOLE_FIELD, 0.1 * 100, points=100)
    begin(book, survey)
    take(book, HERE)
    take(book, WHOLE_FIELD, 0.1 * 100, points=100)
    take(book, NEAR)
    # The last one came to nothing: it is in no record.
    take(book, NEAR)
    begin(book, survey, again, told(HERE, "a"), told(NEAR, "b"))
    take(book, FAR)
    begin(book, survey, again, told(HERE, "a"), told(NEAR, "b"), told(FAR, "c"))
    # Back after its first step, and then on with all of it.
    begin(book, survey, told(HERE, "a"))
    begin(book, survey, again, told(HERE, "a"), told(NEAR, "b"), told(FAR, "c"))
    assert [counted(book, place) for place in (HERE, NEAR, FAR)] == [1 + 2, 2 + 2, 3]


def test_a_place_that_was_exposed_several_times_for_one_spectrum_counts_once(book):
    begin(book)
    for _ in range(3):
        take(book, HERE)
    begin(book, Exposure(HERE, 0.3, mark="a"))
    assert counted(book, HERE) == 3


def test_a_record_that_begins_as_a_run_here_did_but_on_another_image_counts(book):
    """Many begin with the same places: the first ones do not depend on the sample."""
    take(book, WHOLE_FIELD, 0.1 * 100, points=100)
    begin(book, told(WHOLE_FIELD, "image", points=100))
    for place in (HERE, NEAR, FAR):
        take(book, place)
    older = told(WHOLE_FIELD, "older image", points=100)
    begin(book, older, told(HERE, "a"), told(NEAR, "b"))
    assert [counted(book, place) for place in (HERE, NEAR, FAR)] == [2 + 2, 2 + 2, 3]


def test_what_two_older_records_share_counts_once_and_what_they_do_not_twice(book):
    shared = told(WHOLE_FIELD, "image", points=100), told(HERE, "a")
    begin(book, *shared, told(NEAR, "b"))
    begin(book, *shared, told(NEAR, "c"), told(FAR, "d"))
    assert [counted(book, place) for place in (HERE, NEAR, FAR)] == [2, 3, 2]


def test_what_a_finer_image_takes_along_of_a_run_here_is_not_counted_again(book):
    part = Area(0.4, 0.4, 0.6, 0.6)
    begin(book)
    take(book, WHOLE_FIELD, 0.1 * 100, points=100)
    for place in (HERE, NEAR, FAR):
        take(book, place)
    take(book, part, 0.1 * 400, points=400)
    finer = told(part, "finer", points=400), told(HERE, "a"), told(NEAR, "b")
    begin(book, *finer)
    take(book, NEAR)
    begin(book, *finer, told(NEAR, "c"))
    assert [counted(book, place) for place in (HERE, NEAR, FAR)] == [1 + 2, 2 + 2, 2]


def test_a_run_that_goes_on_from_its_record_is_counted_once(tmp_path):
    """What a spectrum or an image holds is the same on disk: it is known again."""
    bare = SimulatedMicroscope(SimulatedSettings(shape=(32, 32), particles=3))
    bare.settings = bare._settings
    lab = Lab(tmp_path, bare)
    survey = acquire_survey(lab.gate, SurveySettings())
    runner = run(lab.runner(experiment(budget=Budget(steps=6)), survey=survey))
    for steps in (8, 10):
        runner = run(lab.resumed(runner, steps=steps))
        counted_e = sum(charge.sum() for charge in lab.gate._dose._taken.values())
        assert counted_e == pytest.approx(lab.gate.dose_e)
    assert len(runner.measurements) == 10


@pytest.mark.parametrize("radius_nm", [0.01, 3.0, 500.0])
def test_what_is_counted_at_once_is_what_is_counted_one_by_one(radius_nm):
    rng = np.random.default_rng(5)
    # On a grid, so that many lie exactly a radius apart; and anywhere.
    x, y = np.meshgrid(np.arange(0.0, 0.5, 0.03), np.arange(0.0, 0.5, 0.03))
    grid = np.column_stack([x.ravel(), y.ravel()])
    places = [ProbePosition(*at) for at in (*grid, *rng.random((200, 2)))]
    charges = rng.random((len(places), 2))
    at_once, one_by_one = PlaceDose(radius_nm), PlaceDose(radius_nm)
    at_once.add_spots(places, charges, FOV_NM)
    for place, charge in zip(places, charges, strict=True):
        one_by_one.add_spot(place, charge, FOV_NM)
    nothing = np.zeros(2)
    for place in (*places, ProbePosition(0.7, 0.7)):
        np.testing.assert_allclose(
            at_once.with_spot(place, nothing, FOV_NM),
            one_by_one.with_spot(place, nothing, FOV_NM),
        )


def test_a_long_run_is_counted_at_once(monkeypatch):
    """To look at every place for each of them took seconds, for a few thousand."""
    looked = []
    near = PlaceDose._near
    monkeypatch.setattr(
        PlaceDose, "_near", lambda *given: looked.append(given) or near(*given)
    )
    book = DoseBook()
    book.know(CURRENT_PA)
    steps = (np.arange(30) + 0.5) / 30
    run_before = [told(ProbePosition(x, y), f"{x},{y}") for x in steps for y in steps]
    begin(book, *run_before)
    for radius_nm in (2.0, 3.0):
        book.limit(DoseLimits(point_e=1.5 * ONE_E, radius_nm=radius_nm))
    begin(book, *(told(each.where, "older") for each in run_before[:1]))
    assert not looked
    with pytest.raises(DoseExceeded, match="would take"):
        take(book, run_before[-1].where)


def test_places_of_another_field_of_view_cannot_be_limited(book):
    take(book, HERE)
    take(book, HERE, fov_nm=(50.0, 50.0))
    book.limit(DoseLimits(point_e=5 * ONE_E))
    with pytest.raises(InstrumentError, match="field of view changed"):
        take(book, HERE, fov_nm=(50.0, 50.0))


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["run_e", "point_e", "local_e_per_nm2", "current_pa"])
def test_a_limit_that_is_none_is_refused_in_words(name, wrong):
    with pytest.raises(OutOfRange, match="is not above 0"):
        DoseLimits(**{name: wrong})
