"""State shared by the docks of one viewer: the instrument, the settings, the run."""

from __future__ import annotations

import itertools
import math
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_hae.agent.scalarizers import BandScalarizer
from napari_hae.experiment.ending import AbortedBy, Ending
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.experiment.feasible import preflight
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.experiment.settings_patch import SettingsPatch
from napari_hae.experiment.stored import open_run
from napari_hae.gui.abort import Aborting
from napari_hae.gui.background import Background
from napari_hae.gui.beam import BeamPoll
from napari_hae.gui.bridge import RunBridge
from napari_hae.gui.connection import Connection
from napari_hae.gui.garbage import garbage_collector
from napari_hae.gui.layer_list import hide_stored_layers, stored_layers_of
from napari_hae.gui.layers import FieldLayers
from napari_hae.gui.live import LiveView
from napari_hae.gui.opened_run import OpenedRun
from napari_hae.gui.pointing import Pointing
from napari_hae.gui.regions import RegionWatcher
from napari_hae.gui.regions_in_effect import RegionsInEffect
from napari_hae.gui.steered_run import SteeredRun
from napari_hae.gui.successors import Successors
from napari_hae.gui.system_signals import system_signals
from napari_hae.gui.trust import RecordTrust
from napari_hae.gui.unsaved import Unsaved
from napari_hae.regions.regions import Regions

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer
    from pydantic import BaseModel
    from qtpy.QtCore import SignalInstance

    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import ScanImage


MOVED = (
    "the sample has drifted by {:.3g} nm since the survey image, and nothing is where "
    "the image shows it: without a run, take a new one first"
)


ABORTING = "Aborting …"
UNUSABLE = "This cannot be used here"


class Session(SteeredRun):
    """Instrument and run of one viewer.

    All methods are for Qt's main thread, and return at once: long work is done in the
    background, and signals report its end.
    """

    survey_changed = Signal(object)
    """Emit `(survey: ScanImage)` when another survey image is shown."""
    state_changed = Signal(object)
    """Emit `(phase: RunPhase)` when the state of the run changes."""
    settings_changed = Signal(object)
    """Emit `(settings: ExperimentSettings)` when the window shows other settings."""
    settings_in_force = Signal(int)
    """Emit `(step: int)`: the shown settings are in force from this step on."""
    said = Signal(str)
    """Emit `(sentence: str)` for the list of messages."""
    unsaid = Signal(str)
    """Emit `(sentence: str)` when a message no longer holds."""
    failed = Signal(str, str)
    """Emit `(action: str, reason: str)` when an action failed."""
    mended = Signal(str)
    """Emit `(action: str)`, or its beginning, when an action succeeded or is tried
    again."""
    started = Signal()
    """Emit when a run begins, or none is shown; displays of an earlier one are
    cleared."""
    finished = Signal(object, str)
    """Emit `(reason: FinishReason, details: str)` when the run has ended."""
    opened_elsewhere = Signal(object)
    """Emit `(run: OpenedRun)` to show a run in a window of its own."""
    closed = Signal(object)
    """Emit `(session: Session)` when this session has ended."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        garbage_collector().hold(self)
        self.viewer = viewer
        self.layers = FieldLayers(viewer)
        self.live = LiveView(self.layers, self)
        self.watcher = RegionWatcher(viewer, self)
        self.in_effect = RegionsInEffect(viewer, self.layers, self)
        self.background = Background(self)
        self.connection = Connection(self)
        self.beam = BeamPoll(self)
        self.aborting = Aborting(self)
        self._pointing = Pointing(self)
        self.successors = Successors(self)
        self.trust = RecordTrust(self)
        self.unsaved = Unsaved(self)
        self.settings = ExperimentSettings()
        self.record_folder = Path.home() / "napari-hae"
        self.survey: ScanImage | None = None
        self.record_path: Path | None = None
        """Record of the run that is shown: the newest one, or one opened since."""
        self.record_instrument = ""
        """Name of the instrument of the shown run."""
        self._instrument_settings: BaseModel | None = None
        """Settings of that instrument, where the run was measured in this window."""
        self._bridge = RunBridge(self)
        self.is_beginning = False
        """True while a run is being started, or put in place of another: one at a
        time."""
        self._opening = 0
        """Number of records that are being opened."""
        self._changed_meanwhile: list[tuple[SettingsPatch, str]] = []
        """Changes made while a run was being started, with their reasons."""
        self.ending: Ending | None = None
        """Outcome of the newest run."""
        self._aborted_by = AbortedBy.PROGRAM
        """Source of the newest abort."""
        self._is_closed = False
        self._is_idle_abort = False
        """True if the last abort concerned the beam only; the end of a run is
        reported."""
        self._chosen_by_run: Scalarizer | None = None
        self._painted = Regions()
        self._drift_nm = (0.0, 0.0)
        self.watcher.changed.connect(self._on_regions)
        self.watcher.changed.connect(self.in_effect.show)
        self.watcher.refused.connect(self._on_region_refused)
        self._bridge.state_changed.connect(self._on_state)
        self._bridge.survey_acquired.connect(self.show_survey)
        self._bridge.surveyed_again.connect(self.layers.show_survey_again)
        self._bridge.refused.connect(self._on_refused)
        self._bridge.retargeted.connect(self.live.show_targets)
        self._bridge.settings_changed.connect(self._on_settings_in_force)
        self._bridge.warned.connect(self.said)
        self._bridge.warning_over.connect(self.unsaid)
        self._bridge.finished.connect(self._on_finished)
        self.aborting.ended.connect(self._on_abort_ended)

    @property
    def can_begin(self) -> bool:
        """Return whether a run can be started: an instrument is connected, and idle."""
        free = not (self.is_running or self.is_beginning)
        return self.connection.is_open and free

    @property
    def has_moved(self) -> str:
        """Reason why nothing new can begin on the shown survey image, as text.

        Empty while the sample is at its position in the image, as far as is known.
        """
        drift_nm = self._drift_nm if self.runner is None else self.runner.drift_nm
        moved_nm, frame = math.hypot(*drift_nm), self.layers.frame
        if frame is None or moved_nm <= max(frame.pixel_nm):
            return ""
        return MOVED.format(moved_nm)

    def open_record(self, path: Path) -> None:
        """Show a stored run, read in the background.

        It is shown in a window of its own while a microscope is connected here, whose
        layers are kept, or while another record is being opened.
        """
        is_alone, self._opening = self._opening == 0, self._opening + 1

        def work() -> OpenedRun:
            return OpenedRun(open_run(path))

        def done(run: OpenedRun) -> None:
            if is_alone and self.connection.reachable is None:
                self.show_record(run)
                return
            self.opened_elsewhere.emit(run)
            self.said.emit(f"{path.name} is open in a window of its own.")

        def ended() -> None:
            self._opening -= 1

        self.do(f"Opening {path.name}", work, done, ended)

    def show_record(self, run: OpenedRun) -> None:
        """Show a stored run in place of the current one; no microscope is connected."""
        for layer in stored_layers_of(self.viewer).get(run.path, []):
            self.viewer.layers.remove(layer)
        self.connection.forget_survey()
        self.show_survey(run.survey)
        self.live.open(run)
        self.record_path, self.record_instrument = run.path, run.instrument
        self.trust.opened(run.outside)
        self._instrument_settings = None
        self.successors.forget()
        self.settings = run.settings
        self._chosen_by_run = run.settings.scalarizer
        self.settings_changed.emit(run.settings)
        self.started.emit()
        self.live.end()
        if run.damage:
            self.failed.emit(f"{run.path.name} is damaged", run.damage)

    def leave_run_of_another(self, name: str, settings: BaseModel) -> None:
        """Clear a shown run that was measured with another instrument than this one."""
        used = self._instrument_settings
        is_same = name == self.record_instrument and used in (None, settings)
        if self.record_path is None or is_same:
            return
        self.record_path, self.record_instrument = None, ""
        self.ending = self._instrument_settings = None
        self.live.forget()
        self.successors.forget()
        self.started.emit()

    def configure(self, **sections: Any) -> str:
        """Replace sections of the settings, in a run from its next step on.

        Return the reason why they cannot be used, empty if they can.
        """
        settings = self.settings.replaced(**sections)
        change = SettingsPatch.between(self.settings, settings)
        if not change:
            self.mended.emit(UNUSABLE)
            return ""
        if self.runner is not None:
            try:
                self.runner.configure(**change.sections, why=self.reason)
            except ValueError as error:
                self.failed.emit(UNUSABLE, str(error))
                return str(error)
        self.mended.emit(UNUSABLE)
        if self.is_beginning:
            self._changed_meanwhile.append((change, self.reason))
        if self.is_running or self.is_beginning:
            self.take_reason()
        self.settings = settings
        self.settings_changed.emit(settings)
        return ""

    def start(self, *, paused: bool = False, path: Path | None = None) -> None:
        """Start a run; with `paused` it waits for `step`."""
        instrument, settings = self.connection.instrument, self.connection.settings
        if instrument is None or settings is None or not self.can_begin:
            return
        if self.has_moved:
            self.failed.emit("Start", self.has_moved)
            return
        if not self.trust.covers_settings():
            return
        self.mended.emit("Start")
        where, presses = path or self.free_path(), self.aborting.presses
        # A schedule that was changed during a run begins again.
        self.configure(acquisition=self.settings.acquisition.begun(None, 0))
        begins_with = self.settings

        def work() -> Record:
            # Before the record is made: an invalid target must not leave an empty run.
            preflight(begins_with, instrument)
            return Record.create(
                where,
                instrument=self.connection.name,
                instrument_settings=settings,
                settings=begins_with,
            )

        def done(record: Record) -> None:
            self._begin(instrument, record, begins_with, presses, paused=paused)

        self.begin("Beginning the record", work, done)

    def go_on_with(
        self, record: Record, past: StoredRun, presses: int, *, paused: bool
    ) -> bool:
        """Continue the run of an open record, in place of the current one.

        Its settings are used, but with the regions of the current layers. False if an
        abort came after the first `presses` ones.
        """
        instrument = self.connection.instrument
        if instrument is None or past.survey is None:
            record.close()
            return False
        # The end of the old run may not have arrived here yet.
        if self.runner is not None:
            self._on_finished(FinishReason.STOPPED, "")
        self.show_survey(past.survey)
        return self._begin(
            instrument, record, past.settings, presses, paused=paused, past=past
        )

    def step(self) -> None:
        """Take one step; without a run, begin one that is paused."""
        if self.runner is not None:
            self.runner.step()
        else:
            self.start(paused=True)

    @property
    def can_abort(self) -> bool:
        """Return whether there is a run, or a connected or connecting microscope."""
        return self.runner is not None or self.connection.reachable is not None

    def abort(self, by: AbortedBy = AbortedBy.PROGRAM) -> None:
        """Blank the beam at once, end the current action, and end the run."""
        abort = self._abort_by(by)
        if abort is None:
            text = "There is nothing to abort: no microscope is connected."
            self.say(text, until=self.connection.changed)
            return
        self.said.emit(ABORTING)
        self._is_idle_abort = self.runner is None
        self.aborting.press(abort)

    def _abort_by(self, by: AbortedBy) -> Callable[[], None] | None:
        """Return the abort of the run, else of the instrument; None without both."""
        self._aborted_by = by
        if self.runner is not None:
            return partial(self.runner.abort, by)
        instrument = self.connection.reachable
        return None if instrument is None else instrument.abort

    def interrupt(self, by: str) -> None:
        """Abort because the system ends the program, by a signal of that name.

        May be called on any thread, and waits for the instrument.
        """
        # This also keeps a run from beginning that is being started.
        self._aborted_by = AbortedBy.SIGNAL
        self.aborting.presses += 1
        if (runner := self.runner) is not None:
            runner.interrupt(by)
        else:
            self.blank()

    def blank(self) -> None:
        """Have the instrument abort, if there is one; as `interrupt`."""
        if (instrument := self.connection.reachable) is not None:
            instrument.abort()

    def close(self) -> None:
        """End the run, blank the beam, release the instrument; no thread is left."""
        if self._is_closed:
            return
        self._is_closed = True
        self.live.close()
        self._bridge.detach()
        # Events of the run may still be queued, and their listeners are being removed.
        self.blockSignals(True)
        self.watcher.detach()
        self._pointing.detach()
        self.in_effect.close()
        self._let_go()
        system_signals().release(self)
        garbage_collector().release(self)
        self.blockSignals(False)
        self.closed.emit(self)
        self.blockSignals(True)

    def _let_go(self) -> None:
        """Run every clean-up step, whatever fails."""
        abort = self._abort_by(AbortedBy.CLOSED_WINDOW)
        if abort is not None:
            self.aborting.press(abort)
            self.aborting.close()
        if self.runner is not None:
            self.runner.wait()
        self.unsaved.close(self.runner)
        self.beam.close()
        self.background.close()
        self.connection.let_go()

    def _begin(
        self,
        instrument: GuardedInstrument,
        record: Record,
        settings: ExperimentSettings,
        presses: int,
        *,
        paused: bool,
        past: StoredRun | None = None,
    ) -> bool:
        """Begin a run; return False if an abort came after the first `presses` ones."""
        if self.aborting.presses != presses:
            text = "before it began"
            ending = Ending(FinishReason.ABORTED, text, self._aborted_by)
            record.end(ending)
            record.close()
            self.say("Aborted before the run began.", until=self.started)
            return False
        self.runner = Runner(
            instrument,
            record,
            settings,
            survey=self.survey,
            regions=self.watcher.regions,
            past=past,
            attended=True,
        )
        self.record_path, self.record_instrument = record.path, self.connection.name
        self.trust.made_here()
        self._instrument_settings = self.connection.settings
        self._bridge.attach(self.runner.events)
        self.live.begin(self.runner)
        if past is None:
            self.successors.forget()
        self._change_as_meanwhile(self.runner)
        self.started.emit()
        self.runner.start(paused=paused)
        if past is not None:
            # The currently painted regions are used, not the stored ones.
            self.runner.set_regions(self.watcher.regions)
        return True

    def _change_as_meanwhile(self, runner: Runner) -> None:
        """Apply the changes made while the record of the run was being created."""
        for change, why in self._changed_meanwhile:
            try:
                runner.configure(**change.sections, why=why)
            except ValueError as error:
                self.failed.emit(UNUSABLE, str(error))
        self._show_wanted(runner)

    def _show_wanted(self, runner: Runner) -> None:
        """Show the settings of a run, including changes not yet in force."""
        wanted = runner.wanted_settings
        if wanted != self.settings:
            self.settings = wanted
            self.settings_changed.emit(wanted)

    def forget_chosen_band(self) -> None:
        """Drop a band chosen by a run: it was for that run's instrument and sample."""
        scalarizer = self.settings.scalarizer
        chosen = scalarizer == self._chosen_by_run
        if chosen and isinstance(scalarizer, BandScalarizer):
            self.configure(scalarizer=scalarizer.with_band(None, None))

    def say(self, text: str, *, until: SignalInstance) -> None:
        """Show a sentence until a signal is emitted."""

        def end(*_: object) -> None:
            until.disconnect(end)
            self.unsaid.emit(text)

        self.said.emit(text)
        until.connect(end)

    def do(
        self,
        name: str,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Run work in the background, and report its errors.

        `ended` is called in any case, last.
        """

        def succeeded(result: Any) -> None:
            try:
                done(result)
            finally:
                ended()

        def failed(error: Exception) -> None:
            text = str(error) or type(error).__name__
            self.failed.emit(f"{name} failed", text)
            ended()

        self.mended.emit(f"{name} failed")
        self.background.do(name, work, succeeded, failed)

    def begin(
        self, name: str, work: Callable[[], Any], done: Callable[[Any], None]
    ) -> None:
        """Run work that starts a run, as `do`; nothing else starts until it ended."""
        if self.is_beginning:
            return

        def ended() -> None:
            self.is_beginning = False
            self.state_changed.emit(self.state)

        self.is_beginning = True
        self._changed_meanwhile.clear()
        self.state_changed.emit(self.state)
        self.do(name, work, done, ended)

    def free_path(self) -> Path:
        """Return a free path for the next record."""
        self.record_folder.mkdir(parents=True, exist_ok=True)
        name = f"{datetime.now():%Y-%m-%d_%H%M%S}_{self.connection.name}"
        names = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
        paths = (self.record_folder / f"{each}.hae" for each in names)
        return next(path for path in paths if not path.exists())

    def show_survey(self, survey: ScanImage) -> None:
        """Show a survey image from now on, and guard its field."""
        if survey is self.survey or self._is_closed:
            return
        self.survey, self._drift_nm = survey, (0.0, 0.0)
        hide_stored_layers(self.viewer)
        self.layers.show_survey(survey)
        self.connection.guard(self.watcher.regions)
        self.in_effect.show(self.watcher.regions)
        self.survey_changed.emit(survey)

    def _on_regions(self, regions: Regions) -> None:
        if self.runner is not None:
            # A new layer to paint in has no effect yet that could have a reason.
            is_felt = regions.in_force != self._painted
            self.runner.set_regions(regions, why=self.take_reason() if is_felt else "")
        else:
            self.connection.guard(regions)
        self._painted = regions.in_force

    def _on_region_refused(self, text: str) -> None:
        self.say(text, until=self.watcher.changed)

    def _on_abort_ended(self, problem: str) -> None:
        instrument = self.connection.instrument
        self.unsaid.emit(ABORTING)
        if problem:
            self.failed.emit("Abort", problem)
            return
        self.mended.emit("Abort")
        if instrument is not None and self._is_idle_abort:
            certain = instrument.blanker_can_be_read
            told = "the beam is blanked" if certain else "the beam was told to blank"
            self.say(f"Aborted: {told}.", until=self.connection.changed)

    def _on_state(self, state: RunPhase) -> None:
        self.live.refresh()
        self.state_changed.emit(state)

    def _on_refused(self, _: object, reason: str, is_wanted: bool) -> None:
        if not is_wanted:
            self.say(f"Not measured: {reason}.", until=self.live.measured)

    def _on_settings_in_force(self, step: int, _: object) -> None:
        runner, shown = self.runner, self.settings.scalarizer
        if runner is not None:
            self._show_wanted(runner)
            # The run chose a setting itself, such as the band.
            if self.settings.scalarizer != shown:
                self._chosen_by_run = self.settings.scalarizer
        self.settings_in_force.emit(step)

    def _on_finished(self, reason: FinishReason, text: str) -> None:
        if self._is_closed:
            return
        self.live.end()
        runner, self.runner = self.runner, None
        self.ending = None if runner is None else runner.ending
        self._bridge.detach()
        if runner is not None:
            runner.wait()
            self._drift_nm = runner.drift_nm
            self.unsaved.keep(runner)
        self.state_changed.emit(RunPhase.IDLE)
        self.finished.emit(reason, text)
