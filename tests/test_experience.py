"""What a model learns from earlier runs."""

import numpy as np
import pytest

import blobs
from napari_hae.agent import expectation
from napari_hae.agent.expectation import expectations
from napari_hae.agent.experience import Experience, Visit, load_experience
from napari_hae.agent.model_settings import ModelSettings

IMAGE = blobs.image().data
TRUTH = blobs.truth()
EARLIER = np.random.default_rng(5).choice(TRUTH.size, 60, replace=False)
SEEDS = range(4)


def other_sample(turns=0):
    """Another field of the same kind: the blobs upside down, maybe turned."""
    return np.rot90(IMAGE[:, ::-1], turns, (1, 2)), np.rot90(TRUTH[::-1], turns)


def experience_of(image, values):
    values = np.reshape(values, (TRUTH.size, -1))[EARLIER]
    return Experience((Visit(np.ascontiguousarray(image), EARLIER, values),))


def saved(experience, folder):
    path = folder / f"{len(list(folder.iterdir()))}.npz"
    experience.save(path)
    return path


def error(count, earlier=None):
    """What a model gets wrong after some measurements, its mean over the seeds."""
    from napari_hae.agent.surrogate import Surrogate

    errors = []
    for seed in SEEDS:
        measured = np.random.default_rng(seed).choice(TRUTH.size, count, replace=False)
        model = Surrogate(IMAGE, ModelSettings(earlier=earlier), seed=1)
        model.fit(measured, TRUTH.ravel()[measured])
        missed = model.posterior().mean - TRUTH.ravel()
        errors.append(np.sqrt(np.mean(missed**2)))
    return np.mean(errors)


def test_few_measurements_suffice_after_a_run_on_a_sample_of_the_same_kind(tmp_path):
    earlier = saved(experience_of(*other_sample()), tmp_path)
    assert error(20, earlier) < 0.7 * error(20)


def test_a_run_on_something_else_does_little_harm(tmp_path):
    noise = np.random.default_rng(2).normal(size=TRUTH.shape)
    earlier = saved(experience_of(IMAGE, noise), tmp_path)
    for count in (6, 40):
        assert error(count, earlier) < 1.1 * error(count)


@pytest.mark.parametrize("turns", [1, 2])
def test_how_the_earlier_sample_was_turned_does_not_matter(turns):
    image, truth = other_sample()
    everywhere = np.arange(TRUTH.size)
    upright = Experience((Visit(image.copy(), everywhere, truth.reshape(-1, 1)),))
    image, truth = other_sample(turns)
    turned = Experience((Visit(image.copy(), everywhere, truth.reshape(-1, 1)),))
    found = [expectations(each, IMAGE, ModelSettings()) for each in (upright, turned)]
    np.testing.assert_allclose(found[0], found[1], atol=0.05)
    assert np.std(found[0]) > 0.5


def test_the_unit_of_what_was_measured_does_not_matter():
    image, truth = other_sample()
    plain = expectations(experience_of(image, truth), IMAGE, ModelSettings())
    scaled = experience_of(image, 7000 + 300 * truth)
    found = expectations(scaled, IMAGE, ModelSettings())
    np.testing.assert_allclose(found, plain, atol=1e-4)


def test_large_fields_are_looked_at_in_blocks_with_the_same_result(monkeypatch):
    experience = experience_of(*other_sample())
    whole = expectations(experience, IMAGE, ModelSettings())
    monkeypatch.setattr(expectation, "_ROWS", 100)
    found = expectations(experience, IMAGE, ModelSettings())
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_several_runs_and_quantities_are_learned_from_together(tmp_path):
    image, truth = other_sample()
    both = np.stack([truth, -truth], axis=-1).reshape(-1, 2)
    half, rest = EARLIER[:30], EARLIER[30:]
    visits = [Visit(image.copy(), pixels, both[pixels]) for pixels in (half, rest)]
    path = saved(Experience(tuple(visits)), tmp_path)
    loaded = load_experience(path)
    assert str(loaded) == "60 spectra, their target and 1 component"
    found = expectations(loaded, IMAGE, ModelSettings())
    np.testing.assert_allclose(found[:, 0], -found[:, 1], atol=1e-4)
    assert np.corrcoef(found[:, 0], TRUTH.ravel())[0, 1] > 0.8


def test_equal_values_and_a_lone_measurement_teach_nothing():
    flat = experience_of(IMAGE, np.full(TRUTH.shape, 3.0))
    lone = Experience((Visit(IMAGE, np.array([7]), np.array([[2.0]])),))
    for experience in (flat, lone):
        np.testing.assert_allclose(expectations(experience, IMAGE, ModelSettings()), 0)


def test_a_file_that_holds_no_experience_is_refused_by_name(tmp_path):
    good = {
        "format": 1,
        "visits": 1,
        "image_0": IMAGE,
        "pixels_0": EARLIER,
        "values_0": np.ones((60, 1)),
    }
    bad = {
        "newer": {"format": 9},
        "outside": {"pixels_0": EARLIER + TRUTH.size},
        "nan": {"values_0": np.full((60, 1), np.nan)},
        "short": {"values_0": np.ones((59, 1))},
        "more": {"visits": 2},
        "none": {"visits": 0},
    }
    np.savez(tmp_path / "good.npz", **good)
    load_experience(tmp_path / "good.npz")
    for name, change in bad.items():
        np.savez(tmp_path / f"{name}.npz", **(good | change))
    (tmp_path / "text.npz").write_text("no arrays")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "array", IMAGE)
    for name in (*(f"{n}.npz" for n in bad), "text.npz", "empty.npz", "array.npy", "x"):
        with pytest.raises(ValueError, match=f"{name} holds no experience"):
            load_experience(tmp_path / name)


def test_an_experience_is_never_written_over_a_file(tmp_path):
    path = saved(experience_of(IMAGE, TRUTH), tmp_path)
    with pytest.raises(ValueError, match="exists already"):
        experience_of(IMAGE, TRUTH).save(path)


def test_another_number_of_detectors_is_told_in_words(tmp_path):
    from napari_hae.agent.surrogate import Surrogate

    both = np.concatenate([IMAGE, IMAGE])
    settings = ModelSettings(earlier=saved(experience_of(both, TRUTH), tmp_path))
    with pytest.raises(ValueError, match="with detectors: 2; this one has 1"):
        Surrogate(IMAGE, settings, seed=0)


def test_only_the_transfer_network_learns_from_an_earlier_run(tmp_path):
    with pytest.raises(ValueError, match="network 'transfer' only"):
        ModelSettings(network="classic", earlier=tmp_path / "any.npz")


def test_pixels_that_were_not_scanned_do_not_keep_a_run_from_being_learned_from(
    tmp_path,
):
    image, truth = other_sample()
    torn = image.copy()
    torn[:, :2] = np.nan
    torn[:, 5, 5] = np.inf
    earlier = saved(experience_of(torn, truth), tmp_path)
    found = expectations(load_experience(earlier), IMAGE, ModelSettings())
    assert np.isfinite(found).all()
    whole = expectations(experience_of(image, truth), IMAGE, ModelSettings())
    assert np.corrcoef(found[:, 0], whole[:, 0])[0, 1] > 0.8
    assert error(20, earlier) < 0.8 * error(20)
