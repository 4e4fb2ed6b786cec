from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import integrate, stats

from napari_hae.agent.acquisition import (
    ExpectedImprovement,
    LogExpectedImprovement,
    MaximumUncertainty,
    ProbabilityOfImprovement,
    RandomChoice,
    Raster,
    ThompsonSampling,
    UpperConfidenceBound,
)
from napari_hae.agent.posterior import Posterior

RNG = np.random.default_rng(0)
MEAN = np.array([0.0, 0.4, -1.0, 2.0, 0.4])
STD = np.array([1.0, 0.3, 0.7, 0.2, 0.5])
BEST = 0.8


def posterior(mean=MEAN, std=STD):
    mean, std = np.asarray(mean, dtype=float), np.asarray(std, dtype=float)
    return Posterior(
        mean=mean,
        std=std,
        sample=lambda rng: mean + std * rng.standard_normal(len(mean)),
    )


def improvement(mean, std, best, power):
    """The integral of the improvement (to a power) over the posterior."""

    def integrand(value):
        return (value - best) ** power * stats.norm.pdf(value, mean, std)

    high = max(mean + 14 * std, best)
    return integrate.quad(integrand, best, high, epsabs=0, limit=200)[0]


@pytest.mark.parametrize("xi", [0.0, 0.5])
def test_expected_improvement_is_its_integral(xi):
    margin = BEST + xi * np.median(STD)
    integrals = [improvement(m, s, margin, 1) for m, s in zip(MEAN, STD, strict=True)]
    values = ExpectedImprovement(xi=xi)(posterior(), BEST, RNG)
    np.testing.assert_allclose(values, integrals, rtol=1e-6)
    logarithms = LogExpectedImprovement(xi=xi)(posterior(), BEST, RNG)
    np.testing.assert_allclose(logarithms, np.log(integrals), rtol=1e-6)


def test_probability_of_improvement_is_its_integral():
    integrals = [improvement(m, s, BEST, 0) for m, s in zip(MEAN, STD, strict=True)]
    values = ProbabilityOfImprovement()(posterior(), BEST, RNG)
    np.testing.assert_allclose(np.exp(values), integrals, rtol=1e-6)


def test_the_confidence_bound_is_the_mean_and_beta_standard_deviations():
    values = UpperConfidenceBound(beta=3.0)(posterior(), BEST, RNG)
    np.testing.assert_array_equal(values, MEAN + 3.0 * STD)


def test_the_other_functions_look_at_what_they_say():
    values = MaximumUncertainty()(posterior(), BEST, RNG)
    np.testing.assert_array_equal(values, STD)
    assert np.argmax(Raster()(posterior(), BEST, RNG)) == 0
    drawn = ThompsonSampling()(posterior(), BEST, np.random.default_rng(1))
    expected = posterior().sample(np.random.default_rng(1))
    np.testing.assert_array_equal(drawn, expected)
    assert len(set(RandomChoice()(posterior(), BEST, RNG))) == len(MEAN)


FAR = np.array([-1e8, -1e5, -1e4, -9999.0, -1e3, -100.0, -38.0, -5.0, -1.0, 0.0, 30.0])


def test_the_logarithm_keeps_the_order_where_the_improvement_is_zero():
    values = LogExpectedImprovement()(posterior(FAR, np.ones(len(FAR))), 0.0, RNG)
    assert np.isfinite(values).all()
    assert (np.diff(values) > 0).all()


def test_the_logarithm_far_out_is_its_asymptote():
    z = np.array([-50.0, -500.0, -20_000.0])
    values = LogExpectedImprovement()(posterior(z, np.ones(3)), 0.0, RNG)
    asymptote = stats.norm.logpdf(z) - 2 * np.log(-z)
    # The next term of the series is -3 / z².
    np.testing.assert_allclose(values, asymptote + np.log1p(-3 / z**2), atol=1e-5)


def test_the_logarithm_is_its_integral_at_every_distance():
    z = np.array([-40.0, -12.0, -6.0, np.nextafter(-5, -6), -5.0, -4.9, -2.0, 0.0, 3.0])
    values = LogExpectedImprovement()(posterior(z, np.ones(len(z))), 0.0, RNG)

    def integral(distance):
        # φ(z) taken out of the integral, it stays in the range of the numbers.
        def integrand(u):
            return u * np.exp(distance * u - u * u / 2)

        return integrate.quad(integrand, 0, max(distance, 0) + 14, epsabs=0)[0]

    expected = stats.norm.logpdf(z) + np.log([integral(each) for each in z])
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-11)


def test_a_standard_deviation_of_zero_makes_no_nan():
    certain = posterior([0.0, 1.0, 0.8], [0.0, 0.0, 0.0])
    for function in (ExpectedImprovement, ProbabilityOfImprovement):
        assert not np.isnan(function()(certain, BEST, RNG)).any()
    values = LogExpectedImprovement()(certain, BEST, RNG)
    assert np.argmax(values) == 1


@given(
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-1e3, 1e3),
    xi=st.just(0.0) | st.floats(1e-30, 3),
)
def test_shift_and_scale_of_the_utility_change_no_choice(scale, shift, xi):
    functions = [
        LogExpectedImprovement(xi=xi),
        ExpectedImprovement(xi=xi),
        ProbabilityOfImprovement(xi=xi),
        UpperConfidenceBound(beta=xi),
        MaximumUncertainty(),
    ]
    moved = posterior(scale * MEAN + shift, scale * STD)
    for function in functions:
        plain = function(posterior(), BEST, RNG)
        other = function(moved, scale * BEST + shift, RNG)
        # One of two that are equal is as good as the other.
        assert plain[other.argmax()] == pytest.approx(plain.max())


@pytest.mark.parametrize("function", [ExpectedImprovement, LogExpectedImprovement])
def test_a_larger_xi_prefers_the_uncertain(function):
    # One place is surely a little better, the other perhaps much.
    two = posterior([1.0, 0.5], [0.1, 1.0])
    assert function(xi=0.0)(two, 0.0, RNG).argmax() == 0
    assert function(xi=3.0)(two, 0.0, RNG).argmax() == 1


def test_the_acquisition_function_of_the_documentation_works():
    page = Path(__file__).parents[1] / "docs" / "architecture.md"
    block = (
        page.read_text().split("An acquisition function:")[1].split("\n`posterior")[0]
    )
    code = textwrap.dedent(block)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    names = {}
    exec(compile(code, "documentation", "exec", dont_inherit=True), names)
    function = names["ProbablyGood"](doubt=2.0)
    np.testing.assert_array_equal(function(posterior(), BEST, RNG), MEAN - 2.0 * STD)
    assert "doubt" in type(function).model_json_schema()["properties"]


@pytest.mark.parametrize("shape", [(256, 256), (128, 512), (272, 256), (300, 320)])
@pytest.mark.parametrize("period", [3, 5, 8, 10, 15, 16, 17])
@pytest.mark.parametrize("axis", [0, 1])
def test_what_is_usual_in_a_field_does_not_depend_on_a_lattice(shape, period, axis):
    std = np.where(np.indices(shape)[axis] % period == 0, 1.0, 0.5).ravel()
    mean = np.zeros(std.size)
    mean[0] = 1.5
    share = UpperConfidenceBound(beta=1.0).exploring(posterior(mean, std), BEST, 0)
    assert share == pytest.approx(0.5 / (0.5 + 1.5))


def test_a_negative_exploration_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        UpperConfidenceBound(beta=-1.0)


def test_a_unit_is_a_standard_deviation_and_a_thousandfold_of_a_logarithm():
    values = np.array([0.0, 1.0, np.nan, -np.inf, 5.0])
    assert UpperConfidenceBound().unit(values) == np.std([0.0, 1.0, 5.0])
    assert UpperConfidenceBound().unit(np.full(3, np.nan)) == 0
    for logarithm in (LogExpectedImprovement(), ProbabilityOfImprovement()):
        assert logarithm.unit(values) == np.log(1000)
