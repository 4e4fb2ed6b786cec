"""Expected exposure time of a measurement, where exposures depend on the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_NEIGHBOURS = 5
"""Number of measurements with similar targets whose exposures are averaged."""


def expected_exposure_s(mean: Array, targets: Array, exposures_s: Array) -> Array:
    """Return the expected exposure of each candidate, `(n,)`, in s.

    Where an exposure runs until its target reaches a relative error, it depends on the
    target: similar targets need similar exposures. Their logarithms are averaged over
    neighbours in the target, and interpolated at the predicted targets.

    Parameters
    ----------
    mean
        Predicted target of each candidate, `(n,)`.
    targets, exposures_s
        Targets and exposures of the measurements, `(m,)`, finite.
    """
    order = np.argsort(targets, kind="stable")
    logs = np.log(exposures_s[order])
    window = min(_NEIGHBOURS, len(logs))
    padded = np.pad(logs, (window // 2, (window - 1) // 2), mode="edge")
    smooth = np.convolve(padded, np.full(window, 1 / window), mode="valid")
    result: Array = np.exp(np.interp(mean, targets[order], smooth))
    return result
