"""A small window of another program, from which a folder is dragged.

`python drag_source.py FOLDER` says where it is, then what becomes of a drag.
"""

from __future__ import annotations

import sys

from qtpy.QtCore import QMimeData, Qt, QTimer, QUrl
from qtpy.QtGui import QDrag, QMouseEvent
from qtpy.QtWidgets import QApplication, QLabel

SIZE_PX = 60


class Source(QLabel):
    """A window that is always on top; what is dragged from it is a file's address."""

    def __init__(self, folder: str) -> None:
        super().__init__("drag me")
        self._url = QUrl.fromLocalFile(folder)
        self.setWindowFlag(Qt.WindowType.WindowStaysOnTopHint)
        self.setFixedSize(SIZE_PX * 2, SIZE_PX)
        # Beside what things are dropped on.
        self.move(0, SIZE_PX)
        self.show()
        self._told = QTimer(self, interval=100)
        self._told.timeout.connect(self._tell)
        self._told.start()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        drag = QDrag(self)
        data = QMimeData()
        data.setUrls([self._url])
        drag.setMimeData(data)
        drag.actionChanged.connect(lambda action: print(action.name, flush=True))
        print("dropped:", drag.exec(Qt.DropAction.CopyAction).name, flush=True)

    def _tell(self) -> None:
        if self.windowHandle().isExposed():
            self._told.stop()
            middle = self.mapToGlobal(self.rect().center())
            print(middle.x(), middle.y(), flush=True)


if __name__ == "__main__":
    application = QApplication(sys.argv[:1])
    source = Source(sys.argv[1])
    application.exec()
