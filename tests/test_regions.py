"""Regions of interest and forbidden zones, without a window."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_hae.coordinates import FieldFrame
from napari_hae.regions.allowed_field import AllowedField
from napari_hae.regions.regions import (
    AdjustedRegion,
    MaskRegion,
    PolygonRegion,
    Region,
    Regions,
)
from napari_hae.types import WHOLE_FIELD, Area

FRAME = FieldFrame((12, 16), (60.0, 48.0))
PIXELS = np.array([[0.2, 0.0, -0.5], [0.0, 1 / 3, -0.5]])
"""The map from nm to the pixels of `FRAME`."""


def rotation(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


matrices = st.builds(
    lambda angle, zoom, shift: np.column_stack([zoom * rotation(angle), shift]),
    st.floats(0, 2 * np.pi),
    st.floats(0.05, 2),
    st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
)
masks = st.builds(
    MaskRegion, st.just("mask"), arrays(bool, (9, 7)), matrices | st.just(PIXELS)
)
corners = st.tuples(st.integers(1, 6), st.just(2))
vertices = arrays(float, corners, elements=st.floats(0, 60))
polygons = st.builds(
    PolygonRegion, st.just("polygon"), st.lists(vertices, max_size=3).map(tuple)
)
regions = st.builds(
    Regions,
    st.lists(masks | polygons, max_size=2).map(tuple),
    st.lists(masks | polygons, max_size=2).map(tuple),
)


def pixel_mask(*painted: tuple[int, int]) -> MaskRegion:
    mask = np.zeros(FRAME.shape, bool)
    for pixel in painted:
        mask[pixel] = True
    return MaskRegion("painted", mask, PIXELS)


def square(low: float, high: float, name: str = "square") -> PolygonRegion:
    corners = [[low, low], [low, high], [high, high], [high, low]]
    return PolygonRegion(name, (np.array(corners),))


@settings(deadline=None, max_examples=60)
@given(regions)
def test_the_mask_says_for_every_pixel_what_a_single_check_says(regions: Regions):
    frame = FieldFrame((6, 8), FRAME.fov_nm)
    mask = regions.mask(frame)
    for row, column in np.ndindex(frame.shape):
        place = frame.nm(frame.position(row, column))
        assert mask[row, column] == (regions.allows(*place) is None)


@settings(deadline=None)
@given(regions)
def test_regions_survive_json_without_loss(regions: Regions):
    again = Regions.from_json(json.loads(json.dumps(regions.to_json())))
    assert again.to_json() == regions.to_json()
    for old, new in zip(
        regions.interest + regions.forbidden,
        again.interest + again.forbidden,
        strict=True,
    ):
        assert type(old) is type(new)
        if isinstance(old, MaskRegion):
            np.testing.assert_array_equal(old.mask, new.mask)
            np.testing.assert_array_equal(old.nm_to_pixel, new.nm_to_pixel)
    np.testing.assert_array_equal(again.mask(FRAME), regions.mask(FRAME))


@settings(deadline=None)
@given(regions)
def test_a_forbidden_zone_wins_over_a_region_of_interest(regions: Regions):
    both = Regions(interest=regions.forbidden, forbidden=regions.forbidden)
    only = Regions(forbidden=regions.forbidden)
    assert not (both.mask(FRAME) & ~only.mask(FRAME)).any()


def test_exactly_the_painted_pixels_are_forbidden():
    painted = pixel_mask((2, 3), (11, 15))
    expected = ~painted.mask
    np.testing.assert_array_equal(Regions(forbidden=(painted,)).mask(FRAME), expected)


def test_several_regions_of_interest_are_a_union():
    regions = Regions(interest=(pixel_mask((2, 3)), pixel_mask((4, 5))))
    expected = pixel_mask((2, 3), (4, 5)).mask
    np.testing.assert_array_equal(regions.mask(FRAME), expected)


@pytest.mark.parametrize("fresh", [pixel_mask(), PolygonRegion("fresh", ())])
def test_a_region_of_interest_with_nothing_in_it_does_not_restrict(fresh: Region):
    regions = Regions(interest=(fresh,))
    assert not regions.restricts
    assert regions.mask(FRAME).all()
    assert regions.allows(1.0, 1.0) is None


def test_an_empty_region_of_interest_adds_nothing_to_a_drawn_one():
    regions = Regions(interest=(pixel_mask(), pixel_mask((1, 1))))
    np.testing.assert_array_equal(regions.mask(FRAME), pixel_mask((1, 1)).mask)


def test_reasons_name_the_region():
    keep_out, edges = square(0, 10, "keep out"), square(0, 30, "edges")
    regions = Regions(interest=(edges,), forbidden=(keep_out,))
    assert regions.allows(5, 5) == "lies in the forbidden zone 'keep out'"
    assert regions.allows(40, 5) == "lies outside the region of interest 'edges'"
    assert regions.allows(20, 5) is None
    two = Regions(interest=(edges, square(0, 5, "corner")))
    assert two.allows(40, 5) == (
        "lies outside the regions of interest 'edges' and 'corner'"
    )


@pytest.mark.parametrize("place", [(np.nan, 1.0), (1.0, np.inf)])
def test_what_is_no_place_is_not_allowed(place: tuple[float, float]):
    assert "is not a place" in str(Regions().allows(*place))


@pytest.mark.parametrize("place", [(10, 20), (20, 10), (10, 10), (30, 25)])
def test_an_outline_belongs_to_what_is_not_allowed(place: tuple[float, float]):
    shape = square(10, 30)
    assert Regions(forbidden=(shape,)).allows(*place) is not None
    assert Regions(interest=(shape,)).allows(*place) is not None


@pytest.mark.parametrize("place", [(10, 10.5), (15, 10.5), (12, 9), (12, 12), (10, 9)])
def test_the_edge_of_a_painted_pixel_belongs_to_what_is_not_allowed(place):
    painted = pixel_mask((2, 3))  # y from 10 to 15 nm, x from 9 to 12 nm
    assert Regions(forbidden=(painted,)).allows(*place) is not None
    assert Regions(interest=(painted,)).allows(*place) is not None


def test_the_overlap_of_a_polygon_with_itself_is_never_allowed():
    # Twice around the same square.
    twice = PolygonRegion("lasso", (np.tile(square(10, 30).polygons[0], (2, 1)),))
    assert Regions(forbidden=(twice,)).allows(20, 20) is not None
    assert Regions(interest=(twice,)).allows(20, 20) is not None


def test_a_finer_and_rotated_mask_covers_the_place_where_it_lies():
    angle = 0.5
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array([30.0, 20.0])
    matrix = np.column_stack([turn * 10, np.array([50.0, 50.0]) - turn @ centre * 10])
    mask = np.zeros((101, 101), bool)
    mask[40:61, :] = True  # a strip of 2.1 nm across the centre, 10.1 nm long
    zone = Regions(forbidden=(MaskRegion("strip", mask, matrix),))
    along = np.linalg.inv(turn) @ [0.0, 1.0]
    across = np.linalg.inv(turn) @ [1.0, 0.0]
    assert zone.allows(*(centre + 4.9 * along)) is not None
    assert zone.allows(*(centre + 1.0 * across)) is not None
    assert zone.allows(*(centre + 1.1 * across)) is None
    assert zone.allows(*(centre + 5.2 * along)) is None


def test_a_snapshot_does_not_change_with_the_array_it_was_made_of():
    mask = np.ones(FRAME.shape, bool)
    zone = MaskRegion("zone", mask, PIXELS)
    mask[:] = False
    assert zone.mask.all()
    with pytest.raises(ValueError, match="read-only"):
        zone.mask[0, 0] = False


def test_regions_of_the_wrong_shape_are_refused_in_words():
    with pytest.raises(ValueError, match="'bad' needs a mask"):
        MaskRegion("bad", np.zeros(3, bool), PIXELS)
    with pytest.raises(ValueError, match="'bad' needs a mask"):
        MaskRegion("bad", np.zeros((3, 3), bool), np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="'bad' needs polygons"):
        PolygonRegion("bad", (np.zeros((4, 3)),))


def test_an_area_may_be_scanned_where_all_of_it_is_open():
    """Also where a zone lies between the centres of pixels."""
    zone = PolygonRegion("slit", (np.array([[10, 13], [12, 13], [12, 14], [10, 14]]),))
    field = AllowedField(FRAME, Regions(forbidden=(zone,)))
    assert field.mask().all()
    assert "close to the beam" in field.refusal_of_scan(WHOLE_FIELD)
    assert field.refusal_of_scan(Area(0, 0, 0.25, 1)) is None
    assert field.refusal_of_scan(Area(0.2, 0.1, 0.4, 0.5)) is not None


def box(name: str, top: float, left: float, bottom: float, right: float):
    corners = [[top, left], [top, right], [bottom, right], [bottom, left]]
    return PolygonRegion(name, (np.array(corners),))


COARSE = FieldFrame((20, 20), (200.0, 200.0))
THIN = {
    "polygon": box("thin", 84.2, 0, 85.7, 200),
    "line": PolygonRegion("line", (np.array([[84.2, 20.0], [85.8, 180.0]]),)),
    "mask": MaskRegion(
        "mask",
        np.ones((1, 1), bool),
        np.array([[1 / 1.5, 0, -84.2 / 1.5 - 0.5], [0, 0.005, -0.5]]),
    ),
}
"""1.5 nm in height at most, and pixels have 10 nm."""


@pytest.mark.parametrize("zone", THIN.values(), ids=THIN)
def test_no_zone_is_too_thin_for_a_scan(zone: Region):
    field = AllowedField(COARSE, Regions(forbidden=(zone,)))
    assert field.refusal(COARSE.position_at(85.0, 100.0)) is not None
    assert field.refusal_of_scan(WHOLE_FIELD) is not None
    assert field.refusal_of_scan(Area(0.4, 0.36, 0.6, 0.46)) is not None
    for clear in (Area(0, 0, 1, 0.37), Area(0, 0.48, 1, 1)):
        assert field.refusal_of_scan(clear) is None


def test_no_gap_between_regions_of_interest_is_too_thin_for_a_scan():
    upper, lower = box("upper", 0, 0, 83.1, 200), box("lower", 83.2, 0, 200, 200)
    field = AllowedField(COARSE, Regions(interest=(upper, lower)))
    assert field.refusal_of_scan(WHOLE_FIELD) is not None
    assert field.refusal_of_scan(Area(0, 0, 1, 0.415)) is None
    lower = box("lower", 70, 0, 200, 200)
    field = AllowedField(COARSE, Regions(interest=(upper, lower)))
    assert field.refusal_of_scan(Area(0.05, 0.05, 0.95, 0.95)) is None


def adjusted(drawn: MaskRegion | PolygonRegion, grow_nm: float) -> Region:
    return AdjustedRegion(drawn, grow_nm)


zones = masks | polygons | st.builds(adjusted, masks | polygons, st.floats(0, 6))


@settings(deadline=None, max_examples=300)
@given(
    st.lists(masks | polygons, max_size=2).map(tuple),
    st.lists(zones, max_size=2).map(tuple),
    st.tuples(*[st.floats(0, 0.8)] * 2, *[st.floats(0.01, 1)] * 2),
    st.tuples(st.floats(-4, 4), st.floats(-4, 4)) | st.just((0.0, 0.0)),
)
def test_a_scan_that_is_allowed_goes_nowhere_that_a_spot_may_not(
    interest, forbidden, extent, drift_nm
):
    left, top, width, height = extent
    area = Area(left, top, min(left + width, 1), min(top + height, 1))
    field = AllowedField(FRAME, Regions(interest, forbidden), drift_nm)
    y, x = FRAME.within(area, 0.25).centres_nm()
    down, right = drift_nm
    if field.refusal_of_scan(area) is None:
        assert field.regions.are_open(y - down, x - right).all()
        return
    # Where it is refused, a place is closed, or one is nearer than a pixel.
    pixel_nm = max(FRAME.pixel_nm)
    inner = Regions(
        tuple(adjusted(each, -pixel_nm) for each in interest if not each.is_empty),
        field.regions.with_margin(pixel_nm).forbidden,
    )
    assert not inner.are_open(y - down, x - right).all()


def test_a_scan_is_looked_at_alike_however_many_pixels_there_are(monkeypatch):
    asked = []
    for kind in (MaskRegion, PolygonRegion):

        def counted(self, y_nm, x_nm, *, edge=True, contains=kind.contains):
            asked.append(np.broadcast(y_nm, x_nm).size)
            return contains(self, y_nm, x_nm, edge=edge)

        monkeypatch.setattr(kind, "contains", counted)
    corner = MaskRegion("corner", np.eye(10, dtype=bool), np.eye(2, 3) / 2)
    here = Regions(interest=(square(1, 45),), forbidden=(corner, square(24, 30)))
    open_area, closed_area = Area(0.75, 0.55, 0.9, 0.7), Area(0.05, 0.05, 0.9, 0.7)
    costs = {}
    for shape in ((12, 16), (768, 1024)):
        field = AllowedField(FieldFrame(shape, FRAME.fov_nm), here)
        for area in (open_area, closed_area, WHOLE_FIELD):
            asked.clear()
            is_open = field.refusal_of_scan(area) is None
            assert is_open == (area == open_area)
            costs[shape, area] = sum(asked)
            asked.clear()
            # A gate asks again during and after a scan.
            field.refusal_of_scan(area)
            assert asked == []
            assert costs[shape, area] == costs[(12, 16), area] < 2000


@pytest.mark.parametrize(
    ("region", "low_nm", "high_nm"),
    [
        (square(7.3, 31.9), (7.3, 7.3), (31.9, 31.9)),
        (pixel_mask((3, 4), (3, 5), (4, 4), (4, 5)), (15, 12), (25, 18)),
    ],
)
def test_an_area_that_is_drawn_around_a_region_of_interest_may_be_scanned(
    region, low_nm, high_nm
):
    low, high = FRAME.position_at(*low_nm), FRAME.position_at(*high_nm)
    area = Area(low.x, low.y, high.x, high.y)
    beside = box("beside", 0, 0, 60, 20)
    for interest in ((region,), (beside, region), (AdjustedRegion(region, 2.0),)):
        field = AllowedField(FRAME, Regions(interest=interest))
        assert field.refusal_of_scan(area) is None
    shrunk = Regions(interest=(AdjustedRegion(region, -0.5),))
    assert AllowedField(FRAME, shrunk).refusal_of_scan(area) is not None


@given(regions, st.sampled_from([WHOLE_FIELD, Area(0.125, 1 / 3, 0.7, 0.9)]))
@settings(max_examples=30)
def test_an_allowed_field_survives_json_without_loss(regions: Regions, area: Area):
    field = AllowedField(FieldFrame((12, 16), (59.9 / 3, 48.0), area), regions)
    read = AllowedField.from_json(json.loads(json.dumps(field.to_json())))
    assert read.frame == field.frame
    np.testing.assert_array_equal(read.mask(), field.mask())
    for row, column in ((0, 0), (5, 9), (11, 15)):
        position = field.frame.position(row, column)
        assert read.refusal(position) == field.refusal(position)
    assert read.refusal_of_scan(area) == field.refusal_of_scan(area)
