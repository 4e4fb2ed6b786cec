"""Button to initialise the model with the measurements of an earlier run."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_hae.agent.experience import experience_for
from napari_hae.experiment.learning import learn
from napari_hae.experiment.stored import open_run

if TYPE_CHECKING:
    from napari_hae.agent.experience import Experience
    from napari_hae.gui.session import Session


class LearnButton(QPushButton):
    """Ask for a record, and let the model learn from it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Learn from an earlier run…", parent)
        self._session = session
        self.setToolTip(
            "Choose the record (.hae) of a run on the same kind of sample. The model, "
            "with the transfer network, then begins with what was found there."
        )
        self.clicked.connect(self._on_clicked)

    def _on_clicked(self) -> None:
        folder = str(self._session.record_folder)
        chosen = QFileDialog.getExistingDirectory(self, "Learn from a record", folder)
        if chosen:
            self._learn_from(Path(chosen))

    def _learn_from(self, record: Path) -> None:
        session, name = self._session, f"Learning from {record.name}"
        model, survey = session.settings.model, session.survey

        def work() -> tuple[dict[str, object], Experience]:
            experience = learn([open_run(record)])
            file = _free_path(session.record_folder, record.stem)
            experience.save(file)
            update = {"earlier": file, "network": "transfer"}
            learned = model.model_copy(update=update)
            if survey is not None:
                experience_for(learned, len(survey.data))
            return update, experience

        def done(result: tuple[dict[str, object], Experience]) -> None:
            update, experience = result
            # Other fields of the settings may have changed meanwhile.
            learned = session.settings.model.model_copy(update=update)
            session.configure(model=learned)
            if session.settings.model == learned:
                text = f"Learned from {record.name}: {experience}."
                session.say(text, until=session.settings_changed)

        def failed(error: Exception) -> None:
            session.failed.emit(f"{name} failed", str(error) or type(error).__name__)

        session.mended.emit(f"{name} failed")
        session.background.do(name, work, done, failed)


def _free_path(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / f"experience-{number}-{name}.npz" for number in count(1))
    return next(path for path in paths if not path.exists())
