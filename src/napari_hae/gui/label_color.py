"""The colour of a Labels layer in which all that is painted looks alike."""

from __future__ import annotations

import numpy as np
from napari.utils.colormaps import DirectLabelColormap


def label_color(color: str) -> DirectLabelColormap:
    """A colour map that gives every label the same colour."""
    return DirectLabelColormap(color_dict={1: color, None: color})


def prepare() -> None:
    """Let napari compile what colours such layers, which takes it seconds, once.

    For a thread that nobody waits for; else the first stroke of a person does.
    """
    label_color("white").map(np.zeros(1, np.uint8))
