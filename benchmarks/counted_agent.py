"""The agent, told what counting statistics leave uncertain, as the product tells it.

The harness passes targets only. Its sets hold counts summed over a line (the measured
maps) or averaged over the channels of a band (the synthetic ones), so that the counts
behind a target follow from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench_adapter import Agent
from napari_hae.types import EnergyAxis

if TYPE_CHECKING:
    from pathlib import Path

BANDS_EV = {"corner": (0.30, 0.40), "edge": (0.65, 0.75)}


class CountedAgent(Agent):
    """An agent that learns the counting error of each target.

    Parameters
    ----------
    data
        The harness's file of the set that it works on.
    """

    def __init__(self, data: Path, seed: int = 0, **settings: Any) -> None:
        super().__init__(seed, **settings)
        with np.load(data) as held:
            scalar, energy = held["scalar"].astype(float), held["energy"]
        self._low, self._span = float(scalar.min()), float(np.ptp(scalar))
        band_ev = BANDS_EV.get(data.stem.rpartition("_")[2])
        self._channels = 1
        if band_ev is not None:
            axis = EnergyAxis(energy[0], energy[1] - energy[0], len(energy))
            channels = axis.channels(*band_ev)
            self._channels = channels.stop - channels.start

    def error_of(self, value: float) -> float:
        """The standard deviation of a target, which the harness scaled to 0..1."""
        counts = max((self._low + value * self._span) * self._channels, 1.0)
        return float(np.sqrt(counts)) / self._channels / self._span
