"""What people and other plugins put into the plugin's layers stays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel

from napari_hae.gui.layer_data import METADATA_KEY, Role
from napari_hae.gui.layers import FieldLayers, role_of
from napari_hae.types import (
    Area,
    ChosenBy,
    EnergyAxis,
    Measurement,
    Proposal,
    ScanImage,
    Spectrum,
)
from test_gui_layers import FRAME, add, maps, survey

pytestmark = pytest.mark.gui


def measured(step: int, row: int, column: int, seed: int | None = None) -> Measurement:
    position = FRAME.position(row, column)
    who = ChosenBy.AGENT
    proposal = Proposal(step, row, column, position, 0.5, 0.1, 1.0, 0.4, who, step)
    random = np.random.default_rng(step if seed is None else seed)
    counts = random.poisson(9, 4).astype(np.float32)
    axis = EnergyAxis(0.0, 0.1, 4)
    spectrum = Spectrum(counts, axis, "EELS", position, 0.01, 1.0)
    y_nm, x_nm = FRAME.nm(position)
    return Measurement(proposal, spectrum, 0.1 * step, x_nm, y_nm)


RUN = [measured(step, 2 + step, 3 + 2 * step) for step in range(6)]


@pytest.fixture
def viewer(qapp) -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def layers(viewer) -> FieldLayers:
    layers = FieldLayers(viewer)
    layers.show_survey(survey())
    add(layers, RUN[:3])
    return layers


COLUMNS = {
    "whole numbers": [4, 7, 4],
    "numbers": [0.5, 1.5, -2.0],
    "words": ["a", "b", "a"],
    "truths": [True, False, True],
    "moments": pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"]),
    "nullable": pd.array([1, None, 3], dtype="Int64"),
    "MANUAL_CLUSTER_ID": pd.Categorical([0, 1, 0]),
}


def give(layer, **columns) -> None:
    layer.features = layer.features.assign(**columns)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_foreign_column_stays_and_new_rows_have_missing_values(layers, name):
    layer = layers.measured_layer
    give(layer, **{name: COLUMNS[name]})
    add(layers, RUN[3:4])
    add(layers, RUN[4:])
    column = layers.measured_layer.features[name]
    before = pd.Series(COLUMNS[name])
    assert list(column[:3].astype(object).dropna()) == list(
        before.astype(object).dropna()
    )
    assert column[3:].isna().all()
    if name in ("numbers", "moments", "nullable", "MANUAL_CLUSTER_ID"):
        assert column.dtype == before.dtype
    assert list(layer.features["step"]) == list(range(6))
    assert list(layer.features)[:6] == [
        *("step", "target", "mean", "std", "exposure_s", "chosen_by")
    ]


def test_rows_keep_their_values_when_a_run_is_rewound_and_shown_live_again(layers):
    add(layers, RUN[3:])
    give(layers.measured_layer, grain=list("abcdef"))
    layers.show_run(RUN[:2], None, None)
    assert list(layers.measured_layer.features["grain"]) == ["a", "b"]
    give(layers.measured_layer, grain=["a", "z"])
    layers.show_run(RUN, None, None)
    assert list(layers.measured_layer.features["grain"]) == list("azcdef")


def test_categories_chosen_anew_in_an_earlier_step_hold_for_all(layers):
    give(layers.measured_layer, cluster=pd.Categorical([0, 1, 0]))
    layers.show_run(RUN[:1], None, None)
    give(layers.measured_layer, cluster=pd.Categorical([2], categories=[0, 1, 2]))
    layers.show_run(RUN[:3], None, None)
    column = layers.measured_layer.features["cluster"]
    assert list(column) == [2, 1, 0]
    assert list(column.cat.categories) == [0, 1, 2]


def test_after_going_back_rows_of_the_past_keep_their_values_and_no_others(layers):
    give(layers.measured_layer, grain=list("abc"))
    layers.clear_run()
    other = [measured(2, 9, 9, seed=77), measured(3, 1, 1, seed=78)]
    add(layers, RUN[:2])
    add(layers, other)
    column = layers.measured_layer.features["grain"]
    assert list(column[:2]) == ["a", "b"] and column[2:].isna().all()


def test_a_row_is_known_by_its_spectrum_where_its_step_has_another_number(layers):
    give(layers.measured_layer, grain=list("abc"))
    layers.clear_run()
    again = [measured(0, 3, 5, seed=1), measured(1, 2, 3, seed=0)]
    add(layers, again)
    assert list(layers.measured_layer.features["grain"]) == ["b", "a"]


def test_another_run_has_no_columns_of_the_one_before(layers):
    give(layers.measured_layer, grain=list("abc"))
    layers.clear_run()
    add(layers, [measured(0, 5, 5, seed=50)])
    assert "grain" not in layers.measured_layer.features
    add(layers, [measured(1, 6, 5, seed=51)])
    assert "grain" not in layers.measured_layer.features


def test_a_column_that_was_taken_away_stays_away(layers):
    give(layers.measured_layer, grain=list("abc"))
    add(layers, RUN[3:4])
    layer = layers.measured_layer
    layer.features = layer.features.drop(columns="grain")
    add(layers, RUN[4:])
    assert "grain" not in layer.features


def test_points_that_a_person_deleted_do_not_shift_the_values_of_others(layers):
    layer = layers.measured_layer
    give(layer, grain=list("abc"))
    layer.selected_data = {0}
    layer.remove_selected()
    add(layers, RUN[3:4])
    assert list(layer.features["grain"])[1:3] == ["b", "c"]
    assert list(layer.features["step"]) == [0, 1, 2, 3]


def test_columns_of_the_trajectory_stay_as_well(layers):
    give(layers.trajectory_layer, length=[1.0, 2.0])
    add(layers, RUN[3:])
    column = layers.trajectory_layer.features["length"]
    assert list(column[:2]) == [1.0, 2.0] and column[2:].isna().all()
    assert len(column) == 5


def test_colours_and_symbols_that_a_person_chose_stay(layers):
    layer = layers.measured_layer
    layer.face_color = "red"
    layer.current_face_color = "red"
    layer.symbol = "star"
    layer.current_symbol = "star"
    layers.trajectory_layer.edge_color = "blue"
    for each in RUN[3:]:
        add(layers, [each])
        layers.show_maps(maps())
    np.testing.assert_array_equal(layer.face_color, np.tile([1, 0, 0, 1], (6, 1)))
    assert {str(each) for each in layer.symbol} == {"star"}
    blue = np.tile([0, 0, 1, 1], (2, 1))
    np.testing.assert_array_equal(layers.trajectory_layer.edge_color[:2], blue)


def test_points_that_nobody_touched_go_on_being_coloured_by_target(layers):
    layer = layers.measured_layer
    layer.selected_data = {1}
    layer.remove_selected()
    add(layers, RUN[3:])
    assert len(np.unique(layer.face_color, axis=0)) == 6


def test_a_layer_can_be_coloured_by_an_own_column_while_the_run_goes(layers):
    layer = layers.measured_layer
    layer.face_color = "target"
    assert layer.face_color_mode == "colormap"
    add(layers, RUN[3:])
    assert layer.face_color_mode == "colormap"
    # napari keeps the limits of the values that it saw first.
    brightest = np.tile(layer.face_color[2], (4, 1))
    np.testing.assert_allclose(layer.face_color[2:], brightest, atol=1e-6)
    assert len(np.unique(layer.face_color[:3], axis=0)) == 3


@pytest.mark.filterwarnings("ignore:Feature .* looks like categorical")
@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "nullable"])
def test_colours_by_a_foreign_column_break_no_step(layers, name):
    layer = layers.measured_layer
    give(layer, **{name: COLUMNS[name]})
    layer.face_color = name
    before = layer.face_color.copy()
    for each in RUN[3:]:
        add(layers, [each])
    np.testing.assert_array_equal(layer.face_color[:3], before)
    assert len(layer.face_color) == len(layer.data) == 6


def test_size_border_text_name_and_metadata_stay(layers):
    layer = layers.measured_layer
    layer.size, layer.border_color, layer.name = 7, "yellow", "mine"
    layer.current_size = 7
    layer.text = "{step}"
    layer.metadata["note"] = "mine"
    add(layers, RUN[3:])
    assert set(layer.size) == {7} and layer.name == "mine"
    assert layer.metadata["note"] == "mine"
    assert layer.text.values.tolist() == [str(step) for step in range(6)]


def test_a_wider_image_keeps_the_metadata_of_others(viewer, layers):
    wide = layers.survey_layers[0]
    wide.metadata["note"] = "mine"
    area = Area(0.25, 0.25, 0.5, 0.5)
    image = survey()
    layers.show_survey(ScanImage(image.data, image.detectors, image.fov_nm, 1e-5, area))
    assert role_of(wide) is Role.OVERVIEW
    assert wide.metadata["note"] == "mine" and METADATA_KEY in wide.metadata
