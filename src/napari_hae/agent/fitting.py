"""Fit of the covariance's hyperparameters: MAP by L-BFGS."""

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
"""Iterations of a fit that starts from the last result."""
FRESH_ITERATIONS = 60
"""Iterations of a fit that starts from the prior's centre."""
_FARTHEST = 12.0
"""Bound of the hyperparameters' logarithms; beyond, precision is lost."""


def fit(evidence: Evidence, start: Array, iterations: int) -> Array | None:
    """Return the hyperparameters' logarithms that maximise the evidence, near a start.

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
    # All exceptions that the libraries raise for a covariance that cannot be
    # factorised.
    except (RuntimeError, ValueError, ArithmeticError) as error:
        logger.warning("the model's fit failed: %s", error)
        return None
    if not (np.isfinite(found.fun) and np.isfinite(found.x).all()):
        logger.warning("the model's fit failed: it ended at values that are not finite")
        return None
    result: Array = found.x
    return result
