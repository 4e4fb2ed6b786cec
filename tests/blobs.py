"""A small survey image of blobs, and a target that depends on their shape."""

from __future__ import annotations

import numpy as np

from napari_hae.types import ScanImage

SIDE = 24
ANYWHERE = np.ones((SIDE, SIDE), dtype=bool)


def image(data=None):
    planes = (_blobs() if data is None else np.asarray(data))[None].astype(np.float32)
    return ScanImage(planes, ("HAADF",), (60.0, 60.0), 1e-5)


def truth():
    """Largest at the rim of the blobs: where the image is steep."""
    return np.hypot(*np.gradient(_blobs()))


def _blobs():
    y, x = np.mgrid[:SIDE, :SIDE]
    centres = [(6, 6, 3.0), (15, 17, 4.0), (19, 5, 2.0)]
    blobs = [np.exp(-((y - b) ** 2 + (x - a) ** 2) / (2 * s**2)) for b, a, s in centres]
    return np.sum(blobs, axis=0)
