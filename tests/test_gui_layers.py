"""The plugin's layers in a real napari window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.colormaps import ensure_colormap
from qtpy.QtWidgets import QApplication

from napari_hae.coordinates import FieldFrame
from napari_hae.gui.layer_data import METADATA_KEY, Role
from napari_hae.gui.layers import FieldLayers, role_of
from napari_hae.gui.stored_layers import layer_data
from napari_hae.types import (
    ChosenBy,
    EnergyAxis,
    Measurement,
    PredictionMaps,
    Proposal,
    ScanImage,
    Spectrum,
)

pytestmark = pytest.mark.gui

SHAPE, FOV_NM = (20, 30), (10.0, 30.0)
FRAME = FieldFrame(SHAPE, FOV_NM)


def survey(shape: tuple[int, int] = SHAPE) -> ScanImage:
    data = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    return ScanImage(data, ("HAADF", "BF"), FOV_NM, 1e-5)


def maps(low: float = 0.0, high: float = 1.0) -> PredictionMaps:
    ramp = np.linspace(low, high, 600, dtype=np.float32).reshape(SHAPE)
    return PredictionMaps(3, ramp, ramp - low, ramp)


def measurement(step: int, row: int, column: int, target: float) -> Measurement:
    position = FRAME.position(row, column)
    chosen = ChosenBy.AGENT
    proposal = Proposal(step, row, column, position, 0.5, 0.1, 1.0, 0.4, chosen, step)
    energy = EnergyAxis(0.0, 0.1, 4)
    counts = np.zeros(4, np.float32)
    spectrum = Spectrum(counts, energy, "EELS", position, 0.01, 1.0)
    y_nm, x_nm = FRAME.nm(position)
    return Measurement(proposal, spectrum, target, x_nm, y_nm)


RUN = [
    measurement(0, 2, 3, 0.2),
    measurement(1, 10, 25, 0.9),
    measurement(2, 19, 0, 0.5),
]


@pytest.fixture
def viewer(qapp) -> ViewerModel:
    """The part of a viewer that needs no window: opens a hundred times faster."""
    return ViewerModel()


@pytest.fixture
def layers(viewer: ViewerModel) -> FieldLayers:
    layers = FieldLayers(viewer)
    layers.show_survey(survey())
    return layers


def add(layers: FieldLayers, measurements: list[Measurement]) -> None:
    for update in layers.measurement_updates(measurements):
        update()


def show_all(layers: FieldLayers) -> None:
    add(layers, RUN)
    layers.show_maps(maps())
    layers.show_next(RUN[1].proposal)


def roles(viewer: ViewerModel) -> list[Role | None]:
    return [role_of(layer) for layer in viewer.layers]


def test_layers_lie_in_the_documented_order_whatever_came_first(viewer, layers):
    show_all(layers)
    assert roles(viewer) == [
        *(Role.SURVEY, Role.SURVEY, Role.DOSE),
        *(Role.STD, Role.ACQUISITION, Role.MEAN),
        *(Role.TRAJECTORY, Role.MEASURED, Role.NEXT),
    ]


def test_a_selection_lies_above_the_maps_and_below_the_points(viewer, layers):
    layers.show_selection(np.eye(*SHAPE, dtype=bool))
    show_all(layers)
    order = roles(viewer)
    place = order.index(Role.SELECTION)
    assert order[place - 1] is Role.MEAN
    assert order[place + 1] is Role.TRAJECTORY
    np.testing.assert_array_equal(layers.selection_layer.data, np.eye(*SHAPE))
    layers.clear_run()
    assert layers.selection_layer is not None
    layers.clear_selection()
    layers.clear_selection()
    assert layers.selection_layer is None


def test_first_detector_and_mean_are_the_visible_images(viewer, layers):
    show_all(layers)
    visible = [x.name for x in viewer.layers if x.visible and hasattr(x, "gamma")]
    assert visible == ["Survey HAADF", "Predicted mean"]


def test_all_layers_share_scale_units_and_axis_labels(viewer, layers):
    show_all(layers)
    for layer in viewer.layers:
        np.testing.assert_array_equal(layer.scale, FRAME.pixel_nm)
        np.testing.assert_array_equal(layer.translate, FRAME.origin_nm)
        assert [str(unit) for unit in layer.units] == ["nanometer", "nanometer"]
        assert layer.axis_labels == ("y", "x")
    # None here is what makes napari warn of inconsistent units.
    assert viewer.layers.extent.units is not None
    assert viewer.canvas.overlays.scale_bar.visible


def test_the_image_covers_the_field_of_view_from_corner_to_corner(viewer, layers):
    low, high = viewer.layers.extent.world
    pixel = np.array(FRAME.pixel_nm)
    np.testing.assert_allclose(low - pixel / 2, 0)
    np.testing.assert_allclose(high + pixel / 2, FOV_NM)


def test_measured_points_lie_in_nm_where_they_were_measured(layers):
    add(layers, RUN)
    points = layers.measured_layer
    for point, taken in zip(points.data, RUN, strict=True):
        np.testing.assert_allclose(
            points.data_to_world(point), (taken.y_nm, taken.x_nm), atol=1e-9
        )
        row, column = taken.proposal.row, taken.proposal.column
        np.testing.assert_allclose(point, (row, column), atol=1e-9)


def test_measured_points_carry_a_table_of_features(layers):
    add(layers, RUN[:1])
    add(layers, RUN[1:])
    table = layers.measured_layer.features
    columns = ["step", "target", "mean", "std", "exposure_s", "chosen_by"]
    assert list(table.columns) == columns
    assert list(table["step"]) == [0, 1, 2]
    assert list(table["target"]) == [0.2, 0.9, 0.5]
    assert set(table["chosen_by"]) == {"agent"}


def test_the_trajectory_leads_from_point_to_point(layers):
    add(layers, RUN)
    starts, ways = (
        layers.trajectory_layer.data[:, 0],
        layers.trajectory_layer.data[:, 1],
    )
    np.testing.assert_allclose(starts, [(2, 3), (10, 25)], atol=1e-6)
    np.testing.assert_allclose(starts + ways, [(10, 25), (19, 0)], atol=1e-6)


def test_the_trajectory_is_coloured_by_step_from_dark_to_bright(layers):
    add(layers, [*RUN, measurement(3, 1, 1, 0.3)])
    path = layers.trajectory_layer
    assert list(path.features["step"]) == [1, 2, 3]
    expected = ensure_colormap("plasma").map([0, 0.5, 1])
    np.testing.assert_allclose(path.edge_color, expected, atol=1e-6)
    brightness = path.edge_color[:, :3].sum(axis=1)
    assert (np.diff(brightness) > 0).all()
    add(layers, [measurement(4, 7, 7, 0.1)])
    np.testing.assert_allclose(path.edge_color[[0, -1]], expected[[0, -1]], atol=1e-6)
    assert len(path.edge_color) == len(path.data) == 4


def test_the_dose_map_sums_up_to_the_dose_of_the_spectra(layers):
    add(layers, RUN)
    dose = layers.map_layer(Role.DOSE)
    assert dose.name == "Dose"
    assert not dose.visible
    area_nm2 = np.prod(FRAME.pixel_nm)
    assert dose.data.sum() * area_nm2 == pytest.approx(3.0)
    again = measurement(3, 10, 25, 0.8)
    add(layers, [again])
    assert layers.map_layer(Role.DOSE) is dose
    assert dose.data[10, 25] * area_nm2 == pytest.approx(2.0)
    assert np.count_nonzero(dose.data) == 3
    assert dose.contrast_limits == [0, dose.data.max()]


def test_without_a_known_current_there_is_no_dose_map(layers):
    unknown = measurement(3, 1, 1, 0.3)
    unknown = replace(unknown, spectrum=replace(unknown.spectrum, dose_e=np.nan))
    add(layers, [unknown])
    assert layers.map_layer(Role.DOSE) is None
    layers.clear_run()
    add(layers, RUN)
    add(layers, [unknown])
    assert layers.map_layer(Role.DOSE) is None


def test_a_run_can_be_shown_as_it_was(viewer, layers):
    show_all(layers)
    layers.show_targets({0: 20.0, 1: 90.0, 2: 50.0})
    layers.measured_layer.selected_data = {2}
    before = list(viewer.layers)
    layers.show_run(RUN[:2], None, RUN[2].proposal)
    assert list(viewer.layers) == before
    assert list(layers.measured_layer.features["target"]) == [0.2, 0.9]
    assert layers.measured_layer.selected_data <= {0, 1}
    assert len(layers.trajectory_layer.data) == 1
    assert np.count_nonzero(layers.map_layer(Role.DOSE).data) == 2
    for role in (Role.MEAN, Role.STD, Role.ACQUISITION):
        assert np.isnan(layers.map_layer(role).data).all()
    np.testing.assert_allclose(layers.next_layer.data, [(19, 0)], atol=1e-9)
    layers.show_run(RUN, maps(), None)
    np.testing.assert_array_equal(layers.map_layer(Role.MEAN).data, maps().mean)
    assert len(layers.measured_layer.data) == 3
    assert len(layers.next_layer.data) == 0


def test_a_measurement_without_target_is_a_cross_until_another_band_finds_one(layers):
    add(layers, [*RUN, measurement(3, 5, 5, np.nan)])
    points = layers.measured_layer
    assert [str(symbol) for symbol in points.symbol] == ["disc"] * 3 + ["x"]
    layers.show_targets({0: 5.0, 1: 7.0, 2: 6.0, 3: 5.5})
    assert {str(symbol) for symbol in points.symbol} == {"disc"}
    assert list(points.features["target"]) == [5.0, 7.0, 6.0, 5.5]


def test_points_have_the_colours_of_the_mean_at_the_same_value(layers):
    layers.show_maps(maps(0.0, 2.0))
    add(layers, RUN)
    mean = layers.map_layer(Role.MEAN)
    low, high = mean.contrast_limits
    expected = mean.colormap.map([(m.target - low) / (high - low) for m in RUN])
    np.testing.assert_allclose(layers.measured_layer.face_color, expected, atol=1e-6)


def test_limits_of_the_mean_only_widen(layers):
    layers.show_maps(maps(0.0, 2.0))
    mean = layers.map_layer(Role.MEAN)
    layers.show_maps(maps(0.5, 1.0))
    assert mean.contrast_limits == [0.0, 2.0]
    layers.show_maps(maps(-1.0, 1.0))
    assert mean.contrast_limits == [-1.0, 2.0]


def test_limits_start_afresh_when_targets_become_others(layers):
    layers.show_maps(maps(0.0, 2000.0))
    add(layers, RUN)
    layers.show_targets({0: 0.1, 1: 0.4, 2: 0.2})
    layers.show_maps(maps(0.0, 0.5))
    for role in (Role.MEAN, Role.STD):
        assert layers.map_layer(role).contrast_limits == [0.0, 0.5]


def test_limits_that_a_person_has_set_stay(layers):
    layers.show_maps(maps(0.0, 2.0))
    mean = layers.map_layer(Role.MEAN)
    mean.contrast_limits = (0.25, 0.75)
    layers.show_maps(maps(-1.0, 3.0))
    assert mean.contrast_limits == [0.25, 0.75]


def test_a_map_without_a_single_number_is_survived(layers):
    nowhere = replace(maps(), acquisition=np.full(SHAPE, np.nan, np.float32))
    layers.show_maps(nowhere)
    layers.show_maps(maps())
    assert layers.map_layer(Role.ACQUISITION).contrast_limits == [0.0, 1.0]


def test_layers_are_updated_in_place_and_found_under_another_name(viewer, layers):
    show_all(layers)
    before = list(viewer.layers)
    for number, layer in enumerate(before):
        layer.name = f"mine {number}"
    layers.show_survey(survey())
    layers.show_maps(maps(0.0, 3.0))
    add(layers, [measurement(3, 1, 1, 0.3)])
    layers.show_next(RUN[2].proposal)
    assert list(viewer.layers) == before
    assert layers.map_layer(Role.MEAN).data.max() == 3
    assert len(layers.measured_layer.data) == 4
    np.testing.assert_allclose(layers.next_layer.data, [(19, 0)], atol=1e-9)


def test_deleted_layers_come_back_with_their_next_data(viewer, layers):
    show_all(layers)
    order = roles(viewer)
    viewer.layers.clear()
    layers.show_next(None)
    layers.show_targets({})
    layers.show_survey(survey())
    layers.show_maps(maps())
    add(layers, [measurement(3, 1, 1, 0.3)])
    layers.show_next(RUN[2].proposal)
    assert roles(viewer) == order
    assert len(layers.measured_layer.data) == 4


def test_a_layer_converted_to_another_type_is_left_alone(viewer, layers):
    show_all(layers)
    mean = layers.map_layer(Role.MEAN)
    viewer.layers.remove(mean)
    ones = np.ones(SHAPE, np.uint8)
    labels = viewer.add_labels(ones, metadata=dict(mean.metadata), units=mean.units)
    layers.show_maps(maps())
    assert labels.data.max() == 1
    assert layers.map_layer(Role.MEAN) is not labels


def test_the_selection_is_left_to_the_person(viewer, layers):
    chosen = layers.survey_layers[0]
    viewer.layers.selection = {chosen}
    show_all(layers)
    assert viewer.layers.selection == {chosen}


def test_the_next_position_can_be_taken_away(layers):
    layers.show_next(RUN[0].proposal)
    assert layers.next_layer.features["why"][0].startswith("predicted 0.5")
    layers.show_next(None)
    assert len(layers.next_layer.data) == 0


def test_a_new_run_keeps_the_survey_image_and_nothing_of_the_old_run(viewer, layers):
    show_all(layers)
    layers.clear_run()
    assert roles(viewer) == [Role.SURVEY, Role.SURVEY]
    add(layers, RUN[:1])
    assert len(layers.measured_layer.data) == 1


def test_a_survey_of_another_shape_recalibrates_its_layers(viewer, layers):
    show_all(layers)
    layers.show_survey(survey((40, 60)))
    assert roles(viewer) == [Role.SURVEY, Role.SURVEY]
    for layer in viewer.layers:
        np.testing.assert_array_equal(layer.scale, (0.25, 0.5))
        assert layer.data.shape == (40, 60)


def test_a_detector_that_is_gone_takes_its_layer_along(viewer, layers):
    image = survey()
    layers.show_survey(replace(image, data=image.data[:1], detectors=("BF",)))
    assert [x.metadata[METADATA_KEY]["detector"] for x in viewer.layers] == ["BF"]


def test_maps_before_any_survey_image_are_refused_in_words(viewer):
    with pytest.raises(RuntimeError, match="survey image first"):
        FieldLayers(viewer).show_maps(maps())


def test_a_stored_run_opens_as_the_live_one_looked(viewer, layers):
    show_all(layers)
    stored = [Layer.create(*data) for data in layer_data(survey(), RUN, maps())]
    live = [x for x in viewer.layers if role_of(x) is not Role.NEXT]
    assert [x.name for x in stored] == [x.name for x in live]
    for one, other in zip(stored, live, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        np.testing.assert_array_equal(one.scale, other.scale)
        if hasattr(one, "contrast_limits"):
            assert one.contrast_limits == other.contrast_limits
    measured = stored[-1]
    np.testing.assert_allclose(measured.face_color, layers.measured_layer.face_color)


def test_a_run_is_drawn_renamed_and_deleted_in_a_real_window(make_napari_viewer):
    window = make_napari_viewer(show=True)
    layers = FieldLayers(window)
    layers.show_survey(survey())
    empty = window.screenshot(flash=False)
    show_all(layers)
    window.layers[0].name = "mine"
    QApplication.processEvents()
    drawn = window.screenshot(flash=False)
    assert (drawn != empty).any(axis=-1).mean() > 0.1
    window.layers.remove(layers.map_layer(Role.MEAN))
    window.layers.remove(layers.measured_layer)
    add(layers, [measurement(3, 1, 1, 0.3)])
    layers.show_maps(maps())
    QApplication.processEvents()
    assert len(layers.measured_layer.data) == 4
    assert window.layers[0].name == "mine"
