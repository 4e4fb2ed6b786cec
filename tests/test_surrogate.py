import copy
import logging

import numpy as np
import pytest

import blobs
from napari_hae.agent.descriptors import describe
from napari_hae.agent.model_settings import ModelSettings

PLACES = np.stack(np.indices((blobs.SIDE, blobs.SIDE)).reshape(2, -1), axis=1)
DESCRIPTORS = describe(blobs.image().data, patch_px=8, components=8)
TRUTH = blobs.truth().ravel()
MEASURED = np.random.default_rng(3).choice(len(TRUTH), 24, replace=False)
UNMEASURED = np.setdiff1d(np.arange(len(TRUTH)), MEASURED)


def surrogate(**changes):
    from napari_hae.agent.surrogate import Surrogate

    settings = ModelSettings(**changes)
    return Surrogate(DESCRIPTORS, PLACES.astype(np.float32), settings, seed=1)


@pytest.fixture(scope="module")
def learned():
    """One fit for all tests that only look."""
    model = surrogate()
    model.fit(MEASURED, TRUTH[MEASURED])
    return model


@pytest.fixture
def fitted(learned):
    return copy.deepcopy(learned)


def matern52(one, other, kernel):
    lengths = kernel.base_kernel.lengthscale.detach().numpy()
    difference = (one[:, None] - other[None]) / lengths
    r = np.sqrt(5 * (difference**2).sum(axis=-1))
    return float(kernel.outputscale.detach()) * (1 + r + r**2 / 3) * np.exp(-r)


def by_brute_force(fitted, known, values):
    """Mean and standard deviation for all candidates, from the fitted kernels."""
    model, embedded = fitted._model, fitted.embed()
    places = (PLACES - PLACES.mean(axis=0)) / 10

    def covariance(one, other):
        return matern52(embedded[one], embedded[other], model.kernel) + matern52(
            places[one], places[other], model.position_kernel
        )

    everything = np.arange(len(TRUTH))
    noise = float(model.likelihood.noise.detach()) * np.eye(len(known))
    inverse = np.linalg.inv(covariance(known, known) + noise)
    across = covariance(everything, known)
    centre, spread = TRUTH[MEASURED].mean(), TRUTH[MEASURED].std()
    mean = across @ inverse @ ((values - centre) / spread)
    total = model.kernel.outputscale + model.position_kernel.outputscale
    prior = float(total.detach())
    variance = prior - np.einsum("ij,jk,ik->i", across, inverse, across)
    return centre + spread * mean, spread * np.sqrt(variance)


def test_the_posterior_is_that_of_the_fitted_kernel(fitted):
    mean, std = by_brute_force(fitted, MEASURED, TRUTH[MEASURED])
    posterior = fitted.posterior()
    np.testing.assert_allclose(posterior.mean, mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(posterior.std, std, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pending", [(), (7, 300)])
def test_the_posterior_of_a_large_field_is_computed_in_chunks(
    fitted, monkeypatch, pending
):
    whole = fitted.posterior(pending)
    monkeypatch.setattr("napari_hae.agent.surrogate._KEPT_VALUES", 0)
    monkeypatch.setattr("napari_hae.agent.surrogate._CHUNK_VALUES", 64 * 100)
    chunked = fitted.posterior(pending)
    np.testing.assert_allclose(chunked.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(chunked.std, whole.std, rtol=1e-9)


@pytest.mark.parametrize("kept", [0, 16_000_000])
def test_a_few_more_measurements_condition_the_model_without_a_fit(
    fitted, monkeypatch, kept
):
    monkeypatch.setattr("napari_hae.agent.surrogate._KEPT_VALUES", kept)
    before = fitted.state_dict()["model"]
    expected = fitted.posterior()
    known, values = MEASURED, TRUTH[MEASURED]
    for index in UNMEASURED[[5, 200]]:
        known = np.append(known, index)
        values = np.append(values, expected.mean[index] + 0.5 * expected.std[index])
        fitted.fit(known, values)
        fitted.posterior([int(UNMEASURED[300])])  # what is pending is not learned
    after = fitted.state_dict()["model"]
    assert all((after[name] == before[name]).all() for name in before)
    mean, std = by_brute_force(fitted, known, values)
    posterior = fitted.posterior()
    np.testing.assert_allclose(posterior.mean, mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(posterior.std, std, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kept", [0, 16_000_000])
def test_a_surprise_or_another_target_calls_for_a_fit(fitted, monkeypatch, kept):
    monkeypatch.setattr("napari_hae.agent.surrogate._KEPT_VALUES", kept)
    before = fitted.state_dict()["model"]["likelihood.noise_covar.raw_noise"].clone()
    known = np.append(MEASURED, UNMEASURED[5])
    calm = copy.deepcopy(fitted)
    calm.fit(known, np.append(TRUTH[MEASURED], fitted.posterior().mean[UNMEASURED[5]]))
    surprised, moved = copy.deepcopy(fitted), copy.deepcopy(fitted)
    surprised.fit(known, np.append(TRUTH[MEASURED], 10 * TRUTH.max()))
    moved.fit(MEASURED, TRUTH[MEASURED][::-1].copy())
    noises = [
        model.state_dict()["model"]["likelihood.noise_covar.raw_noise"]
        for model in (calm, surprised, moved)
    ]
    assert [bool((noise == before).all()) for noise in noises] == [True, False, False]


def test_conditioning_keeps_its_precision_over_many_measurements(fitted):
    import torch

    from napari_hae.agent.conditioning import Conditioning

    values = (TRUTH - TRUTH[MEASURED].mean()) / TRUTH[MEASURED].std()
    order = [*MEASURED.tolist(), *UNMEASURED[:200].tolist()]
    with torch.no_grad():
        stepwise = fitted._everywhere()
        for index in UNMEASURED[:200].tolist():
            stepwise.add(index, float(values[index]))
        at_once = Conditioning(
            fitted._model, stepwise._candidates, order, torch.from_numpy(values[order])
        )
    assert stepwise.size == at_once.size == len(order)
    assert torch.allclose(stepwise.mean, at_once.mean, rtol=0, atol=1e-7)
    assert torch.allclose(stepwise.variance, at_once.variance, rtol=0, atol=1e-7)


def test_pending_points_narrow_the_prediction_around_them_and_leave_the_mean(fitted):
    before = fitted.posterior()
    pending = int(before.std.argmax())
    after = fitted.posterior([pending])
    assert after.std[pending] < 0.8 * before.std[pending]
    assert (after.std <= before.std + 1e-9).all()
    np.testing.assert_allclose(after.mean, before.mean, atol=1e-9)


def test_pending_points_count_as_measured_with_what_is_predicted(fitted):
    pending = [7, 300]
    believed = fitted.posterior().mean[pending]
    known = np.append(MEASURED, pending)
    values = np.append(TRUTH[MEASURED], believed)
    mean, std = by_brute_force(fitted, known, values)
    posterior = fitted.posterior(pending)
    np.testing.assert_allclose(posterior.mean, mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(posterior.std, std, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pending", [(), (7, 300)])
def test_samples_have_the_posteriors_mean_and_standard_deviation(fitted, pending):
    posterior = fitted.posterior(pending)
    rng = np.random.default_rng(0)
    draws = np.stack([posterior.sample(rng) for _ in range(300)])
    scale = posterior.std.max()
    np.testing.assert_allclose(draws.mean(axis=0), posterior.mean, atol=0.3 * scale)
    np.testing.assert_allclose(draws.std(axis=0), posterior.std, atol=0.2 * scale)


def test_neighbours_in_a_sample_belong_together(fitted):
    posterior = fitted.posterior()
    rng = np.random.default_rng(0)
    draws = np.stack([posterior.sample(rng) for _ in range(200)])
    centre = int(posterior.std.argmax())
    far = int(np.abs(PLACES - PLACES[centre]).sum(axis=1).argmax())
    beside = centre + 1 if (centre + 1) % blobs.SIDE else centre - 1
    together = np.corrcoef(draws[:, [centre, beside, far]].T)[0]
    assert together[1] > 0.5
    assert together[1] > together[2]


def test_predictions_follow_shift_and_scale_of_the_targets(learned):
    moved = surrogate()
    moved.fit(MEASURED, 1e4 * TRUTH[MEASURED] - 3e5)
    one, other = learned.posterior(), moved.posterior()
    np.testing.assert_allclose(other.std, 1e4 * one.std, rtol=1e-3)
    np.testing.assert_allclose((other.mean + 3e5) / 1e4, one.mean, atol=1e-4)


def test_the_model_learns_the_map_from_few_points(fitted):
    rest = np.setdiff1d(np.arange(len(TRUTH)), MEASURED)
    posterior = fitted.posterior()
    error = TRUTH[rest] - posterior.mean[rest]
    assert error.std() < 0.5 * TRUTH[rest].std()
    assert (np.abs(error) < 3 * posterior.std[rest] + 0.02).mean() > 0.9


@pytest.mark.parametrize("network", ["residual", "none"])
def test_a_restored_state_predicts_the_same_and_goes_on_the_same(network):
    first = surrogate(network=network)
    first.fit(MEASURED[:15], TRUTH[MEASURED[:15]])
    state = first.state_dict()
    expected = first.posterior()
    first.fit(MEASURED[:16], TRUTH[MEASURED[:16]])
    second = surrogate(network=network)
    second.load_state_dict(state)
    np.testing.assert_array_equal(second.posterior().mean, expected.mean)
    np.testing.assert_array_equal(second.posterior().std, expected.std)
    second.fit(MEASURED[:16], TRUTH[MEASURED[:16]])
    np.testing.assert_array_equal(second.posterior().mean, first.posterior().mean)


@pytest.mark.parametrize("network", ["residual", "none", "classic"])
@pytest.mark.parametrize(
    ("indices", "targets"),
    [
        ([5], [3.0]),
        ([5, 6, 7], [3.0, 3.0, 3.0]),
        ([5, 5, 5, 9], [1.0, 1.0, 2.0, 4.0]),
        ([5, 9, 11], [0.0, 1e-30, 1e12]),
    ],
    ids=["one point", "equal targets", "duplicates", "extreme targets"],
)
def test_odd_data_still_give_a_prediction(network, indices, targets, monkeypatch):
    monkeypatch.setattr("napari_hae.agent.fitting.CLASSIC_CYCLES", 3)
    model = surrogate(network=network)
    model.fit(indices, np.array(targets))
    posterior = model.posterior()
    assert np.isfinite(posterior.mean).all()
    assert np.isfinite(posterior.std).all()
    assert np.isfinite(posterior.sample(np.random.default_rng(0))).all()


def test_equal_targets_are_predicted_everywhere():
    model = surrogate()
    model.fit([5, 6, 7], np.array([0.1, 0.1, 0.1]))
    np.testing.assert_allclose(model.posterior().mean, 0.1)


def test_a_field_without_contrast_is_predicted_from_the_position():
    from napari_hae.agent.surrogate import Surrogate

    flat = np.zeros_like(DESCRIPTORS)
    model = Surrogate(flat, PLACES.astype(np.float32), ModelSettings(), seed=0)
    model.fit(MEASURED[:12], TRUTH[MEASURED[:12]])
    assert np.ptp(model.posterior().mean) > 0


@pytest.mark.parametrize("targets", [[], [1.0, np.nan]])
def test_targets_that_are_no_numbers_are_refused(targets):
    with pytest.raises(ValueError, match="finite targets"):
        surrogate().fit(range(len(targets)), np.array(targets))


def test_a_fit_that_fails_keeps_the_hyperparameters_and_says_so(
    fitted, monkeypatch, caplog
):
    def fail(*_, **__):
        raise RuntimeError("not positive definite")

    before = fitted.state_dict()["model"]
    monkeypatch.setattr("napari_hae.agent.fitting.scipy_minimize", fail)
    more = np.append(MEASURED, UNMEASURED[:6])
    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(
            "napari_hae.agent.fitting.negative_log_posterior", fail, raising=True
        )
        fitted.fit(more, TRUTH[more])
    after = fitted.state_dict()["model"]
    assert all((after[name] == before[name]).all() for name in before)
    assert "keeps its previous hyperparameters" in caplog.text
    std = fitted.posterior().std
    assert std[UNMEASURED[0]] < std.max()


def test_the_fit_improves_the_marginal_likelihood(fitted):
    from napari_hae.agent.surrogate import Surrogate

    unfitted = Surrogate(
        DESCRIPTORS, PLACES.astype(np.float32), ModelSettings(), seed=1
    )
    unfitted._take_data(MEASURED, TRUTH[MEASURED])
    unfitted._model = unfitted._new_model()
    assert fitted.log_marginal_likelihood > unfitted.log_marginal_likelihood + 0.1


def test_the_objective_is_gpytorchs_own(fitted):
    import gpytorch

    from napari_hae.agent.fitting import negative_log_posterior

    model = fitted._model
    model.train()
    reference = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)
    value = -reference(model(*model.train_inputs), model.train_targets)
    assert negative_log_posterior(model).item() == pytest.approx(value.item())


def test_the_residual_network_begins_as_the_identity():
    model = surrogate()
    model._take_data(MEASURED, TRUTH[MEASURED])
    model._model = model._new_model()
    np.testing.assert_allclose(model.embed(), DESCRIPTORS, rtol=1e-6)


def test_the_classic_network_embeds_in_as_many_dimensions_as_asked(monkeypatch):
    monkeypatch.setattr("napari_hae.agent.fitting.CLASSIC_CYCLES", 3)
    model = surrogate(network="classic", embedding_dim=3)
    model.fit(MEASURED, TRUTH[MEASURED])
    assert model.embed().shape == (len(TRUTH), 3)


def test_building_a_model_leaves_torchs_own_random_numbers_alone():
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    surrogate().fit([1, 2], np.array([1.0, 2.0]))
    assert torch.rand(1) == expected


def test_the_noise_is_in_the_unit_of_the_targets(fitted):
    assert np.isnan(surrogate().noise_std)
    larger = surrogate()
    larger.fit(MEASURED, 1000 * TRUTH[MEASURED] + 5)
    assert larger.noise_std == pytest.approx(1000 * fitted.noise_std, rel=1e-3)
