"""Fits the hyperparameters of the covariance: MAP by L-BFGS."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.agent.evidence import Evidence

    Array = NDArray[np.float64]

logger = logging.getLogger(__name__)

WARM_ITERATIONS = 15
"""Iterations from the last fit's result."""
FRESH_ITERATIONS = 60
"""The same from the prior's centre."""
_FARTHEST = 12.0
"""Logarithms of hyperparameters stay within this; beyond, numbers lose their digits."""


def fit(evidence: Evidence, start: Array, iterations: int) -> Array | None:
    """The hyperparameters' logarithms where the evidence is largest, near a start.

    None if the covariance cannot be factorised on the way.
    """
    bounds = [(-_FARTHEST, _FARTHEST)] * len(start)
    try:
        found = minimize(
            evidence,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": iterations},
        )
    # A covariance without a factor, in all the ways the libraries say it.
    except (RuntimeError, ValueError, ArithmeticError) as error:
        logger.warning("the model's fit failed: %s", error)
        return None
    if not (np.isfinite(found.fun) and np.isfinite(found.x).all()):
        logger.warning("the model's fit failed: it ended at values that are not finite")
        return None
    result: Array = found.x
    return result
