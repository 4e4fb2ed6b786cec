"""Any value of any setting is taken, or refused in one sentence."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import BaseModel

from napari_hae.experiment.configuration import (
    BadConfiguration,
    assign,
    changed,
    experiment_settings,
    instrument_settings,
)
from napari_hae.experiment.known_settings import INSTRUMENT, kinds_of, sections
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.instruments.catalogue import settings_of
from napari_hae.settings_base import SMALLEST
from napari_hae.types import LARGEST

EXTREME = [
    *(math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-300, -1e-300, 5e-324, 0.0),
    *(10**25, -(10**25), 10**400, 2**63, -1, 0, True, False, None, "", "1e400", "nan"),
    *([True, True], [10**400, 3], [1e300, 1e-300], [], {}, [[[]]]),
]


def places():
    """Each setting, with the kind of its section: `(section, kind, name)`."""
    found = [("seed", "", "")]
    for section in sections():
        for kind, model in kinds_of(section).items():
            found += [(section, kind, name) for name in model.model_fields]
    return found


def built(section, kind, name, value):
    """The settings with one value, by the way that files and options take."""
    if section == INSTRUMENT:
        return instrument_settings(kind, {name: value})
    values = {name: value}
    if kind and name != "kind":
        values["kind"] = kind
    return experiment_settings({section: values if name else value})


def numbers_in(value):
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [number for each in value for number in numbers_in(each)]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return [value] if is_number else []


@pytest.mark.parametrize("value", EXTREME, ids=lambda value: str(value)[:12])
def test_every_setting_takes_or_refuses_an_extreme_value(value):
    for place in places():
        try:
            made = built(*place, value)
        except BadConfiguration as error:
            # One for each part of a value that is none.
            for line in str(error).splitlines():
                assert line.startswith(place[0])
                assert len(line) < 600
            continue
        for number in numbers_in(made):
            assert math.isfinite(number)
            assert not number or abs(number) <= LARGEST


@examples(deadline=None, max_examples=200)
@given(
    st.sampled_from(places()),
    st.one_of(st.floats(), st.integers(), st.booleans(), st.lists(st.floats())),
)
def test_any_value_of_any_setting_is_taken_or_refused_in_words(place, value):
    try:
        built(*place, value)
    except BadConfiguration as error:
        assert place[0] in str(error)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("seed=true", "seed: True is not allowed: true and false are no values"),
        ("budget.dose_radius_nm=1e-300", "a number has to be 0, or from 1e-30"),
        (f"scalarizer.low_ev={10**400}", "a number is at most 1e30"),
        (f"scalarizer.low_ev={'1' * 5000}", "it is too long, or too deep"),
        (f"scalarizer.low_ev={'[' * 9000}", "it is too long, or too deep"),
        (f"{'a.' * 9000}b=1", "is not of the form section.name=value"),
        (f"budget.{'a.' * 5}b=1", "budget.a: there is no such setting"),
        (f"seed={10**25}", "a whole number has to be within"),
    ],
)
def test_what_no_setting_can_be_is_refused_in_one_short_line(setting, words):
    with pytest.raises(BadConfiguration) as refused:
        changed(ExperimentSettings(), [setting])
    (line,) = str(refused.value).splitlines()
    assert words in line
    assert len(line) < 250


def test_a_large_dose_without_a_decimal_point_is_a_number():
    given_values = {}
    assign(given_values, [f"budget.dose_e={10**20}"])
    assert experiment_settings(given_values).budget.dose_e == 1e20


def test_a_spectrum_among_settings_may_have_channels_next_to_nothing():
    faint = [SMALLEST / 10, 1.0]
    scalarizer = {"kind": "similarity", "target_counts": faint}
    made = experiment_settings({"scalarizer": scalarizer})
    assert list(made.scalarizer.target_counts) == faint


class Bare(BaseModel):
    """Settings as another package may have them."""

    gain: float = 1.0


def test_an_instrument_of_another_package_is_given_numbers_only(monkeypatch):
    class Another:
        settings_type = Bare

    monkeypatch.setattr("napari_hae.plugins.load", lambda group, name: Another)
    assert settings_of("another", {"gain": 2}).gain == 2
    with pytest.raises(ValueError, match="a finite number is needed"):
        settings_of("another", {"gain": math.inf})
