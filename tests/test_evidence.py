"""The evidence, the covariance and their gradient against references."""

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime

from napari_hae.agent.covariance import MEAN_VARIANCE, Covariance, Part, prior_of
from napari_hae.agent.evidence import Evidence
from napari_hae.agent.fitting import fit

PARTS = (Part("matern52", 4, 0.3, 0.0), Part("matern52", 2, 0.35, -1.0))
WITH_RBF = (Part("rbf", 4, 0.3, 0.0), Part("matern52", 2, 0.35, -1.0))
RNG = np.random.default_rng(0)
INPUTS = torch.from_numpy(RNG.standard_normal((30, 6)))
TARGETS = torch.from_numpy(RNG.standard_normal(30))
LOGS = prior_of(PARTS)[0] + 0.3 * RNG.standard_normal(9)


def gpytorch_kernel(parts, covariance):
    """The same covariance from gpytorch, in float64."""
    from gpytorch.kernels import ConstantKernel, MaternKernel, RBFKernel, ScaleKernel

    total, start = ConstantKernel().double(), 0
    total.constant = torch.tensor(MEAN_VARIANCE)
    for part, variance in zip(parts, covariance.variances, strict=True):
        columns = tuple(range(start, start + part.width))
        keywords = {"ard_num_dims": part.width, "active_dims": columns}
        base = (
            RBFKernel(**keywords)
            if part.kind == "rbf"
            else MaternKernel(nu=2.5, **keywords)
        ).double()
        base.lengthscale = torch.from_numpy(covariance.lengths[list(columns)])
        kernel = ScaleKernel(base).double()
        kernel.outputscale = variance
        total = total + kernel
        start += part.width
    return total


@pytest.mark.parametrize("parts", [PARTS, WITH_RBF])
def test_the_covariance_is_gpytorchs(parts):
    covariance = Covariance(parts, LOGS)
    scaled = covariance.scaled(INPUTS)
    ours = covariance(scaled[:10], scaled[10:])
    with torch.no_grad():
        kernel = gpytorch_kernel(parts, covariance)
        theirs = kernel(INPUTS[:10], INPUTS[10:]).to_dense()
    np.testing.assert_allclose(ours, theirs, atol=1e-10)
    variances = [np.exp(LOGS[-3:-1]).sum(), MEAN_VARIANCE]
    assert covariance.prior_variance == pytest.approx(sum(variances))


@pytest.mark.parametrize("parts", [PARTS, WITH_RBF])
def test_the_evidence_is_that_of_gpytorchs_covariance(parts):
    from scipy.stats import multivariate_normal, norm

    covariance = Covariance(parts, LOGS)
    with torch.no_grad():
        kernel = gpytorch_kernel(parts, covariance)
        dense = kernel(INPUTS).to_dense().numpy()
    noisy = dense + covariance.noise * np.eye(len(TARGETS))
    centres, deviations = prior_of(parts)
    prior = norm.logpdf((LOGS - centres) / deviations) + np.log(2 * np.pi) / 2
    expected = multivariate_normal(cov=noisy).logpdf(TARGETS.numpy()) + prior.sum()
    value, _ = Evidence(parts, INPUTS, TARGETS)(LOGS)
    assert value == pytest.approx(-expected / len(TARGETS), rel=1e-9)


def test_known_noise_adds_to_the_diagonal():
    from scipy.stats import multivariate_normal, norm

    known = np.random.default_rng(2).uniform(0, 1, len(TARGETS))
    covariance = Covariance(PARTS, LOGS)
    scaled = covariance.scaled(INPUTS)
    noisy = covariance(scaled, scaled).numpy() + np.diag(covariance.noise + known)
    centres, deviations = prior_of(PARTS)
    prior = norm.logpdf((LOGS - centres) / deviations) + np.log(2 * np.pi) / 2
    expected = multivariate_normal(cov=noisy).logpdf(TARGETS.numpy()) + prior.sum()
    evidence = Evidence(PARTS, INPUTS, TARGETS, torch.from_numpy(known))
    value, gradient = evidence(LOGS)
    assert value == pytest.approx(-expected / len(TARGETS), rel=1e-9)
    slopes = approx_fprime(LOGS, lambda logs: evidence(logs)[0], 1e-6)
    np.testing.assert_allclose(gradient, slopes, atol=2e-6)


@pytest.mark.parametrize("parts", [PARTS, WITH_RBF])
def test_the_gradient_is_that_of_finite_differences(parts):
    evidence = Evidence(parts, INPUTS, TARGETS)
    expected = approx_fprime(LOGS, lambda logs: evidence(logs)[0], 1e-6)
    np.testing.assert_allclose(evidence(LOGS)[1], expected, atol=2e-6)


def test_a_fit_finds_what_the_data_were_drawn_from():
    rng = np.random.default_rng(1)
    parts = (Part("matern52", 2, 0.3, 0.0),)
    inputs = torch.from_numpy(rng.uniform(-3, 3, (300, 2)))
    truth = np.log([0.7, 4.0, 1.0, 0.01])
    drawn = Covariance(parts, truth)
    dense = drawn(drawn.scaled(inputs), drawn.scaled(inputs)).numpy()
    noisy = dense + drawn.noise * np.eye(300)
    targets = np.linalg.cholesky(noisy) @ rng.standard_normal(300)
    start = prior_of(parts)[0]
    found = fit(Evidence(parts, inputs, torch.from_numpy(targets)), start, 60)
    assert found is not None
    np.testing.assert_allclose(found, truth, atol=0.6)
    assert found[0] < found[1]


def test_equal_inputs_need_jitter_and_get_it():
    same = torch.zeros((20, 6)).double()
    quiet = prior_of(PARTS)[0]
    quiet[-1] = -36
    value, gradient = Evidence(PARTS, same, torch.zeros(20).double())(quiet)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_what_has_no_factor_is_no_fit(caplog):
    broken = torch.full((5, 6), torch.nan).double()
    evidence = Evidence(PARTS, broken, torch.zeros(5).double())
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        evidence(LOGS)
    assert fit(evidence, LOGS, 5) is None
    assert "fit failed" in caplog.text
