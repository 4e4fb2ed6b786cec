"""Regions that are grown, shrunk, switched off, soft, or reduced to their edges."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_hae.coordinates import FieldFrame
from napari_hae.regions.regions import (
    AdjustedRegion,
    DrawnRegion,
    MaskRegion,
    PolygonRegion,
    Regions,
    SoftRegion,
)

FRAME = FieldFrame((40, 50), (60.0, 50.0))
Y, X = np.mgrid[0.5:60:1.0, 0.5:50:1.0]
FINE_NM = 0.05
"""Spacing of the points that stand for a region in the comparison by brute force."""


def matrix_to_pixels(
    pixel_nm: tuple[float, float], angle: float, centre_nm: tuple[float, float], shape
) -> np.ndarray:
    """From nm to the pixels of a layer that is turned about its middle."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.diag(1 / np.array(pixel_nm)) @ np.array([[cos, -sin], [sin, cos]])
    middle = (np.array(shape) - 1) / 2
    return np.column_stack([turned, middle - turned @ np.array(centre_nm)])


def painted(pixel_nm=(2.0, 1.0), angle=0.0, name="painted") -> MaskRegion:
    """An L of 8 by 10 and 4 by 12 pixels, with a hole."""
    mask = np.zeros((24, 36), bool)
    mask[6:14, 8:18] = mask[14:18, 8:20] = True
    mask[9:11, 11:14] = False
    matrix = matrix_to_pixels(pixel_nm, angle, (30.0, 25.0), mask.shape)
    return MaskRegion(name, mask, matrix)


def drawn_polygons() -> PolygonRegion:
    """A quadrilateral and a triangle that reach into each other."""
    first = np.array([[12.0, 10.0], [15.0, 35.0], [30.0, 30.0], [28.0, 8.0]])
    second = np.array([[22.0, 20.0], [45.0, 15.0], [40.0, 40.0]])
    return PolygonRegion("drawn", (first, second))


SHAPES = {
    "as the field": painted(),
    "turned": painted(angle=0.6),
    "finer along x": painted(pixel_nm=(1.5, 0.7), angle=-1.1),
    "polygons": drawn_polygons(),
}


def signed_distance(drawn: DrawnRegion) -> np.ndarray:
    """From all places to the nearest place of the other kind, by brute force."""
    y, x = np.mgrid[-5 : 65 : 2 * FINE_NM, -5 : 55 : 2 * FINE_NM]
    inside = drawn.contains(y, x)
    # Only what has a neighbour of the other kind can be the nearest.
    rim = np.zeros_like(inside)
    for axis in (0, 1):
        differs = np.diff(inside, axis=axis)
        low, high = (
            [slice(None)] * axis + [s] for s in (slice(None, -1), slice(1, None))
        )
        rim[tuple(low)] |= differs
        rim[tuple(high)] |= differs
    nearest = np.full(Y.shape, np.inf)
    here = drawn.contains(Y, X)
    for one, where in ((True, ~here), (False, here)):
        places = np.stack([y[rim & (inside == one)], x[rim & (inside == one)]])
        for row, column in zip(*np.nonzero(where), strict=True):
            away = places - np.array([[Y[row, column]], [X[row, column]]])
            nearest[row, column] = np.hypot(*away).min()
    return np.where(here, -nearest, nearest)


@pytest.fixture(scope="module", params=SHAPES)
def shape(request) -> tuple[DrawnRegion, np.ndarray]:
    drawn = SHAPES[request.param]
    return drawn, signed_distance(drawn)


@pytest.mark.parametrize(
    "asked",
    [
        {"grow_nm": 3.0},
        {"grow_nm": -2.0},
        {"edges_nm": 4.0},
        {"edges_nm": 2.5, "grow_nm": 2.0},
        {"edges_nm": 2.0, "grow_nm": -1.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("edge", [True, False])
def test_a_region_is_adjusted_in_nm_as_brute_force_says(shape, asked, edge):
    drawn, distance = shape
    region = AdjustedRegion(drawn, **asked)
    grow_nm, edges_nm = asked.get("grow_nm", 0.0), asked.get("edges_nm")
    half = math.inf if edges_nm is None else edges_nm / 2
    # How far within the adjusted region, in nm; negative outside.
    depth = half - np.abs(distance - grow_nm) if edges_nm else grow_nm - distance
    found = region.contains(Y, X, edge=edge)
    sure = np.abs(depth) > 3 * FINE_NM
    np.testing.assert_array_equal(found[sure], (depth > 0)[sure])
    assert found.any()
    assert sure.mean() > 0.9


def test_doubt_is_against_the_beam():
    """A circle's distances are known: nothing is allowed too much, little too few."""
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circle = np.stack([30 + 15 * np.sin(angles), 25 + 15 * np.cos(angles)], axis=1)
    drawn = PolygonRegion("circle", (circle,))
    across = np.linspace(0, 24, 5000)
    radius = np.sqrt(across**2)
    inner = 15 * np.cos(np.pi / 720)  # the sides of the polygon, at their middle
    grown = AdjustedRegion(drawn, grow_nm=3.0)
    assert grown.contains(30.0, 25 + across)[radius <= inner + 3].all()
    assert not grown.contains(30.0, 25 + across, edge=False)[radius >= 18].any()
    assert not grown.contains(30.0, 25 + across)[radius >= 18.02].any()
    shrunk = AdjustedRegion(drawn, grow_nm=-3.0)
    assert not shrunk.contains(30.0, 25 + across, edge=False)[radius >= 12].any()
    assert shrunk.contains(30.0, 25 + across, edge=False)[radius <= inner - 3.02].all()


def test_where_a_mask_is_cut_off_is_no_edge_but_the_region_ends_there():
    mask = np.zeros((40, 50), bool)
    mask[:, :20] = True
    matrix = np.array([[1 / 1.5, 0, -0.5], [0, 1.0, -0.5]])
    drawn = MaskRegion("half", mask, matrix)
    edges = AdjustedRegion(drawn, edges_nm=4.0)
    assert edges.contains(1.0, 20.0)
    assert not edges.contains(1.0, 10.0)
    assert not edges.contains(30.0, 1.0)
    shrunk = AdjustedRegion(drawn, grow_nm=-3.0)
    assert not shrunk.contains(1.0, 10.0)
    assert shrunk.contains(30.0, 10.0)


def test_parts_that_touch_each_other_have_edges_between_them():
    labels = np.zeros((40, 50), np.int32)
    labels[5:35, 5:25], labels[5:35, 25:45] = 3, 7
    matrix = np.array([[1 / 1.5, 0, -0.5], [0, 1.0, -0.5]])
    drawn = MaskRegion("grains", labels > 0, matrix, labels)
    edges = AdjustedRegion(drawn, edges_nm=4.0)
    assert edges.contains(30.0, [24.0, 26.0, 4.0, 46.0]).all()
    assert not edges.contains(30.0, [22.5, 27.5, 35.0]).any()
    shrunk = AdjustedRegion(drawn, grow_nm=-3.0)
    assert shrunk.contains(30.0, 25.0), "shrunk as one, from the outside"
    again = AdjustedRegion.from_json(json.loads(json.dumps(edges.to_json())))
    np.testing.assert_array_equal(again.contains(Y, X), edges.contains(Y, X))


def test_labels_of_another_shape_are_refused_in_words():
    with pytest.raises(ValueError, match=r"labels of the region 'painted' have"):
        MaskRegion("painted", painted().mask, painted().nm_to_pixel, np.zeros((2, 2)))


def test_polygons_that_overlap_have_one_outline():
    edges = AdjustedRegion(drawn_polygons(), edges_nm=2.0)
    # On the quadrilateral's lower side, where the triangle covers it.
    assert drawn_polygons().contains(28.9, 21.0)
    assert not edges.contains(28.9, 21.0)
    assert edges.contains(28.4, 12.0)


def test_a_shrunk_region_of_interest_with_nothing_left_allows_nothing():
    regions = Regions(interest=(AdjustedRegion(painted(), grow_nm=-100.0),))
    assert regions.restricts
    assert not regions.mask(FRAME).any()
    assert "outside" in str(regions.allows(30.0, 25.0))


def test_a_region_that_is_switched_off_has_no_effect():
    off = AdjustedRegion(painted(), is_on=False)
    regions = Regions(interest=(off,), forbidden=(off,), soft=(SoftRegion(off, 2.0),))
    assert not regions.restricts
    assert regions.mask(FRAME).all()
    assert regions.preference(FRAME) is None
    assert regions.allows(30.0, 25.0) is None


def test_a_fresh_layer_does_not_restrict_whatever_is_asked_of_it():
    fresh = PolygonRegion("fresh", ())
    for asked in ({"grow_nm": 5.0}, {"edges_nm": 5.0}):
        region = AdjustedRegion(fresh, **asked)
        assert not region.contains(1.0, 1.0)
        assert not Regions(interest=(region,), forbidden=(fresh,)).restricts


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"grow_nm": -4.0}, r"'painted' cannot be shrunk \(by 4 nm\): switch it off"),
        ({"edges_nm": 4.0}, "'painted' cannot be its edges only: switch it off"),
    ],
)
def test_a_forbidden_zone_is_never_made_smaller(asked, said):
    with pytest.raises(ValueError, match=said):
        Regions(forbidden=(AdjustedRegion(painted(), **asked),))
    Regions(interest=(AdjustedRegion(painted(), **asked),))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"grow_nm": math.nan}, "cannot grow by nan nm"),
        ({"edges_nm": 0.0}, "cannot be 0.0 nm wide"),
        ({"edges_nm": math.inf}, "cannot be inf nm wide"),
    ],
)
def test_what_is_no_length_is_refused_in_words(asked, said):
    with pytest.raises(ValueError, match=said):
        AdjustedRegion(painted(), **asked)


@pytest.mark.parametrize("weight", [3.5, -3.01, math.nan])
def test_a_weight_out_of_range_is_refused_in_words(weight):
    with pytest.raises(ValueError, match="from -3 to 3"):
        SoftRegion(painted(), weight)


def test_soft_regions_add_up_to_a_limit_and_exclude_nothing():
    whole = PolygonRegion(
        "whole", (np.array([[-1, -1], [-1, 60], [70, 60], [70, -1]]),)
    )
    left = PolygonRegion("left", (np.array([[-1, -1], [-1, 25], [70, 25], [70, -1]]),))
    regions = Regions(soft=(SoftRegion(whole, 2.0), SoftRegion(left, -1.5)))
    preference = regions.preference(FRAME)
    assert set(preference[:, :25].ravel()) == {0.5}
    assert set(preference[:, 25:].ravel()) == {2.0}
    more = Regions(soft=(SoftRegion(whole, 2.0), SoftRegion(whole, 2.0)))
    assert set(more.preference(FRAME).ravel()) == {3.0}
    assert not regions.restricts
    assert regions.mask(FRAME).all()


transforms = st.builds(
    matrix_to_pixels,
    st.tuples(st.floats(0.8, 9), st.floats(0.8, 9)),
    st.floats(0, 2 * np.pi),
    st.tuples(st.floats(0, 60), st.floats(0, 50)),
    st.just((9, 7)),
)
vertices = arrays(
    float, st.tuples(st.integers(1, 6), st.just(2)), elements=st.floats(0, 60)
)
drawings = st.builds(
    MaskRegion, st.just("mask"), arrays(bool, (9, 7)), transforms
) | st.builds(
    PolygonRegion, st.just("polygon"), st.lists(vertices, max_size=3).map(tuple)
)
adjusted = drawings | st.builds(
    AdjustedRegion,
    drawings,
    st.floats(-10, 10),
    st.none() | st.floats(0.1, 10),
    st.booleans(),
)
grown = drawings | st.builds(
    AdjustedRegion, drawings, st.floats(0, 10), st.none(), st.booleans()
)
all_regions = st.builds(
    Regions,
    st.lists(adjusted, max_size=2).map(tuple),
    st.lists(grown, max_size=2).map(tuple),
    st.lists(st.builds(SoftRegion, adjusted, st.floats(-3, 3)), max_size=2).map(tuple),
)


@settings(max_examples=200)
@given(all_regions)
def test_the_mask_says_for_every_pixel_what_the_gate_says(regions: Regions):
    frame = FieldFrame((6, 8), FRAME.fov_nm)
    mask = regions.mask(frame)
    for row, column in np.ndindex(frame.shape):
        place = frame.nm(frame.position(row, column))
        assert mask[row, column] == (regions.allows(*place) is None)


@settings(max_examples=100)
@given(all_regions)
def test_regions_survive_json_without_loss(regions: Regions):
    again = Regions.from_json(json.loads(json.dumps(regions.to_json())))
    assert again.to_json() == regions.to_json()
    np.testing.assert_array_equal(again.mask(FRAME), regions.mask(FRAME))
    before, after = regions.preference(FRAME), again.preference(FRAME)
    assert (before is None) == (after is None)
    if before is not None:
        np.testing.assert_array_equal(before, after)


@given(drawings, st.floats(0, 20))
def test_a_grown_zone_holds_all_that_was_drawn(drawn: DrawnRegion, grow_nm: float):
    zone = AdjustedRegion(drawn, grow_nm=grow_nm)
    assert not (drawn.contains(Y, X) & ~zone.contains(Y, X)).any()


def test_regions_of_an_older_record_are_read():
    old = {
        "interest": [painted().to_json()],
        "forbidden": [drawn_polygons().to_json()],
    }
    regions = Regions.from_json(old)
    assert regions.soft == ()
    assert isinstance(regions.interest[0], MaskRegion)
    assert regions.forbidden[0].name == "drawn"


def test_what_is_no_place_is_in_no_adjusted_region():
    region = AdjustedRegion(painted(), grow_nm=3.0)
    assert not region.contains([np.nan, 30.0], [25.0, np.nan]).any()


def test_a_returned_mask_is_the_callers_own():
    regions = Regions(forbidden=(painted(),), soft=(SoftRegion(drawn_polygons(), 1.0),))
    regions.mask(FRAME)[:] = False
    regions.preference(FRAME)[:] = 9
    assert regions.mask(FRAME).any()
    assert regions.preference(FRAME).max() == 1.0
