"""Judgements of spectra by the user, and the target spectrum derived from them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.voted import SimilarityToVotes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.types import Measurement


class Vote(StrEnum):
    """Judgement of one spectrum by the user."""

    GOOD = "good"
    NEUTRAL = "neutral"
    BAD = "bad"


def target_spectrum(
    votes: Mapping[int, Vote], measurements: Sequence[Measurement]
) -> tuple[float, ...] | None:
    """Return the spectrum that distinguishes the good spectra from the bad ones.

    The mean of the good spectra, each scaled to length 1, minus that of the bad ones;
    one value per channel. None without a good one.

    Parameters
    ----------
    votes
        Votes by the number of the step.
    """
    # A spectrum with another energy axis is not comparable with the others.
    voted = [
        m
        for m in measurements
        if m.step in votes
        and m.spectrum.energy.is_like(measurements[0].spectrum.energy)
    ]
    good = [m for m in voted if votes[m.step] is Vote.GOOD]
    bad = [m for m in voted if votes[m.step] is Vote.BAD]
    if not good:
        return None
    wanted = _mean_direction(good)
    if bad:
        wanted = wanted - _mean_direction(bad)
    return tuple(wanted.tolist())


def plea(votes: Mapping[int, Vote], scalarizer: Scalarizer) -> str:
    """Return a request for a good spectrum if the goal lacks one, else empty."""
    if not isinstance(scalarizer, SimilarityToVotes) or Vote.GOOD in votes.values():
        return ""
    has_target = scalarizer.target_counts is not None
    if has_target and not votes:
        # The target spectrum comes from an earlier run.
        return ""
    if scalarizer.is_automatic:
        so = "nothing tells the agent yet what to look for"
    elif has_target:
        so = "the agent goes on looking for what your earlier votes said"
    else:
        assert scalarizer.base is not None
        so = f'the agent goes by "{scalarizer.base.title}" alone'
    return (
        f"No spectrum is called good: {so}. Show a spectrum that you like and call it "
        "good, or choose something else to look for."
    )


def _mean_direction(measurements: Sequence[Measurement]) -> NDArray[np.float64]:
    counts = np.stack([m.spectrum.counts for m in measurements]).astype(np.float64)
    lengths = np.linalg.norm(counts, axis=1, keepdims=True)
    result: NDArray[np.float64] = (counts / np.maximum(lengths, 1e-300)).mean(axis=0)
    return result
