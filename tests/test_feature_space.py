"""Pictures of all candidates in two dimensions."""

import numpy as np
import pytest

import blobs
from napari_hae.agent.acquisition import LogExpectedImprovement
from napari_hae.agent.feature_space import (
    ModelSpace,
    plane_of,
    survey_features,
    turned_to,
)
from napari_hae.agent.goal import Goal
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy import Policy
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.types import ScanImage

IMAGE, TRUTH = blobs.image(), blobs.truth()
VALUES = np.random.default_rng(0).normal(size=(500, 6)) * [5, 3, 1, 1, 0.5, 0.1] + 7


def root_mean_square(picture):
    return np.sqrt((picture.astype(float) ** 2).sum(axis=1).mean())


def turned(picture, degrees, *, mirrored=False):
    angle = np.deg2rad(degrees)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return (picture @ np.array(turn) * [1, -1 if mirrored else 1]).astype(np.float32)


def surrogate(measured=24, **settings):
    from napari_hae.agent.surrogate import Surrogate

    model = Surrogate(IMAGE.data, ModelSettings(**settings), seed=1)
    learn(model, measured)
    return model


def learn(model, measured):
    places = np.random.default_rng(3).choice(TRUTH.size, measured, replace=False)
    model.fit(places, TRUTH.ravel()[places])


def test_a_plane_has_the_first_two_principal_components():
    picture = plane_of(VALUES)
    centred = VALUES - VALUES.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    expected /= root_mean_square(expected)
    assert picture.shape == (500, 2)
    assert root_mean_square(picture) == pytest.approx(1, rel=1e-5)
    # Their sign is arbitrary.
    np.testing.assert_allclose(np.abs(picture), np.abs(expected), atol=1e-5)


def test_the_sign_of_an_axis_is_the_same_each_time():
    np.testing.assert_array_equal(plane_of(VALUES), plane_of(VALUES.copy()))
    np.testing.assert_allclose(plane_of(VALUES), plane_of(3 * VALUES - 40), atol=1e-5)


def test_two_dimensions_are_kept_and_one_is_a_line():
    two, one = plane_of(VALUES[:, 1:3]), plane_of(VALUES[:, :1])
    assert np.corrcoef(two[:, 0], VALUES[:, 1])[0, 1] == pytest.approx(1)
    assert np.corrcoef(two[:, 1], VALUES[:, 2])[0, 1] == pytest.approx(1)
    assert np.corrcoef(one[:, 0], VALUES[:, 0])[0, 1] == pytest.approx(1)
    np.testing.assert_array_equal(one[:, 1], 0)


def test_equal_candidates_lie_on_one_point():
    np.testing.assert_array_equal(plane_of(np.full((9, 4), 2.5)), 0)


@pytest.mark.parametrize("degrees", [0, 90, 137, 180, 300])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_picture_is_turned_back_to_the_one_before(degrees, mirrored):
    before = plane_of(VALUES)
    after = turned(before, degrees, mirrored=mirrored)
    np.testing.assert_allclose(turned_to(before, after), before, atol=1e-5)


def test_a_picture_of_other_candidates_turns_nothing():
    picture = plane_of(VALUES)
    assert turned_to(picture[:100], picture) is picture
    assert turned_to(None, picture) is picture


def test_the_fixed_network_is_drawn_once():
    model, space = surrogate(), ModelSpace()
    space.update(model)
    picture = space.picture
    assert picture.shape == (TRUTH.size, 2)
    learn(model, 60)
    space.update(model)
    assert space.picture is picture
    with pytest.raises(ValueError, match="read-only"):
        picture[0] = 0


@pytest.mark.parametrize("network", ["tuned", "classic"])
def test_a_network_fitted_anew_is_drawn_anew_and_lies_as_before(network):
    model, space = surrogate(network=network), ModelSpace()
    space.update(model)
    before = space.picture
    learn(model, 60)
    space.update(model)
    after = space.picture
    assert not np.array_equal(after, before)
    # Neither turned nor mirrored: no turn would bring it nearer.
    np.testing.assert_allclose(turned_to(before, after), after, atol=1e-4)


def test_another_model_of_the_same_field_is_drawn_beside_the_first():
    space = ModelSpace()
    space.update(surrogate())
    before = space.picture
    space.update(surrogate(network="none"))
    assert not np.array_equal(space.picture, before)


def test_a_model_without_a_fit_has_no_picture():
    from napari_hae.agent.surrogate import Surrogate

    space = ModelSpace()
    space.update(None)
    space.update(Surrogate(IMAGE.data, ModelSettings(), seed=0))
    assert space.picture is None


def test_a_policy_has_a_picture_from_its_first_prediction_on():
    policy = Policy(
        IMAGE,
        model=ModelSettings(),
        acquisition=LogExpectedImprovement(),
        goal=Goal(),
        initial=InitialDesign(points=3),
        seed=0,
    )
    for step in range(4):
        assert policy.picture() is None
        proposal = policy.ask(step, blobs.ANYWHERE)
        policy.tell(proposal.row, proposal.column, TRUTH[proposal.row, proposal.column])
    assert policy.picture().shape == (TRUTH.size, 2)


def test_descriptors_are_principal_components_of_patches():
    found = survey_features(IMAGE, 4)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(IMAGE.data[0], ((2, 1), (2, 1)), mode="symmetric"), (4, 4)
    ).reshape(TRUTH.size, -1)
    centred = windows - windows.mean(axis=0)
    _, _, axes = np.linalg.svd(centred.astype(float), full_matrices=False)
    expected = centred @ axes[:2].T
    expected /= expected.std(axis=0) * np.sqrt(2)
    np.testing.assert_allclose(np.abs(found.picture), np.abs(expected), atol=1e-3)


def test_descriptors_do_not_depend_on_a_detectors_gain():
    plane = IMAGE.data[0]
    both = ScanImage(np.stack([plane, plane.T**2]), ("A", "B"), IMAGE.fov_nm, 1e-5)
    loud = ScanImage(
        np.stack([plane, 900 * plane.T**2]), ("A", "B"), IMAGE.fov_nm, 1e-5
    )
    np.testing.assert_allclose(
        survey_features(loud, 4).picture, survey_features(both, 4).picture, atol=1e-3
    )


def test_intensity_is_the_mean_of_the_patch():
    found = survey_features(IMAGE, 3).intensity.reshape(TRUTH.shape)
    plane = IMAGE.data[0]
    assert found[10, 12] == pytest.approx(plane[9:12, 11:14].mean(), rel=1e-5)


def test_bad_pixels_and_flat_fields_have_descriptors():
    broken = IMAGE.data[0].copy()
    broken[3, 3] = np.nan
    for plane in (broken, np.zeros_like(broken)):
        found = survey_features(blobs.image(plane), 8)
        assert np.isfinite(found.picture).all()
        assert np.isfinite(found.intensity).all()


def test_65_000_candidates_are_described():
    plane = np.random.default_rng(1).normal(size=(256, 256)).astype(np.float32)
    found = survey_features(blobs.image(plane), 8)
    assert found.picture.shape == (65_536, 2)
    assert found.intensity.shape == (65_536,)
    picture = plane_of(np.random.default_rng(2).normal(size=(65_536, 16)))
    np.testing.assert_allclose(turned_to(picture, -picture), picture, atol=1e-4)
