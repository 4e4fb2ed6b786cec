"""The dock *Forensics*: analysis of a finished run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_hae import plugins
from napari_hae.experiment.record import JOURNAL
from napari_hae.experiment.trust import NotTrusted
from napari_hae.gui.abort import AbortButton
from napari_hae.gui.background import Background
from napari_hae.gui.forensics_results import ForensicsResults
from napari_hae.gui.forms import ChoiceForm
from napari_hae.gui.sections import pinned, section
from napari_hae.gui.sentences import Problem, Sentence
from napari_hae.gui.sessions import Dock
from napari_hae.gui.trust import agrees

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_hae.experiment.forensics.analysis import Analysis

NOTHING = "No finished run yet. Let one finish, or open a record."
RUNNING = "A run is going. It can be analysed when it has ended."


class ForensicsDock(Dock):
    """Analysis of the session's newest run, or of a record from disk."""

    _progressed = Signal(str, int, int)

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        session = self.session
        self.analysis: Analysis | None = None
        self._path: Path | None = None
        self._answers: dict[Path, bool] = {}
        """User's answers whether records may use the code and files that they name, by
        record."""
        self._doing = ""
        self._cancelled = threading.Event()
        # A separate thread: an analysis takes minutes, and must not delay other work of
        # the window. It ends with the window, independent of the dock.
        self._background = Background(session)
        self._make_header()
        self.others = {
            "acquisition": _Other("Another acquisition function", _acquisitions()),
            "scalarizer": _Other("Another scalarizer", _scalarizers()),
        }
        self.results = ForensicsResults()
        compare = section("Compare with", QLabel("A random path, always."))
        for other in self.others.values():
            compare.addWidget(other)
        pinned(self, self._header, compare, self.results)
        self.open.clicked.connect(self._on_open)
        self.analyse.clicked.connect(self._on_analyse)
        self.save.clicked.connect(self._on_save)
        self._progressed.connect(self._on_progressed)
        session.started.connect(self._on_started)
        session.finished.connect(self._take_newest)
        session.closed.connect(self._background.close)
        if session.record_path is not None and not session.is_running:
            self._path = session.record_path
        self._refresh()

    def open_record(self, path: Path) -> None:
        """Choose a record on disk; show a message if it is none."""
        if not (path / JOURNAL).is_file():
            self.problem.say(f"{path} is no record: there is no {JOURNAL} in it.")
            return
        self._take(path)

    def _make_header(self) -> None:
        self.state = Sentence()
        self.record = QElidingLabel()
        self.record.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.open = QPushButton("Open record…")
        self.open.setToolTip("Choose the directory NAME.hae of a run.")
        self.analyse = QPushButton("Analyse")
        self.analyse.setToolTip(
            "Lead the agent through the run again, and compare. Nothing in the record "
            "is changed."
        )
        self.save = QPushButton("Save report…")
        self.save.setToolTip("One HTML file with all figures.")
        self.progress = QProgressBar()
        self.message, self.problem = Sentence(), Problem()
        self._header = QWidget()
        layout = QVBoxLayout(self._header)
        layout.setContentsMargins(0, 0, 0, 0)
        buttons = QGridLayout()
        # Needed here too, as this dock may be placed before those that measure.
        abort = AbortButton()
        for place, button in enumerate((self.open, self.analyse, self.save, abort)):
            buttons.addWidget(button, *divmod(place, 2))
        layout.addWidget(self.state)
        layout.addWidget(self.record)
        layout.addLayout(buttons)
        for line in (self.progress, self.message, self.problem):
            layout.addWidget(line)
            # A long path must not take the space of the buttons.
            line.setMinimumWidth(1)

    def _on_started(self) -> None:
        """Give way to a run; an opened record is announced as a run, too."""
        if self.session.is_running:
            self._cancel()
            self._refresh()
        else:
            self._take_newest()

    def _take_newest(self) -> None:
        if self.session.record_path is not None:
            self._take(self.session.record_path)

    def _take(self, path: Path) -> None:
        self._path, self.analysis = path, None
        self.message.say("")
        self.problem.say("")
        self._cancel()
        self.results.clear()
        self._refresh()

    def _on_open(self) -> None:
        start = str(self.session.record_folder)
        chosen = QFileDialog.getExistingDirectory(self, "Open a record", start)
        if chosen:
            self.open_record(Path(chosen))

    def _on_analyse(self) -> None:
        if self._is_analysing:
            self._cancel()
            return
        path, against = self._path, self._against()
        assert path is not None
        is_own = path == self.session.record_path and self.session.trust.is_own
        answer = True if is_own else self._answers.get(path)

        def work() -> tuple[Analysis, list[str]]:
            # Its dependencies are slow to import.
            from napari_hae.experiment.forensics.analysis import analyse, expect_agreed
            from napari_hae.experiment.forensics.words import summary
            from napari_hae.experiment.stored import open_run

            run = open_run(path, trust=bool(answer))
            if answer is None:
                expect_agreed(run)
            analysis = analyse(run, against, self._watch)
            return analysis, summary(analysis)

        def done(result: tuple[Analysis, list[str]]) -> None:
            self._end()
            if path == self._path:
                self.analysis, sentences = result
                self.results.show_analysis(self.analysis, sentences)
            self._refresh()

        self._begin(f"Analysing {path.name}", work, done)

    def _on_save(self) -> None:
        analysis = self.analysis
        assert analysis is not None
        suggested = str(analysis.run.path.with_suffix(".html"))
        chosen = QFileDialog.getSaveFileName(
            self, "Save the report", suggested, "HTML (*.html)"
        )[0]
        if not chosen:
            return
        path = Path(chosen)

        def work() -> None:
            from napari_hae.experiment.forensics.page import write_page

            write_page(analysis, path)

        def done(_: None) -> None:
            self._end()
            self.message.say(f"Report: {path}")

        self._begin("Writing the report", work, done)

    def _against(self) -> dict[str, dict[str, Any]]:
        return {
            other.name: {section_name: other.form.value}
            for section_name, other in self.others.items()
            if other.is_on
        }

    def _begin(self, what: str, work: Any, done: Any) -> None:
        self._doing = what
        self._cancelled.clear()
        self.message.say("")
        self.problem.say("")
        self.progress.setRange(0, 0)
        self._refresh()
        self._background.do(what, work, done, self._on_failed)

    @property
    def _is_analysing(self) -> bool:
        return self._doing.startswith("Analysing")

    def _cancel(self) -> None:
        if self._is_analysing:
            self._cancelled.set()
            self.message.say("Cancelling …")

    def _end(self) -> None:
        self._doing = ""
        self.message.say("")
        self._refresh()

    def _watch(self, what: str, done: int, total: int) -> None:
        """Receive progress from the worker."""
        from napari_hae.experiment.forensics.analysis import Cancelled

        if self._cancelled.is_set() or self._background.closing.is_set():
            raise Cancelled
        # A hundred updates are enough to see.
        if done * 100 // max(total, 1) != (done - 1) * 100 // max(total, 1):
            self._progressed.emit(what, done, total)

    def _on_progressed(self, what: str, done: int, total: int) -> None:
        if self._doing:
            self.progress.setRange(0, max(total, 1))
            self.progress.setValue(done)
            self.progress.setFormat(f"{what} %p %")

    def _on_failed(self, error: Exception) -> None:
        from napari_hae.experiment.forensics.analysis import Cancelled

        what = self._doing
        self._end()
        if isinstance(error, Cancelled):
            self.message.say("Cancelled. Nothing is changed.")
        elif isinstance(error, NotTrusted) and self._path not in self._answers:
            assert self._path is not None
            self._answers[self._path] = agrees(self, error.outside)
            self._on_analyse()
        else:
            self.problem.say(f"{what} failed: {error or type(error).__name__}")

    def _refresh(self) -> None:
        running, busy = self.session.is_running, bool(self._doing)
        ready = self._path is not None and not running
        self.state.say("" if ready else RUNNING if running else NOTHING)
        self.record.setVisible(ready)
        if self._path is not None:
            self.record.setText(f"Record: {self._path.name}")
            self.record.setToolTip(str(self._path))
        analysing = self._is_analysing
        self.analyse.setText("Cancel" if analysing else "Analyse")
        self.analyse.setEnabled(analysing or (ready and not busy))
        self.open.setEnabled(not busy)
        self.save.setEnabled(self.analysis is not None and not busy)
        self.progress.setVisible(busy)
        for other in self.others.values() if hasattr(self, "others") else ():
            other.setEnabled(not busy)


class _Other(QWidget):
    """Tick box to compare with another agent."""

    def __init__(self, title: str, form: ChoiceForm) -> None:
        super().__init__()
        self.box = QCheckBox(title)
        self.box.setToolTip("The same start, then what this agent would have chosen.")
        self.form = form
        form.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        layout.addWidget(form)
        self.box.toggled.connect(form.setVisible)

    @property
    def is_on(self) -> bool:
        """Return whether it is ticked."""
        return bool(self.box.isChecked())

    @property
    def name(self) -> str:
        """Displayed name of the agent."""
        return str(self.form.choice.currentText())


def _acquisitions() -> ChoiceForm:
    kinds = plugins.load_all(plugins.ACQUISITION_FUNCTIONS)
    return ChoiceForm("Acquisition", kinds)


def _scalarizers() -> ChoiceForm:
    return ChoiceForm("Scalarizer", plugins.load_all(plugins.SCALARIZERS))
