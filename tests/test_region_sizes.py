"""Regions that claim to be huge are refused before they take memory.

The texts are what a record or the line from a plugin could hold.
"""

from __future__ import annotations

import base64
import tracemalloc
import zlib

import numpy as np
import pytest

from napari_hae.coordinates import MOST_PIXELS, FieldFrame
from napari_hae.regions import packing
from napari_hae.regions.allowed_field import AllowedField
from napari_hae.regions.regions import MaskRegion, Regions

PIXELS = np.eye(2, 3)
EMPTY = base64.b64encode(zlib.compress(b"")).decode()
MEBIBYTE = 1 << 20


def values(shape, mask=EMPTY, **more):
    return {
        "name": "zone",
        "shape": shape,
        "mask": mask,
        "nm_to_pixel": PIXELS.tolist(),
        **more,
    }


def forbidden(*regions):
    return {"interest": [], "forbidden": list(regions), "soft": []}


def zeros(size):
    return base64.b64encode(zlib.compress(bytes(size), 9)).decode()


def peak_of_refusing(read, given, words):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=words):
            read(given)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HUGE = {
    "10 GB in 16 characters": (values([100_000, 100_000]), "1e.05 x 1e.05 pixels"),
    "one long row": (values([1, 10**12]), "at most 8192 x 8192"),
    "no pixel, and many rows": (values([0, 10**12]), "at most 8192 x 8192"),
    "minus times minus": (values([-100_000, -100_000]), "two whole numbers"),
    "not whole": (values([1e5, 1e5]), "two whole numbers"),
    "three sides": (values([9000, 9000, 9000]), "two whole numbers"),
    "no list": (values(10), "two whole numbers"),
    "more than the shape": (values([8, 8], zeros(64 * MEBIBYTE)), "more found"),
    "less than the shape": (values([8000, 8000]), "8000000 bytes expected, 0 found"),
    "no text": (values([8, 8], "!"), "cannot be read"),
    "not compressed": (values([8, 8], "AAAA"), "cannot be read"),
    "cut short": (values([8, 8], zeros(8)[:12]), "8 bytes expected"),
    "labels": (
        values([8, 8], zeros(8), labels=zeros(64 * MEBIBYTE)),
        "256 bytes expected, more found",
    ),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_region_is_refused_before_it_takes_memory(kind):
    given, words = HUGE[kind]
    assert peak_of_refusing(Regions.from_json, forbidden(given), words) < MEBIBYTE


def test_many_large_regions_are_refused_together():
    mask = zeros(MOST_PIXELS // 8)
    many = [values([8192, 8192], mask) for _ in range(17)]
    peak = peak_of_refusing(Regions.from_json, forbidden(*many), "GiB of memory")
    assert peak < MEBIBYTE


def test_a_field_of_view_that_no_instrument_has_is_refused():
    field = AllowedField(FieldFrame((8, 8), (10.0, 10.0))).to_json()
    field["frame"]["shape"] = [10**6, 10**6]
    with pytest.raises(ValueError, match="field of view would have 1e"):
        AllowedField.from_json(field)


def test_the_largest_mask_that_scan_units_have_is_read_and_no_larger_one_drawn():
    mask = np.zeros((4096, 4096), bool)
    mask[1000:3000, 17] = True
    region = MaskRegion("large", mask, PIXELS, mask.astype(np.int32))
    again = MaskRegion.from_json(region.to_json())
    np.testing.assert_array_equal(again.mask, mask)
    np.testing.assert_array_equal(again.labels, mask)
    assert packing.MOST_BYTES >= 10 * 5 * mask.size
    too_large = np.broadcast_to(np.False_, (8193, 8192))
    with pytest.raises(ValueError, match="at most 8192 x 8192"):
        MaskRegion("too large", too_large, PIXELS)


@pytest.mark.parametrize("labelled", [False, True])
def test_noise_is_refused_before_it_has_an_outline(labelled):
    noise = np.random.default_rng(0).random((4096, 4096)) < 0.5
    given = MaskRegion("zone", noise, PIXELS).to_json()
    if labelled:
        given["labels"] = packing.packed_labels(noise.astype(np.int32))
    words = r"the outline of the region 'zone' has 8.39e\+06 sides; at most 2e\+06"
    peak = peak_of_refusing(MaskRegion.from_json, given, words)
    assert peak < 250 * MEBIBYTE


def test_the_outline_of_a_checkerboard_takes_little_memory():
    board = (np.indices((4096, 4096)).sum(axis=0) % 2).astype(bool)
    region = MaskRegion.from_json(MaskRegion("zone", board, PIXELS).to_json())
    tracemalloc.start()
    try:
        sides = region.sides()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Its lines go all across, but for those of its border.
    assert len(sides) == 2 * 4095 + 4 * 2048
    assert peak < 150 * MEBIBYTE


def test_a_map_of_many_particles_is_read():
    grid = np.indices((2048, 2048)) % 20
    particles = np.hypot(*(grid - 10.0)) < 7
    read = MaskRegion.from_json(MaskRegion("zone", particles, PIXELS).to_json())
    assert np.array_equal(read.mask, particles)
