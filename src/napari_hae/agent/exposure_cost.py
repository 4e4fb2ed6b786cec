"""How long a measurement is expected to take, where exposures follow the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_NEIGHBOURS = 5
"""Measurements of like targets whose exposures are averaged."""


def expected_exposure_s(mean: Array, targets: Array, exposures_s: Array) -> Array:
    """The exposure expected at each candidate, `(n,)`, in s.

    Where an exposure goes on until its target has a relative error, it follows from the
    target: places of like targets took like exposures. They are averaged in logarithms
    over neighbours in the target, and interpolated at the predicted targets.

    Parameters
    ----------
    mean
        Predicted target of each candidate, `(n,)`.
    targets, exposures_s
        Of the measurements, `(m,)`, finite.
    """
    order = np.argsort(targets, kind="stable")
    logs = np.log(exposures_s[order])
    window = min(_NEIGHBOURS, len(logs))
    padded = np.pad(logs, (window // 2, (window - 1) // 2), mode="edge")
    smooth = np.convolve(padded, np.full(window, 1 / window), mode="valid")
    result: Array = np.exp(np.interp(mean, targets[order], smooth))
    return result
