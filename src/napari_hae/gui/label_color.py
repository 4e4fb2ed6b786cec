"""Uniform colour for Labels layers."""

from __future__ import annotations

import numpy as np
from napari.utils.colormaps import DirectLabelColormap


def label_color(color: str) -> DirectLabelColormap:
    """Return a colour map that gives every label the same colour."""
    return DirectLabelColormap(color_dict={1: color, None: color})


def prepare() -> None:
    """Let napari compile its colouring of such layers once, which takes seconds.

    Call it on a background thread; otherwise the user's first stroke has to wait.
    """
    label_color("white").map(np.zeros(1, np.uint8))
