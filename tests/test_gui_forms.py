"""Forms give back what a settings model holds, and say what it does not allow."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field
from qtpy.QtCore import Qt

from napari_hae import plugins
from napari_hae.agent.goal import Goal
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.experiment.settings import ExperimentSettings, MeasurementSettings
from napari_hae.gui.forms import ChoiceForm, SettingsForm
from napari_hae.instruments.bridge.settings import RemoteSettings
from napari_hae.instruments.replay import ReplaySettings
from napari_hae.instruments.simulated_settings import SimulatedSettings
from napari_hae.settings_base import Settings

pytestmark = pytest.mark.gui


class Example(Settings):
    number: float = Field(default=0.1, gt=0, title="Number (eV)")
    """How much, in eV. Default 0.1."""
    count: int = Field(default=3, ge=1, le=9, title="Count")
    way: Literal["fast", "very_slow"] = Field(default="fast", title="Way")
    flag: bool = Field(default=False, title="Flag")
    size: tuple[int, int] | None = Field(default=None, title="Rows × columns")
    limit: float | None = Field(
        default=None, title="Limit", json_schema_extra={"empty": "no limit"}
    )
    file: Path | None = Field(default=None, title="File")
    hidden: int = Field(default=7, json_schema_extra={"form": "hidden"})


@pytest.fixture
def form(qtbot):
    form = SettingsForm(Example)
    qtbot.addWidget(form)
    form.set_value(Example())
    form.emitted = []
    form.changed.connect(form.emitted.append)
    return form


ALL_MODELS = [
    *(type(getattr(ExperimentSettings(), n)) for n in ("goal", "budget", "loop")),
    *(type(getattr(ExperimentSettings(), n)) for n in ("model", "initial", "survey")),
    *plugins.load_all(plugins.SCALARIZERS).values(),
    *plugins.load_all(plugins.ACQUISITION_FUNCTIONS).values(),
    SimulatedSettings,
    ReplaySettings,
    RemoteSettings,
]


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.__name__)
def test_a_form_that_is_shown_and_read_gives_the_same_settings(model, qtbot):
    form = SettingsForm(model)
    qtbot.addWidget(form)
    form.set_value(model())
    form._on_changed()
    assert form.problems == {}
    assert form.value == model()


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.__name__)
def test_every_field_has_a_title_a_tooltip_and_a_name_for_screen_readers(model, qtbot):
    form = SettingsForm(model)
    qtbot.addWidget(form)
    for name, control in form.controls.items():
        assert model.model_fields[name].title, name
        assert len(control.native.toolTip()) > 10, name
        assert control.native.accessibleName() == model.model_fields[name].title


@pytest.mark.parametrize(
    ("name", "entered", "held"),
    [
        ("number", "0.25", 0.25),
        ("number", " 1e-3 ", 1e-3),
        ("count", 5, 5),
        ("way", "very_slow", "very_slow"),
        ("flag", True, True),
        ("size", "64 × 32", (64, 32)),
        ("size", "64, 32", (64, 32)),
        ("limit", "12", 12.0),
        ("file", Path("/nowhere/map.bcf"), Path("/nowhere/map.bcf")),
    ],
)
def test_what_is_entered_is_what_is_emitted(form, name, entered, held):
    form.controls[name].value = entered
    assert [getattr(value, name) for value in form.emitted] == [held]
    assert form.problems == {}


def test_showing_settings_emits_nothing_and_emptying_a_field_gives_none(form):
    form.set_value(
        Example(size=(8, 9), limit=0.1 + 0.2, file=Path("/nowhere/a.hspy"), hidden=1)
    )
    assert form.emitted == []
    assert form.controls["size"].value == "8, 9"
    assert float(form.controls["limit"].value) == 0.1 + 0.2
    form.controls["limit"].value = ""
    form.controls["file"].value = None
    assert form.emitted[-1] == Example(size=(8, 9), hidden=1)


def test_what_is_not_allowed_gets_a_sentence_under_the_field_and_a_frame(form):
    form.controls["number"].value = "-1"
    assert form.problems == {"number": "This must be greater than 0."}
    assert "border" in form.controls["number"].native.styleSheet()
    form.controls["limit"].value = "soon"
    assert set(form.problems) == {"number", "limit"}
    assert form.emitted == []
    assert form.value == Example()
    form.controls["number"].value = "2"
    form.controls["limit"].value = ""
    assert form.problems == {}
    assert form.controls["number"].native.styleSheet() == ""
    assert form.value == Example(number=2)


def test_what_is_wrong_with_fields_together_is_said_below_them(qtbot):
    form = SettingsForm(Goal)
    qtbot.addWidget(form)
    form.set_value(Goal())
    value = form.controls["value"].native
    assert value.isHidden()
    form.controls["direction"].value = "reach"
    assert not value.isHidden()
    assert "needs a value to reach" in form.problems[""]
    form.controls["value"].value = "0.35"
    assert form.problems == {}
    assert form.value == Goal(direction="reach", value=0.35)


def test_empty_fields_say_what_empty_means(form):
    assert form.controls["limit"].native.placeholderText() == "no limit"
    assert form.controls["size"].native.placeholderText() == "automatic"
    assert form.controls["file"].line_edit.native.placeholderText() == "no file chosen"
    assert "hidden" not in form.controls


def test_what_was_entered_for_one_kind_is_kept_while_another_is_chosen(qtbot):
    kinds = plugins.load_all(plugins.ACQUISITION_FUNCTIONS)
    choice = ChoiceForm("Acquisition", kinds)
    qtbot.addWidget(choice)
    emitted = []
    choice.changed.connect(emitted.append)
    choice.choice.setCurrentIndex(choice.choice.findData("ucb"))
    choice.form.controls["beta"].value = "3.5"
    choice.choice.setCurrentIndex(choice.choice.findData("log_ei"))
    choice.choice.setCurrentIndex(choice.choice.findData("ucb"))
    assert choice.value == kinds["ucb"](beta=3.5)
    assert [each.kind for each in emitted] == ["ucb", "ucb", "log_ei", "ucb"]
    choice.set_value(kinds["random"]())
    assert choice.kind == "random"
    assert len(emitted) == 4


def test_a_secret_is_entered_unseen_and_kept_when_something_else_changes(qtbot):
    form = SettingsForm(RemoteSettings)
    qtbot.addWidget(form)
    form.set_value(RemoteSettings())
    secret = form.controls["token"]
    assert secret.native.echoMode() is secret.native.EchoMode.Password
    secret.value = "not for everybody's eyes"
    form.controls["host"].value = "microscope-pc"
    assert form.value.host == "microscope-pc"
    assert form.value.token.get_secret_value() == "not for everybody's eyes"


def test_a_model_shows_only_what_its_network_uses(qtbot):
    form = SettingsForm(ModelSettings)
    qtbot.addWidget(form)
    form.set_value(ModelSettings())

    def shown() -> set[str]:
        return {
            name for name, each in form.controls.items() if not each.native.isHidden()
        }

    always = {"network", "earlier", "kernel", "position_kernel", "device"}
    of_patches = {"patch_px", "components"}
    assert shown() == always | {"weights"}
    form.controls["network"].value = "none"
    assert shown() == always | of_patches
    form.controls["network"].value = "classic"
    assert shown() == always | of_patches | {"embedding_dim", "learning_rate"}


def test_fields_show_while_another_one_is_set(qtbot):
    form = SettingsForm(MeasurementSettings)
    qtbot.addWidget(form)
    form.set_value(MeasurementSettings(relative_error=0.05))
    about_repeating = [
        form.controls[name].native for name in ("longest_exposure_s", "only_promising")
    ]
    error = form.controls["relative_error"].native
    assert not any(each.isHidden() for each in about_repeating)
    error.selectAll()
    qtbot.keyClick(error, Qt.Key.Key_Delete)
    assert all(each.isHidden() for each in about_repeating)
    qtbot.keyClicks(error, "0.02")
    assert not any(each.isHidden() for each in about_repeating)
    form.set_value(MeasurementSettings())
    assert all(each.isHidden() for each in about_repeating)
