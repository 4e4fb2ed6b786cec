"""Trains the structure network on survey images alone, and saves its weights.

    python training/self_supervise.py OUT.npz [--hold-out FAMILY …] [--minutes 40] …

What is to be predicted is made from the image itself: derivatives at several widths,
what lies above a random level and how far from its border, mixed at random. The network
sees a noisier, unsharper image of another contrast; the decoder is the Gaussian process
of `pretrain.py`, which has seen the mixture at some pixels only. Nothing of the sample
but its image takes part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from families import Experiment, draw_experiment, experiment_on, parted
from pretrain import invariants_of, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float64]
    Rng = np.random.Generator


def draw_pretext(family: str, size: int, rng: Rng) -> Experiment:
    """A worse image of a random sample, and a target made from the better one."""
    image = draw_experiment(family, size, rng).image
    smooth = gaussian_filter(image, rng.uniform(0.5, 2))
    smooth = (smooth - smooth.mean()) / smooth.std()
    fields = np.stack([*invariants_of(image), *parted(smooth, rng)])
    return experiment_on(worsened(image, rng), fields, rng)


def worsened(image: Image, rng: Rng) -> Image:
    """The same sample under another microscope: no pixel moves."""
    seen = gaussian_filter(image, rng.uniform(0, 0.8))
    seen = ((seen - seen.min()) / np.ptp(seen)) ** np.exp(rng.normal(0, 0.4))
    slope = gaussian_filter(rng.standard_normal(seen.shape), len(seen) / 3)
    seen = seen / seen.std() + rng.uniform(0, 0.4) * slope / slope.std()
    noise = np.exp(rng.uniform(np.log(0.03), np.log(0.6)))
    return seen + noise * rng.standard_normal(seen.shape)


if __name__ == "__main__":
    run(__doc__.split("\n")[0], draw_pretext)
