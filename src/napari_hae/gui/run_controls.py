"""Pinned part of the dock *Experiment*: the run's state and buttons."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.gui.abort import AbortButton
from napari_hae.gui.beam import BeamLine
from napari_hae.gui.drift import DriftLine
from napari_hae.gui.failures import Failures
from napari_hae.gui.sentences import Sentence, SteadyLabel
from napari_hae.gui.unsaved import SaveElsewhereButton

if TYPE_CHECKING:
    from napari_hae.gui.session import Session

HELD_BACK = "A proposal waits. Press Live to see it."
STEP = "Measure one spectrum, and pause."
BEGIN_PAUSED = "Begin a run that is paused, and measures a spectrum with each Step."

_SIGNS = {
    RunPhase.IDLE: "○",
    RunPhase.INITIALISING: "◔",
    RunPhase.RUNNING: "●",
    RunPhase.WAITING: "?",
    RunPhase.PAUSED: "Ⅱ",
    RunPhase.FINISHING: "◕",
}


class RunControls(QWidget):
    """Buttons to start, pause, step, stop and abort, with progress and time left."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        # A dock may be opened during a run.
        self._started_s, self._first = time.monotonic(), session.live.taken
        self.state = SteadyLabel()
        self.beam = BeamLine(session)
        self.progress = QProgressBar()
        self.start = _button("Start", "Start a run with the settings below.")
        self.pause = _button("Pause", "Pause at the end of the step; beam blanked.")
        self.step = _button("Step", STEP)
        self.stop = _button("Stop", "End the run at the end of the step.")
        self.drift = DriftLine(session)
        self.survey_again = _button(
            "Survey again",
            "Take the survey image again after the step, or now while paused. How, and "
            "what follows, is set in the section of this name.",
        )
        self.abort = AbortButton()
        self.approve = _button("Approve", "Measure at the ring.")
        self.veto = _button("Veto", "Do not measure there, in the whole run.")
        self.alone = _button("Go on for", "Let the agent take steps without asking.")
        self.alone_steps = QSpinBox()
        self.alone_steps.setRange(1, 10_000)
        self.alone_steps.setValue(10)
        self.alone_steps.setAccessibleName("Steps without asking")
        self.alone_steps.setToolTip("So many steps, this one included.")
        self.message = Sentence()
        self.record = QElidingLabel()
        self.record.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.record.setEllipsesWidth(12)  # and the margins of the window's style
        self.record.hide()
        self.save_elsewhere = SaveElsewhereButton(session, self)
        self.problem = Failures(session)
        for sentence in (self.message, self.problem):
            # One long word must not take the space of the lines.
            sentence.setMinimumWidth(1)
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        buttons = QGridLayout()
        row = (self.start, self.pause, self.step, self.stop, self.abort)
        for column, button in enumerate(row):
            buttons.addWidget(button, 0, column)
            # Equal widths: the label of Pause changes while the run is paused.
            buttons.setColumnStretch(column, 1)
        surveys = QHBoxLayout()
        surveys.addWidget(self.survey_again)
        surveys.addWidget(self.drift, 1)
        surveys.addStretch()
        self._question = QWidget()
        answers = QGridLayout(self._question)
        answers.setContentsMargins(0, 0, 0, 0)
        self.question = QLabel()
        self.question.setToolTip("Ctrl+click in the image measures there instead.")
        self.question.setWordWrap(True)
        answers.addWidget(self.question, 0, 0, 1, 2)
        answers.addWidget(self.approve, 1, 0)
        answers.addWidget(self.veto, 1, 1)
        answers.addWidget(self.alone, 2, 0)
        answers.addWidget(self.alone_steps, 2, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        # Nothing above the buttons changes its height with its text: a user about to
        # press one, and ABORT above all, finds it where it was.
        layout.addLayout(buttons)
        layout.addWidget(self._question)
        layout.addWidget(self.state)
        layout.addWidget(self.beam)
        layout.addWidget(self.progress)
        layout.addLayout(surveys)
        layout.addWidget(self.save_elsewhere)
        layout.addWidget(self.message)
        layout.addWidget(self.record)
        layout.addWidget(self.problem)

    def _connect(self) -> None:
        session = self._session
        self.start.clicked.connect(self._on_start)
        self.pause.clicked.connect(session.pause_or_resume)
        self.step.clicked.connect(session.step)
        self.stop.clicked.connect(session.stop)
        self.survey_again.clicked.connect(session.survey_again)
        self.approve.clicked.connect(session.approve)
        self.veto.clicked.connect(session.veto)
        self.alone.clicked.connect(self._on_alone)
        session.connection.changed.connect(self.refresh)
        session.state_changed.connect(self._on_state)
        session.live.counted.connect(self.refresh)
        session.live.rewound.connect(self.refresh)
        session.live.waits_for_changed.connect(self.refresh)
        session.settings_changed.connect(self.refresh)
        session.started.connect(self._on_started)
        session.finished.connect(self._on_finished)
        session.said.connect(self.message.say)
        session.unsaid.connect(self._on_unsaid)
        session.failed.connect(self.refresh)

    def refresh(self, *_: object) -> None:
        """Show the current state."""
        session, state = self._session, self._session.state
        running, done = session.is_running, session.live.taken
        steps = session.settings.budget.steps
        if not running:
            steps = session.live.steps or steps
        text = f"{_SIGNS[state]} {state}"
        if running:
            waits_for = session.live.waits_for
            more = f"   {waits_for} …" if waits_for else self._time_left(done)
            text += f"   step {min(done + 1, steps)} of {steps}{more}"
        elif session.is_beginning:
            text += "   a run is being begun …"
        elif not session.connection.is_open:
            text = "○ Connect a microscope first (dock Microscope)."
        self.state.setText(text)
        # Otherwise it is painted at once, and the canvas with it.
        self.progress.setUpdatesEnabled(False)
        self.progress.setMaximum(steps)
        self.progress.setValue(min(done, steps))
        self.progress.setUpdatesEnabled(True)
        paused = state is RunPhase.PAUSED
        self.pause.setText("Resume" if paused else "Pause")
        self.start.setEnabled(session.can_begin)
        self.pause.setEnabled(running and state is not RunPhase.FINISHING)
        self.step.setEnabled(paused or session.can_begin)
        self.step.setToolTip(STEP if running else BEGIN_PAUSED)
        self.stop.setEnabled(running)
        goes = state in (RunPhase.RUNNING, RunPhase.PAUSED, RunPhase.WAITING)
        self.survey_again.setEnabled(running and goes)
        self._question.setVisible(state is RunPhase.WAITING)
        # The question is about the visible ring; at an earlier step it cannot be
        # answered.
        is_seen = session.live.shown_step is None
        self.question.setText("Measure at the ring?" if is_seen else HELD_BACK)
        for answer in (self.approve, self.veto, self.alone):
            answer.setEnabled(is_seen)

    def _time_left(self, done: int) -> str:
        taken = done - self._first
        if taken < 3:
            return ""
        steps = self._session.settings.budget.steps
        left_s = (time.monotonic() - self._started_s) / taken * max(steps - done, 0)
        minutes = math.ceil(left_s / 60)
        left = f"about {minutes} min" if left_s > 90 else f"{left_s:.0f} s"
        return f"   {left} left"

    def _on_start(self) -> None:
        self.problem.forget()
        self._session.start()

    def _on_alone(self) -> None:
        self._session.go_alone(self.alone_steps.value())

    def _on_started(self) -> None:
        self._started_s, self._first = time.monotonic(), 0
        self.message.say("")
        self.record.hide()
        self.refresh()

    def _on_state(self, _: RunPhase) -> None:
        # Pauses are excluded from the estimate of the time left.
        self._started_s = time.monotonic()
        self._first = self._session.live.taken
        self.refresh()

    def _on_finished(self, reason: FinishReason, text: str) -> None:
        if reason is FinishReason.FAILED:
            sentence = f"The run failed{': ' if text else ''}{text}."
        elif reason is FinishReason.ABORTED and self._session.ending is not None:
            sentence = f"{self._session.ending}."
            sentence = sentence[:1].upper() + sentence[1:]
        else:
            sentence = f"The run is {reason}{': ' if text else ''}{text}."
        path = self._session.record_path
        self.message.say(sentence)
        self.record.setText(f"Record: {path}")
        self.record.setToolTip(str(path))
        self.record.show()
        self.refresh()

    def _on_unsaid(self, text: str) -> None:
        if self.message.text() == text:
            self.message.say("")


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    # Five of them are placed side by side.
    button.setMinimumWidth(48)
    return button
