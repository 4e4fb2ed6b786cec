"""napari as a user starts it, with somebody in it who can say what is to be seen.

The helper only reads: every act comes from outside, by pointer and keyboard.
`python program.py SOCKET [napari's arguments]`
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sys
import threading

from qtpy.QtCore import QObject, QTimer, Signal

ANSWER_S = 60.0


class Helper(QObject):
    """Answers questions, one line of JSON each, on Qt's main thread."""

    asked = Signal(object)

    def __init__(self, path: str) -> None:
        super().__init__()
        self.asked.connect(self._on_asked)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Answer nothing more."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rw") as lines:
                # A test that ended does not wait for its answer.
                with contextlib.suppress(BrokenPipeError, ConnectionError):
                    for line in lines:
                        lines.write(json.dumps(self._ask(json.loads(line))) + "\n")
                        lines.flush()

    def _ask(self, question: dict) -> object:
        answered, answer = threading.Event(), {}
        self.asked.emit((question, answer, answered))
        answered.wait(ANSWER_S)
        return answer

    def _on_asked(self, asked: tuple) -> None:
        # In its turn: what the hand did before it asked comes first.
        QTimer.singleShot(0, lambda: self._answer(*asked))

    def _answer(self, question: dict, answer: dict, answered: threading.Event) -> None:
        import sight

        try:
            answer["answer"] = getattr(sight, question.pop("what"))(**question)
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        answered.set()


def main() -> None:
    """Start the helper, then napari."""
    helper = Helper(sys.argv[1])
    sys.argv[:] = ["napari", *sys.argv[2:]]
    from napari.__main__ import main as napari

    napari()
    helper.close()
    print("beams:", beams(), flush=True)


def beams() -> list[str]:
    """What became of the beams of this process."""
    from napari_hae.instruments.in_process import InProcessInstrument

    every = (each for each in gc.get_objects() if isinstance(each, InProcessInstrument))
    return [str(instrument._beam) for instrument in every]


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "xcb")
    main()
