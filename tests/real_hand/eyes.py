"""Eyes on the program: they find what is wanted by its name, and wait for it."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

from control import Control

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE_S = 60.0
LOOK_EVERY_S = 0.02


class Blind(Exception):
    """The program does not answer: it is not there yet, or has ended."""


class Eyes:
    """Ask the helper in the program, at the path of its socket."""

    def __init__(self, helper: Path) -> None:
        self._helper = helper
        self._socket: socket.socket | None = None

    def ask(self, what: str, **more: Any) -> Any:
        """Ask the program for what is to be seen in it."""
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.settimeout(PATIENCE_S)
                self._socket.connect(str(self._helper))
                self._lines = self._socket.makefile("rw")
            self._lines.write(json.dumps({"what": what, **more}) + "\n")
            self._lines.flush()
            answer = json.loads(self._lines.readline() or "{}")
        except (OSError, json.JSONDecodeError) as error:
            self.look_away()
            raise Blind(str(error)) from error
        if "answer" not in answer:
            self.look_away()
            raise Blind(answer.get("error", "no answer"))
        return answer["answer"]

    def look_away(self) -> None:
        """Ask nothing more; the next question begins anew."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def until(self, condition: Callable[[], Any], why: str, most_s=PATIENCE_S) -> Any:
        """Look until something is so."""
        deadline = time.monotonic() + most_s
        while True:
            trouble = ""
            try:
                if found := condition():
                    return found
            except Blind as error:
                trouble = f": {error}"
            assert time.monotonic() < deadline, f"waited in vain: {why}{trouble}"
            time.sleep(LOOK_EVERY_S)

    def until_run(self, why: str, **wanted: Any) -> dict[str, Any]:
        """Look until the run is like this; values, or what tells a value is right."""

        def looked() -> dict[str, Any] | None:
            run = self.ask("run")
            met = (
                want(run.get(name)) if callable(want) else run.get(name) == want
                for name, want in wanted.items()
            )
            return run if all(met) else None

        return self.until(looked, why)

    def controls(self, **which: Any) -> list[Control]:
        """All controls, or those that `sight.widgets` is told to look for."""
        return [Control(**told) for told in self.ask("widgets", **which)]

    def all_of(
        self,
        name: str,
        *,
        within: str = "",
        kind: str = "",
        tip: str = "",
        shown: bool | None = True,
    ) -> list[Control]:
        """The controls of a name, inside something of another name."""
        return [
            control
            for control in self.controls(name=name, kinds=[kind] if kind else None)
            # The words beside a field have its name too.
            if (kind or "QLabel" not in control.kinds)
            and (not within or any(x.startswith(within) for x in control.within))
            and control.tip.startswith(tip)
            and shown in (control.shown, None)
        ]

    def see(self, name: str, **more: Any) -> Control:
        """The one control of a name; waits for it."""
        found = self.until(
            lambda: self.all_of(name, **more), f"there is a control {name!r}, {more}"
        )
        seen = [each for each in found if each.seen] or found
        assert len(seen) == 1, f"{len(seen)} controls are called {name!r}: {seen}"
        return seen[0]

    def find(self, *, kind: str, within: str = "", tip: str = "") -> Control:
        """The one control of a kind that is in sight, whatever it is called."""

        def found() -> list[Control]:
            return [
                each
                for each in self.controls(kinds=[kind])
                if each.seen
                and each.tip.startswith(tip)
                and (not within or within in each.within)
            ]

        (control,) = self.until(found, f"there is a {kind}")
        return control

    def again(self, control: Control) -> Control:
        """The same control as it is now."""
        (now,) = self.controls(numbers=[control.id])
        return now

    def at_rest(self, control: Control) -> Control:
        """The same control, when it moves and changes no more."""

        def rested() -> Control | None:
            first, second = self.again(control), self.again(control)
            same = (first.rect, first.value) == (second.rect, second.value)
            return first if same else None

        return self.until(rested, f"{control.name!r} stays where it is")

    def has_focus(self, control: Control) -> bool:
        """Whether a control, or something in it, has the keyboard."""
        return any(each.focus for each in self.controls(inside=control.id))
