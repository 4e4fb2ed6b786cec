from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from measured_files import save
from napari_hae.agent.scalarizers import (
    BandIntegral,
    BandMaximum,
    BandRatio,
    CentreOfMass,
    PeakEnergy,
    ScalarizerError,
)
from napari_hae.agent.similarity import SimilarityToTarget
from napari_hae.agent.user_function import UserFunction
from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.types import EnergyAxis
from spectra import AXIS, EXPOSURE_S, spectrum

COUNTS = np.arange(16.0)
BAND = {"low_ev": 0.4, "high_ev": 0.6}
REFERENCE = {"reference_low_ev": 1.0, "reference_high_ev": 1.1}


@pytest.mark.parametrize(
    ("scalarizer", "target"),
    [
        (BandIntegral(**BAND), (4 + 5 + 6) / EXPOSURE_S),
        (BandMaximum(**BAND), 6 / EXPOSURE_S),
        (BandRatio(**BAND, **REFERENCE), 15 / 21),
        (CentreOfMass(**BAND), (4 * 0.4 + 5 * 0.5 + 6 * 0.6) / 15),
        (PeakEnergy(**BAND), 0.6),
        (SimilarityToTarget(target_counts=tuple(2 * COUNTS)), 1.0),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_target_of_a_ramp(scalarizer, target):
    scalarizer.check(AXIS)
    assert scalarizer(spectrum(COUNTS)) == pytest.approx(target)


def test_a_peak_between_channels_is_found_there():
    counts = 100 - 1000 * (AXIS.energies_ev - 0.53) ** 2
    energy_ev = PeakEnergy(low_ev=0.3, high_ev=0.8)(spectrum(counts))
    assert energy_ev == pytest.approx(0.53, abs=1e-4)


@pytest.mark.parametrize(
    "scalarizer",
    [
        BandRatio(**BAND, **REFERENCE),
        CentreOfMass(**BAND),
        PeakEnergy(**BAND),
        SimilarityToTarget(target_counts=tuple(COUNTS)),
    ],
    ids=lambda scalarizer: scalarizer.kind,
)
def test_a_spectrum_without_counts_has_no_target(scalarizer):
    assert np.isnan(scalarizer(spectrum(np.zeros(16))))


@pytest.mark.parametrize("kind", [BandIntegral, BandMaximum, CentreOfMass, PeakEnergy])
def test_a_spectrum_with_a_channel_that_is_no_number_has_no_target(kind):
    counts = COUNTS.copy()
    counts[5] = np.nan
    assert np.isnan(kind(**BAND)(spectrum(counts)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"low_ev": 0.6, "high_ev": 0.4}, "from 0.6 to 0.4 eV is empty"),
        ({"low_ev": 0.6}, "needs both ends"),
    ],
)
def test_a_band_that_is_none_is_refused_in_words(values, words):
    with pytest.raises(ValidationError, match=words):
        BandIntegral(**values)


def test_a_band_beside_the_axis_is_refused_with_the_axis():
    with pytest.raises(ValueError, match="holds no channel of the spectra, which"):
        BandIntegral(low_ev=5.0, high_ev=6.0).check(AXIS)
    ratio = BandRatio(**BAND, reference_low_ev=5.0, reference_high_ev=6.0)
    with pytest.raises(ValueError, match="the reference band from 5 to 6 eV holds no"):
        ratio.check(AXIS)


def test_an_undecided_band_has_no_target_yet():
    assert BandIntegral().is_automatic
    with pytest.raises(ScalarizerError, match="no band has been chosen yet"):
        BandIntegral()(spectrum(COUNTS))
    assert BandIntegral().with_band(0.4, 0.6)(spectrum(COUNTS)) == 15 / EXPOSURE_S


def test_votes_without_a_good_one_leave_what_they_join():
    band = BandIntegral(**BAND)
    votes = SimilarityToVotes(base=band, base_centre=100, base_spread=5)
    assert not votes.is_automatic
    assert votes(spectrum(COUNTS)) == (band(spectrum(COUNTS)) - 100) / 5
    alone = SimilarityToVotes()
    assert alone.is_automatic
    with pytest.raises(ScalarizerError, match="call a spectrum good first"):
        alone(spectrum(COUNTS))
    # A band that is still to be chosen is no target either.
    assert SimilarityToVotes(base=BandIntegral()).is_automatic


def test_similarity_does_not_depend_on_the_exposure():
    rng = np.random.default_rng(0)
    target, other = rng.random(16), rng.random(16)
    similarity = SimilarityToTarget(target_counts=tuple(target))
    cosine = similarity(spectrum(other))
    assert 0 < cosine < 1
    assert similarity(spectrum(7 * other)) == pytest.approx(cosine)


def test_similarity_reads_a_file_on_another_axis(tmp_path):
    # The same ramp, in keV and with channels half as wide.
    axis = {"name": "Energy", "units": "keV", "scale": 5e-5, "size": 31}
    path = save(tmp_path / "target.hspy", np.arange(31) / 2, axis)
    similarity = SimilarityToTarget(file=path)
    similarity.check(AXIS)
    assert similarity(spectrum(COUNTS)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("similarity", "words"),
    [
        (SimilarityToTarget(), "choose a file"),
        (SimilarityToTarget(target_counts=(1.0, 2.0)), "has 2 channels"),
        (SimilarityToTarget(target_counts=(0.0,) * 16), "is zero where"),
        (
            SimilarityToTarget(target_counts=tuple(COUNTS), low_ev=5.0, high_ev=6.0),
            "no channel lies between 5.0 and 6.0 eV",
        ),
        (SimilarityToTarget(file="missing.hspy"), "missing.hspy cannot be read"),
    ],
)
def test_a_target_spectrum_that_does_not_fit_is_refused_in_words(similarity, words):
    with pytest.raises(ValueError, match=words):
        similarity.check(AXIS)


def test_a_file_without_a_single_spectrum_is_refused(tmp_path):
    y = {"name": "y", "units": "nm", "size": 3}
    energy = {"name": "Energy", "units": "eV", "size": 4}
    path = save(tmp_path / "line.hspy", np.zeros((3, 4)), y, energy)
    with pytest.raises(ScalarizerError, match="one single spectrum"):
        SimilarityToTarget(file=path).check(AXIS)


@pytest.fixture
def functions(tmp_path):
    """A user's file with some functions."""
    path = tmp_path / "mine.py"
    path.write_text(
        "def brightest(signal):\n"
        "    axis = signal.axes_manager.signal_axes[0]\n"
        "    assert axis.units == 'eV'\n"
        "    return axis.index2value(int(signal.data.argmax()))\n"
        "def no_number(signal):\n"
        "    return float('inf')\n"
        "def spoils(signal):\n"
        "    signal.data[:] = 0\n"
        "    return 1\n"
        "def fails(signal):\n"
        "    raise KeyError('edge')\n"
        "table = 3\n"
    )
    return path


def test_a_users_function_is_given_a_calibrated_signal(functions):
    scalarizer = UserFunction(path=f"{functions}:brightest")
    scalarizer.check(AXIS)
    assert scalarizer(spectrum(COUNTS)) == pytest.approx(1.5)


def test_a_users_function_cannot_change_what_was_measured(functions):
    measured = spectrum(COUNTS)
    assert UserFunction(path=f"{functions}:spoils")(measured) == 1
    np.testing.assert_array_equal(measured.counts, COUNTS)


def test_what_is_not_finite_is_no_target(functions):
    assert np.isnan(UserFunction(path=f"{functions}:no_number")(spectrum(COUNTS)))


def test_a_function_that_fails_is_named_with_its_error(functions):
    with pytest.raises(ScalarizerError, match="fails failed: KeyError: 'edge'"):
        UserFunction(path=f"{functions}:fails")(spectrum(COUNTS))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("{file}:missing", "cannot be loaded"),
        ("{file}:table", "is no function"),
        ("nowhere.py:f", "no file nowhere.py"),
        ("no_such_package:f", "cannot be loaded: ModuleNotFoundError"),
        ("", "say where it is"),
    ],
)
def test_a_function_that_is_not_there_is_refused_in_words(functions, path, words):
    scalarizer = UserFunction(path=path.format(file=functions))
    with pytest.raises(ScalarizerError, match=words):
        scalarizer.check(AXIS)


def test_a_path_of_another_form_is_refused():
    with pytest.raises(ValidationError, match=r"not of the form file\.py:function"):
        UserFunction(path="mine.py")


def test_an_axis_is_checked_not_guessed():
    other = EnergyAxis(offset_ev=100.0, dispersion_ev=1.0, size=16)
    with pytest.raises(ValueError, match="which reach from 100 to 115 eV"):
        BandIntegral(**BAND).check(other)


def test_a_scalarizer_of_another_kind_looks_at_the_band_of_the_one_before():
    before = BandIntegral(low_ev=0.3, high_ev=0.4)
    assert BandRatio().following(before).band_ev == (0.3, 0.4)
    own = BandRatio(low_ev=0.5, high_ev=0.6)
    assert own.following(before) == own
    # Who empties the band of the same kind wants another one to be chosen.
    assert BandIntegral().following(before).is_automatic
    assert BandRatio().following(BandIntegral()).is_automatic
