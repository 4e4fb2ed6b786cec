"""The dock *Experiment*: goal, method, positions and length of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import FileEdit, SpinBox
from qtpy.QtWidgets import QFormLayout, QLineEdit, QWidget

from napari_hae import plugins
from napari_hae.gui.back import BackRow
from napari_hae.gui.earlier_run import LearnButton
from napari_hae.gui.fiducial import FiducialChoice
from napari_hae.gui.forms import ChoiceForm, SettingsForm
from napari_hae.gui.image_here import ImageHere
from napari_hae.gui.plan_choice import PlanChoice
from napari_hae.gui.queue import QueuePanel
from napari_hae.gui.region_choice import RegionChoice
from napari_hae.gui.run_controls import RunControls
from napari_hae.gui.sections import pinned, section
from napari_hae.gui.sentences import Sentence
from napari_hae.gui.sessions import Dock

if TYPE_CHECKING:
    from pathlib import Path

    from napari.viewer import Viewer

    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.settings_base import Settings


class ExperimentDock(Dock):
    """All settings of a run that the user decides, before and during it."""

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        session = self.session
        settings = session.settings
        self.controls = RunControls(session)
        self.forms: dict[str, SettingsForm | ChoiceForm] = {
            "scalarizer": ChoiceForm(
                "Scalarizer", plugins.load_all(plugins.SCALARIZERS)
            ),
            "acquisition": ChoiceForm(
                "Acquisition", plugins.load_all(plugins.ACQUISITION_FUNCTIONS)
            ),
        }
        for name in (
            "goal",
            "moves",
            "initial",
            "loop",
            "measurement",
            "drift",
            "budget",
            "model",
        ):
            self.forms[name] = SettingsForm(type(getattr(settings, name)))
        self.seed = SpinBox(min=0, max=2**31 - 1, value=settings.seed)
        self.seed.native.setKeyboardTracking(False)
        self.seed.native.setToolTip(
            "Same seed, same data, same settings: same path. Default 0."
        )
        self.folder = FileEdit(mode="d", value=session.record_folder)
        self.folder.line_edit.native.setAccessibleName("Folder")
        self.back = BackRow(session)
        self.regions = RegionChoice(session)
        self.plan = PlanChoice(session)
        self.fiducial = FiducialChoice(session)
        self.queue = QueuePanel(session)
        self.image_here = ImageHere(session)
        self.reason = QLineEdit()
        self.reason.setPlaceholderText("Why? Goes into the journal with a change")
        self.reason.setToolTip(
            "Optional. What is written here is kept in the journal with the next "
            "change that you make."
        )
        self.reason.setAccessibleName("Reason")
        self.learn = LearnButton(session)
        self.pending = Sentence()
        forms = self.forms
        pinned(
            self,
            self.controls,
            self.reason,
            self.pending,
            section("Goal", forms["scalarizer"], forms["goal"]),
            section("Policy", forms["acquisition"], forms["moves"], self.plan),
            section("Regions", self.regions),
            section("Measure next", self.queue),
            section("Finer image", self.image_here, expanded=False),
            section("Measurement", forms["measurement"]),
            section("Survey again", forms["drift"], self.fiducial, expanded=False),
            section("Budget", forms["budget"]),
            section("Initial design", forms["initial"], expanded=False),
            section("Loop", forms["loop"], expanded=False),
            section("Model", self.learn, forms["model"], expanded=False),
            section("Record", self._record_form(), expanded=False),
        )
        self._show(settings)
        for form in self.forms.values():
            form.changed.connect(self._on_changed)
        self.plan.changed.connect(self._on_plan)
        self.reason.textChanged.connect(self._on_reason)
        session.reason_taken.connect(self.reason.clear)
        session.settings_changed.connect(self._show)
        session.settings_in_force.connect(self._on_in_force)
        session.started.connect(self._let_begin)
        session.state_changed.connect(self._let_begin)
        session.finished.connect(self._on_finished)
        self.seed.changed.connect(self._on_seed)
        self.folder.changed.connect(self._on_folder)
        self._let_begin()

    def _record_form(self) -> QWidget:
        form = QWidget()
        layout = QFormLayout(form)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addRow("Folder", self.folder.native)
        layout.addRow("Seed", self.seed.native)
        layout.addRow(self.back)
        return form

    def _on_changed(self, value: Settings) -> None:
        (name,) = (name for name, form in self.forms.items() if form is self.sender())
        refusal = self.session.configure(**{name: value})
        self.forms[name].say(refusal)
        if self.session.is_running and not refusal:
            step = self.session.live.taken + 1
            self.pending.say(f"Your change holds from step {step} on …")

    def _on_plan(self, plan: Settings) -> None:
        self.session.configure(plan=plan)

    def _on_reason(self, text: str) -> None:
        self.session.reason = text.strip()

    def _on_in_force(self, step: int) -> None:
        if self.pending.text():
            self.pending.say(f"Your change holds since step {step + 1}.")

    def _on_finished(self) -> None:
        self.pending.say("")
        self._let_begin()

    def _let_begin(self, _: object = None) -> None:
        """Enable the settings for the start of a run while none is active."""
        for widget in (self.forms["initial"], self.seed.native):
            widget.setEnabled(
                not (self.session.is_running or self.session.is_beginning)
            )

    def _on_seed(self, seed: int) -> None:
        self.session.configure(seed=seed)

    def _on_folder(self, folder: Path) -> None:
        self.session.record_folder = folder

    def _show(self, settings: ExperimentSettings) -> None:
        for name, form in self.forms.items():
            value = getattr(settings, name)
            if form.value != value or not self.isVisible():
                form.set_value(value)
        if self.seed.value != settings.seed:
            with self.seed.changed.blocked():
                self.seed.value = settings.seed
        self.plan.set_value(settings.plan)
