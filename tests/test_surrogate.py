import copy
import logging

import numpy as np
import pytest

import blobs
from napari_hae.agent.covariance import MEAN_VARIANCE
from napari_hae.agent.model_settings import ModelSettings

DATA = blobs.image().data
PLACES = np.stack(np.indices((blobs.SIDE, blobs.SIDE)).reshape(2, -1), axis=1)
TRUTH = blobs.truth().ravel()
MEASURED = np.random.default_rng(3).choice(len(TRUTH), 24, replace=False)
UNMEASURED = np.setdiff1d(np.arange(len(TRUTH)), MEASURED)
NETWORKS = ["transfer", "tuned", "residual", "classic", "none"]


def surrogate(data=DATA, **changes):
    from napari_hae.agent.surrogate import Surrogate

    return Surrogate(data, ModelSettings(**changes), seed=1)


@pytest.fixture(scope="module")
def learned():
    """One fit for all tests that only look."""
    model = surrogate()
    model.fit(MEASURED, TRUTH[MEASURED])
    return model


@pytest.fixture
def fitted(learned):
    return copy.deepcopy(learned)


def matern52(one, other, lengths, variance):
    difference = (one[:, None] - other[None]) / lengths
    r = np.sqrt(5 * (difference**2).sum(axis=-1))
    return variance * (1 + r + r**2 / 3) * np.exp(-r)


def logs(fitted):
    return fitted.state_dict()["fitted"].logs


def scale(fitted):
    return fitted.state_dict()["fitted"].scale


def by_brute_force(fitted, known, values, errors=0.0):
    """Mean and standard deviation for all candidates, from the fitted kernels."""
    embedded = fitted.embed()
    places = (PLACES - PLACES.mean(axis=0)) / 10
    width = embedded.shape[1]
    found = np.exp(logs(fitted))
    seen, near, noisy = found[-3:]

    def covariance(one, other):
        return (
            MEAN_VARIANCE
            + matern52(embedded[one], embedded[other], found[:width], seen)
            + matern52(places[one], places[other], found[width : width + 2], near)
        )

    everything = np.arange(len(TRUTH))
    centre, spread = TRUTH[MEASURED].mean(), TRUTH[MEASURED].std()
    noise = np.diag(noisy + np.broadcast_to(errors / spread, len(known)) ** 2)
    inverse = np.linalg.inv(covariance(known, known) + noise)
    across = covariance(everything, known)
    mean = across @ inverse @ ((values - centre) / spread)
    explained = np.einsum("ij,jk,ik->i", across, inverse, across)
    variance = scale(fitted) * (MEAN_VARIANCE + seen + near - explained)
    return centre + spread * mean, spread * np.sqrt(variance)


def test_the_posterior_is_that_of_the_fitted_kernel(fitted):
    mean, std = by_brute_force(fitted, MEASURED, TRUTH[MEASURED])
    posterior = fitted.posterior()
    np.testing.assert_allclose(posterior.mean, mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(posterior.std, std, rtol=0, atol=1e-6)


def test_errors_that_are_known_count_beside_the_noise_that_is_fitted():
    errors = np.random.default_rng(0).uniform(0, 0.3, len(MEASURED))
    model = surrogate()
    model.fit(MEASURED, TRUTH[MEASURED], errors)
    mean, std = by_brute_force(model, MEASURED, TRUTH[MEASURED], errors)
    posterior = model.posterior()
    np.testing.assert_allclose(posterior.mean, mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(posterior.std, std, rtol=0, atol=1e-6)
    noise = scale(model) * np.exp(logs(model)[-1])
    fitted_alone = model._standard.spread * np.sqrt(noise)
    assert model.noise_std == pytest.approx(
        np.hypot(fitted_alone, np.sqrt(np.mean(errors**2)))
    )


def test_a_measurement_known_to_be_noisy_moves_the_prediction_less(fitted):
    place, far = UNMEASURED[50], 3 * TRUTH.max()
    known = np.append(MEASURED, place)
    moved = []
    for error in (0.0, far):
        model = surrogate()
        errors = np.append(np.zeros(len(MEASURED)), error)
        model.fit(known, np.append(TRUTH[MEASURED], far), errors)
        moved.append(abs(model.posterior().mean[place] - TRUTH[place]))
    assert moved[1] < 0.5 * moved[0]


def test_wider_intervals_leave_the_mean_as_it_is(monkeypatch):
    errors, models = np.full(len(MEASURED), 0.2), []
    for factor in (1.0, 4.0):
        to_use = "napari_hae.agent.surrogate.variance_scale"
        monkeypatch.setattr(to_use, lambda *_, factor=factor: factor)
        models.append(surrogate())
        models[-1].fit(MEASURED, TRUTH[MEASURED], errors)
    usual, wide = (model.posterior([40]) for model in models)
    np.testing.assert_array_equal(wide.mean, usual.mean)
    np.testing.assert_allclose(wide.std, 2 * usual.std, rtol=1e-12)
    drawn = [each.sample(np.random.default_rng(1)) for each in (usual, wide)]
    np.testing.assert_allclose(
        drawn[1] - wide.mean, 2 * (drawn[0] - usual.mean), atol=1e-9
    )
    assert models[1].fitted_noise_std == 2 * models[0].fitted_noise_std
    assert models[1].log_likelihood == models[0].log_likelihood


def test_without_cross_validation_intervals_are_those_of_the_fit(monkeypatch, caplog):
    def fail(*_):
        raise np.linalg.LinAlgError("no factor")

    monkeypatch.setattr("napari_hae.agent.surrogate.variance_scale", fail)
    model = surrogate()
    model.fit(MEASURED, TRUTH[MEASURED])
    assert scale(model) == 1
    assert np.isfinite(model.posterior().std).all()
    assert "intervals are those of the fit alone" in caplog.text


@pytest.mark.parametrize("network", NETWORKS)
def test_every_model_takes_errors(network):
    model = surrogate(network=network)
    model.fit(MEASURED, TRUTH[MEASURED], np.full(len(MEASURED), 0.1))
    assert np.isfinite(model.posterior().mean).all()
    assert model.noise_std >= 0.1


@pytest.mark.parametrize("pending", [(), (7, 300)])
def test_the_posterior_of_a_large_field_is_computed_in_chunks(
    fitted, monkeypatch, pending
):
    whole = fitted.posterior(pending)
    monkeypatch.setattr("napari_hae.agent.conditioning.KEPT_VALUES", 0)
    monkeypatch.setattr("napari_hae.agent.conditioning._CHUNK_VALUES", 64 * 100)
    fitted._conditioning = None
    chunked = fitted.posterior(pending)
    np.testing.assert_allclose(chunked.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(chunked.std, whole.std, rtol=1e-9)


@pytest.mark.parametrize("kept", [0, 16_000_000])
def test_a_few_more_measurements_condition_the_model_without_a_fit(
    fitted, monkeypatch, kept
):
    monkeypatch.setattr("napari_hae.agent.conditioning.KEPT_VALUES", kept)
    before = logs(fitted)
    fitted._conditioning = None
    expected = fitted.posterior()
    known, values = MEASURED, TRUTH[MEASURED]
    for index in UNMEASURED[[5, 200]]:  # fewer than call for a fit
        known = np.append(known, index)
        values = np.append(values, expected.mean[index] + 0.5 * expected.std[index])
        fitted.fit(known, values)
        fitted.posterior([int(UNMEASURED[300])])  # what is pending is not learned
    np.testing.assert_array_equal(logs(fitted), before)
    mean, std = by_brute_force(fitted, known, values)
    posterior = fitted.posterior()
    np.testing.assert_allclose(posterior.mean, mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(posterior.std, std, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kept", [0, 16_000_000])
def test_a_surprise_or_another_target_calls_for_a_fit(fitted, monkeypatch, kept):
    monkeypatch.setattr("napari_hae.agent.conditioning.KEPT_VALUES", kept)
    fitted._conditioning = None
    before = logs(fitted)
    known = np.append(MEASURED, UNMEASURED[5])
    calm = copy.deepcopy(fitted)
    calm.fit(known, np.append(TRUTH[MEASURED], fitted.posterior().mean[UNMEASURED[5]]))
    surprised, moved = copy.deepcopy(fitted), copy.deepcopy(fitted)
    surprised.fit(known, np.append(TRUTH[MEASURED], 10 * TRUTH.max()))
    moved.fit(MEASURED, TRUTH[MEASURED][::-1].copy())
    same = [bool((logs(model) == before).all()) for model in (calm, surprised, moved)]
    assert same == [True, False, False]


MANY_PLACES = np.random.default_rng(5).permutation(len(TRUTH))


@pytest.mark.parametrize(
    ("noise", "contrast"), [(1.0, 100.0), (0.0, 100.0), (0.0, 5.0)]
)
def test_many_learn_of_a_feature_that_is_far_from_all_that_was_known(noise, contrast):
    rng = np.random.default_rng(0)
    feature = TRUTH[MANY_PLACES] > np.quantile(TRUTH, 0.8)
    values = noise * rng.standard_normal(len(TRUTH)) + contrast * feature
    background, feature = np.flatnonzero(~feature), np.flatnonzero(feature)
    order = [*background[:105], *feature[:30]]
    model = surrogate()
    for count in range(105, len(order) + 1):
        model.fit(MANY_PLACES[order[:count]], values[order[:count]])
    rest = np.setdiff1d(np.arange(len(TRUTH)), order)
    posterior = model.posterior()
    missed = abs(values[rest] - posterior.mean[MANY_PLACES[rest]])
    std = np.hypot(posterior.std[MANY_PLACES[rest]], model.noise_std)
    assert (missed < 1.96 * std).mean() > 0.8
    assert std.mean() < contrast


def test_among_many_a_few_surprises_call_for_no_fit_and_more_of_them_for_one():
    model = surrogate()
    known, values = MANY_PLACES[:105], TRUTH[MANY_PLACES[:105]]
    rng = np.random.default_rng(0)
    model.fit(known, values + 0.1 * TRUTH.std() * rng.standard_normal(105))
    values = model.state_dict()["targets"]
    before, same = logs(model), []
    for place in MANY_PLACES[105:109]:
        expected = model.posterior()
        off = 5 * np.hypot(expected.std[place], model.noise_std)
        known = np.append(known, place)
        values = np.append(values, expected.mean[place] + off)
        restored = surrogate()
        restored.load_state_dict(model.state_dict())
        for each in (model, restored):
            each.fit(known, values)
        same.append(np.array_equal(logs(model), before))
        assert np.array_equal(logs(restored), before) == same[-1]
    assert same == [True, True, True, False]


@pytest.mark.parametrize("tails", [2, 1000])
def test_many_of_a_kind_are_fitted_again_only_as_they_grow(monkeypatch, tails):
    from napari_hae.agent import surrogate as module

    def counted(*given):
        fits.append(len(given))
        return fit(*given)

    fits, fit = [], module.fit
    monkeypatch.setattr(module, "fit", counted)
    noise = 0.1 * TRUTH.std() * np.random.default_rng(1).standard_t(tails, len(TRUTH))
    model = surrogate()
    for count in range(100, 301):
        model.fit(MANY_PLACES[:count], (TRUTH + noise)[MANY_PLACES[:count]])
    assert len(fits) == 3


@pytest.mark.parametrize("kept", [0, 20_000, 16_000_000])
def test_conditioning_keeps_its_precision_over_many_measurements(
    fitted, monkeypatch, kept
):
    import torch

    from napari_hae.agent.conditioning import Conditioning

    monkeypatch.setattr("napari_hae.agent.conditioning.KEPT_VALUES", kept)
    values = (TRUTH - TRUTH[MEASURED].mean()) / TRUTH[MEASURED].std()
    order = [*MEASURED.tolist(), *UNMEASURED[:200].tolist()]
    # What is known of the noise differs from place to place.
    noise = np.random.default_rng(0).uniform(0, 0.5, len(TRUTH))
    fitted._errors = np.sqrt(noise[MEASURED]) * fitted._standard.spread
    fitted._conditioning = None
    stepwise = fitted._everywhere()
    for index in UNMEASURED[:200].tolist():
        known = torch.tensor([noise[index]])
        stepwise.add([index], [float(values[index])], known)
    at_once = Conditioning(
        fitted._covariance(),
        fitted._scaled(),
        order,
        torch.from_numpy(values[order]),
        torch.from_numpy(noise[order]),
    )
    assert stepwise.size == at_once.size == len(order)
    assert torch.allclose(stepwise.mean, at_once.mean, rtol=0, atol=1e-7)
    assert torch.allclose(stepwise.variance, at_once.variance, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kept", [0, 16_000_000])
def test_pending_points_may_come_and_go_and_be_measured(fitted, monkeypatch, kept):
    monkeypatch.setattr("napari_hae.agent.conditioning.KEPT_VALUES", kept)
    pending = UNMEASURED[[9, 100, 250, 400]].tolist()
    calm = copy.deepcopy(fitted)
    for asked in ([0], [0, 1], [0, 1, 2], [0, 2], [], [3, 1]):
        fitted._conditioning = None
        places = [pending[which] for which in asked]
        expected = fitted.posterior(places).std
        np.testing.assert_allclose(calm.posterior(places).std, expected, rtol=1e-8)
    known = np.append(MEASURED, pending[:2])
    values = np.append(TRUTH[MEASURED], calm.posterior().mean[pending[:2]] + 1e-3)
    before = logs(calm)
    calm.fit(known, values)
    np.testing.assert_array_equal(logs(calm), before)
    mean, std = by_brute_force(calm, known, values)
    np.testing.assert_allclose(calm.posterior().mean, mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(calm.posterior().std, std, rtol=0, atol=1e-6)
    # What was measured just now narrows what is pending after it, too.
    with_next = calm.posterior(pending[2:]).std
    calm._conditioning = None
    np.testing.assert_allclose(with_next, calm.posterior(pending[2:]).std, rtol=1e-6)


def test_pending_points_leave_every_bit_of_what_comes_after_them(fitted, monkeypatch):
    """Also where there is no room for their rows beside those of the measured ones."""
    import torch

    rows = len(MEASURED) + 20
    monkeypatch.setattr("napari_hae.agent.conditioning.KEPT_VALUES", rows * len(TRUTH))
    fitted._conditioning = None
    calm, busy = (copy.deepcopy(fitted)._everywhere() for _ in range(2))
    new = UNMEASURED[:40].tolist()
    for which, place in enumerate(new):
        busy.variance_with(new[which : which + 8])
        for each in (calm, busy):
            each.add([place], [0.1], torch.zeros(1))
        assert torch.equal(calm.mean, busy.mean)
        assert torch.equal(calm.variance, busy.variance)


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


@pytest.mark.parametrize("network", ["transfer", "tuned", "residual", "none"])
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


@pytest.mark.parametrize("network", NETWORKS)
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
    monkeypatch.setattr("napari_hae.agent.deep_kernel.CYCLES", 3)
    model = surrogate(network=network)
    model.fit(indices, np.array(targets))
    posterior = model.posterior()
    assert np.isfinite(posterior.mean).all()
    assert np.isfinite(posterior.std).all()
    assert np.isfinite(posterior.sample(np.random.default_rng(0))).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_without_position_equal_surroundings_are_predicted_equal(network, monkeypatch):
    monkeypatch.setattr("napari_hae.agent.deep_kernel.CYCLES", 3)
    halves = np.concatenate([DATA[:, :12], DATA[:, :12][:, ::-1]], axis=1)
    model = surrogate(halves, network=network, position_kernel=False)
    model.fit(MEASURED, TRUTH[MEASURED])
    posterior = model.posterior()
    shape = halves.shape[1:]
    if network in ("transfer", "tuned"):
        mean = posterior.mean.reshape(shape)
        np.testing.assert_allclose(mean, mean[::-1], atol=5e-3 * np.ptp(mean))
    assert np.isfinite(posterior.std).all()
    assert np.isfinite(posterior.sample(np.random.default_rng(0))).all()
    assert len(model.embed()) == len(TRUTH)


def test_equal_targets_are_predicted_everywhere():
    model = surrogate()
    model.fit([5, 6, 7], np.array([0.1, 0.1, 0.1]))
    np.testing.assert_allclose(model.posterior().mean, 0.1)


@pytest.mark.parametrize("network", ["transfer", "none"])
def test_a_field_without_contrast_is_predicted_from_the_position(network):
    model = surrogate(np.zeros_like(DATA), network=network)
    model.fit(MEASURED[:12], TRUTH[MEASURED[:12]])
    assert np.ptp(model.posterior().mean) > 0


@pytest.mark.parametrize("targets", [[], [1.0, np.nan]])
def test_targets_that_are_no_numbers_are_refused(targets):
    with pytest.raises(ValueError, match="finite targets"):
        surrogate().fit(range(len(targets)), np.array(targets))


def test_a_fit_that_fails_is_tried_afresh(fitted, monkeypatch, caplog):
    from napari_hae.agent import surrogate as module

    def fail_when_warm(evidence, start, iterations):
        tried.append(iterations)
        return None if iterations == module.WARM_ITERATIONS else start

    tried = []
    monkeypatch.setattr(module, "fit", fail_when_warm)
    more = np.append(MEASURED, UNMEASURED[:6])
    fitted.fit(more, TRUTH[more])
    assert tried == [module.WARM_ITERATIONS, module.FRESH_ITERATIONS]
    assert not caplog.text


@pytest.mark.parametrize("network", NETWORKS)
def test_when_every_fit_fails_a_plain_gaussian_process_predicts(
    network, monkeypatch, caplog
):
    from napari_hae.agent import surrogate as module

    model = surrogate(network=network)
    monkeypatch.setattr(module, "fit", lambda *_: None)
    monkeypatch.setattr("napari_hae.agent.deep_kernel.fit_network", lambda *_: None)
    with caplog.at_level(logging.WARNING):
        model.fit(MEASURED, TRUTH[MEASURED])
    assert "plain Gaussian process" in caplog.text
    posterior = model.posterior()
    error = posterior.mean[UNMEASURED] - TRUTH[UNMEASURED]
    assert error.std() < TRUTH.std()
    assert posterior.std[MEASURED].mean() < posterior.std[UNMEASURED].mean()


def test_the_fit_improves_the_marginal_likelihood(fitted):
    unfitted = copy.deepcopy(fitted)
    unfitted.load_state_dict({**fitted.state_dict(), "fitted": unfitted._unfitted()})
    assert fitted.log_likelihood > unfitted.log_likelihood + 0.1


def test_the_residual_network_begins_as_the_identity():
    import torch

    from napari_hae.agent.networks import network

    inputs = torch.arange(10.0).reshape(2, 5)
    untrained = network(ModelSettings(network="residual"), 5)
    assert torch.equal(untrained(inputs), inputs)


def test_the_classic_network_embeds_in_as_many_dimensions_as_asked(monkeypatch):
    monkeypatch.setattr("napari_hae.agent.deep_kernel.CYCLES", 3)
    model = surrogate(network="classic", embedding_dim=3)
    model.fit(MEASURED, TRUTH[MEASURED])
    assert model.embed().shape == (len(TRUTH), 3)


@pytest.mark.parametrize("network", ["tuned", "residual", "classic"])
def test_the_learning_rate_is_how_far_the_fit_goes(network, monkeypatch):
    monkeypatch.setattr("napari_hae.agent.deep_kernel.CYCLES", 3)
    usual = {"classic": 0.01}.get(network)
    means = []
    for rate in (None, 0.01, 0.1):
        model = surrogate(network=network, learning_rate=rate)
        model.fit(MEASURED, TRUTH[MEASURED])
        means.append(model.posterior().mean)
    assert np.array_equal(means[0], means[1]) == (usual == 0.01)
    assert not np.allclose(means[1], means[2])


def test_a_graphics_card_gives_the_same_predictions():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch finds no graphics card to compare with")
    posteriors = []
    for device in ("cpu", "cuda"):
        model = surrogate(device=device)
        model.fit(MEASURED, TRUTH[MEASURED])
        posteriors.append(model.posterior([7, 300]))
    np.testing.assert_allclose(posteriors[1].mean, posteriors[0].mean, rtol=1e-6)
    np.testing.assert_allclose(posteriors[1].std, posteriors[0].std, rtol=1e-6)
    assert posteriors[1].std.argmax() == posteriors[0].std.argmax()


def test_a_graphics_card_that_is_not_there_is_refused_in_words():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a graphics card")
    with pytest.raises(ValueError, match="no graphics card"):
        surrogate(device="cuda")


def test_building_a_model_leaves_torchs_own_random_numbers_alone():
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    surrogate(network="residual").fit([1, 2], np.array([1.0, 2.0]))
    assert torch.rand(1) == expected


def test_some_of_many_candidates_tell_how_much_they_vary(fitted, monkeypatch):
    seen, exact = fitted.likeness(MEASURED, UNMEASURED)
    embedded = fitted.embed()
    np.testing.assert_allclose(seen, embedded[MEASURED])
    np.testing.assert_allclose(exact, embedded[UNMEASURED].var(axis=0))
    monkeypatch.setattr("napari_hae.agent.surrogate._ENOUGH", 300)
    told = fitted.likeness(MEASURED, UNMEASURED)[1]
    assert np.mean(told / exact) == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(fitted.likeness(MEASURED, UNMEASURED)[1], told)


def test_the_noise_is_in_the_unit_of_the_targets(fitted):
    assert np.isnan(surrogate().noise_std)
    larger = surrogate()
    larger.fit(MEASURED, 1000 * TRUTH[MEASURED] + 5)
    assert larger.noise_std == pytest.approx(1000 * fitted.noise_std, rel=1e-3)
