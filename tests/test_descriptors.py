import numpy as np
import pytest

from napari_hae.agent.descriptors import (
    SCALES_PX,
    derivatives,
    describe,
    patches,
    principal_components,
)
from napari_hae.agent.embedding import embed
from napari_hae.agent.model_settings import ModelSettings


@pytest.fixture
def survey():
    return np.random.default_rng(0).normal(size=(2, 9, 12)).astype(np.float32)


def described(data):
    return describe(data, patch_px=8, components=8)


@pytest.mark.parametrize("size_px", [1, 2, 5, 8, 30])
def test_patches_equal_those_cut_one_by_one_from_the_reflected_image(survey, size_px):
    before, after = size_px // 2, (size_px - 1) // 2
    margins = ((0, 0), (before, after), (before, after))
    reflected = np.pad(survey, margins, "symmetric")
    expected = [
        [reflected[:, r : r + size_px, c : c + size_px] for c in range(12)]
        for r in range(9)
    ]
    np.testing.assert_array_equal(patches(survey, size_px), expected)


@pytest.mark.parametrize("size_px", [5, 8])
def test_every_pixel_has_a_patch_with_that_pixel_in_its_middle(survey, size_px):
    cut = patches(survey, size_px)
    assert cut.shape == (9, 12, 2, size_px, size_px)
    middle = cut[..., size_px // 2, size_px // 2]
    np.testing.assert_array_equal(middle, np.moveaxis(survey, 0, 2))


def test_patches_of_a_large_field_take_no_more_memory_than_the_field():
    field = np.zeros((1, 1024, 1024), np.float32)
    cut = patches(field, 16)
    owner = cut
    while owner.base is not None:
        owner = owner.base
    assert cut.nbytes > 1e9
    assert owner.nbytes < 1.1 * field.nbytes


def test_descriptors_are_standardised_numbers_for_every_pixel(survey):
    descriptors = described(survey)
    assert descriptors.shape == (9 * 12, 8 + 12 * 2)
    assert descriptors.dtype == np.float32
    np.testing.assert_allclose(descriptors.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(descriptors.std(axis=0), 1, atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 3.7, 1e6])
def test_a_flat_image_has_descriptors_of_zero(level):
    assert not described(np.full((1, 10, 10), level, np.float32)).any()


def test_one_flat_detector_does_not_spoil_the_other(survey):
    survey[1] = 5.0
    descriptors = described(survey)
    assert np.isfinite(descriptors).all()
    assert not descriptors[:, 8 + 12 :].any()
    assert descriptors[:, 8 : 8 + 12].std(axis=0).min() > 0.9


@pytest.mark.parametrize("size_px", [6, 26])
def test_components_that_the_patches_do_not_have_are_not_made_up_from_rounding(size_px):
    stripes = np.tile([0.0, 1.0], 20).astype(np.float32) * np.ones((40, 1), np.float32)
    components = principal_components(stripes[None], size_px, 8).reshape(40, 40, 8)
    assert components.std(axis=(0, 1))[0] == pytest.approx(1, abs=1e-5)
    assert np.ptp(components, axis=0).max() < 1e-4


NETWORKS = ["transfer", "none"]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_pixel_without_a_number_counts_as_the_median_of_its_detector(
    survey, network, wrong
):
    settings = ModelSettings(network=network)
    spoilt, mended = survey.copy(), survey.copy()
    spoilt[1, 3:5, 7] = wrong
    mended[1, 3:5, 7] = np.median(survey[1][np.isfinite(spoilt[1])])
    np.testing.assert_array_equal(embed(spoilt, settings), embed(mended, settings))
    assert np.isfinite(embed(spoilt, settings)).all()
    assert np.isnan(spoilt[1, 3, 7]) or np.isinf(spoilt[1, 3, 7])


@pytest.mark.parametrize("network", NETWORKS)
def test_a_detector_without_any_number_is_flat(survey, network):
    settings = ModelSettings(network=network)
    spoilt, flat = survey.copy(), survey.copy()
    spoilt[1], flat[1] = np.nan, 0
    np.testing.assert_array_equal(embed(spoilt, settings), embed(flat, settings))


def test_an_image_of_numbers_is_described_as_it_is(survey):
    settings = ModelSettings(network="none")
    np.testing.assert_array_equal(embed(survey, settings), described(survey))


def test_descriptors_do_not_depend_on_the_detectors_gain_and_offset(survey):
    other = survey * np.float32(100) + np.float32(7)
    np.testing.assert_allclose(described(other), described(survey), atol=1e-3)


def test_derivatives_turn_with_the_image(survey):
    turned = derivatives(np.rot90(survey, axes=(1, 2)))
    expected = derivatives(survey).reshape(9, 12, -1)
    np.testing.assert_allclose(turned.reshape(12, 9, -1), np.rot90(expected), atol=1e-4)


def test_the_gradient_of_a_ramp_is_the_same_everywhere_inside():
    ramp = np.tile(np.arange(60, dtype=np.float32), (60, 1))[None]
    columns = derivatives(ramp).reshape(60, 60, len(SCALES_PX), 4)
    inside = columns[20:40, 20:40, :, 1]
    np.testing.assert_allclose(inside, inside[:1, :1] * np.ones_like(inside), atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 2), (1, 1, 40)])
def test_tiny_fields_are_described(shape):
    data = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    descriptors = described(data)
    assert len(descriptors) == shape[1] * shape[2]
    assert np.isfinite(descriptors).all()


def test_the_components_are_the_leading_ones_however_they_are_computed(monkeypatch):
    data = np.random.default_rng(2).normal(size=(1, 30, 30)).astype(np.float32)
    dense = principal_components(data, 8, 4)
    monkeypatch.setattr("napari_hae.agent.descriptors._DENSE_RANK", 8)
    np.testing.assert_allclose(principal_components(data, 8, 4), dense, atol=1e-3)
