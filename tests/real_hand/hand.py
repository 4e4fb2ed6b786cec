"""A hand on a real pointer and keyboard, that finds what it wants by its name."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

PATIENCE_S = 60.0
LOOK_EVERY_S = 0.05
EDGE_PX = 8
NOTCH_PX = 90
"""A notch of the wheel scrolls not farther than this."""
Place = tuple[float, float]


class Blind(Exception):
    """The program does not answer: it is not there yet, or has ended."""


@dataclass(frozen=True)
class Control:
    """A widget as it was when it was looked at."""

    id: int
    kinds: list[str]
    name: str
    title: str
    tip: str
    within: list[str]
    around: list[int]
    rect: list[int]
    seen: list[int] | None
    shown: bool
    enabled: bool
    focus: bool
    value: Any
    parts: list[dict[str, Any]]

    @property
    def middle(self) -> Place:
        """Where to point at it; at its box, where it is one to tick."""
        left, top, _, height = self.rect
        if "QCheckBox" in self.kinds:
            return middle((left, top, min(height, 18), height))
        return middle(self.rect)

    @property
    def is_whole(self) -> bool:
        """Whether its middle, and all of its height that can be, is in sight."""
        if self.seen is None:
            return False
        (x, y), (left, top, width, height) = self.middle, self.seen
        return left <= x < left + width and top <= y < top + height


def middle(rect: Sequence[float]) -> Place:
    left, top, width, height = rect
    return left + width // 2, top + height // 2


def heads(controls: Iterable[Control]) -> list[Control]:
    """The heads of the sections of docks."""
    controls = list(controls)
    sections = {each.id for each in controls if "QCollapsible" in each.kinds}
    return [
        each
        for each in controls
        if "QPushButton" in each.kinds and sections.intersection(each.around[:1])
    ]


class Hand:
    """Pointer and keyboard on one screen, and eyes in the program that runs there."""

    def __init__(self, environment: dict[str, str], eyes: Path) -> None:
        self._environment, self._eyes = environment, eyes
        self._socket: socket.socket | None = None

    # Looking

    def ask(self, what: str, **more: Any) -> Any:
        """Ask the program for what is to be seen in it."""
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.settimeout(PATIENCE_S)
                self._socket.connect(str(self._eyes))
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
        """All controls, or those of some numbers or a name, or inside another one."""
        return [Control(**told) for told in self.ask("widgets", **which)]

    def all_of(
        self, name: str, *, within: str = "", kind: str = "", shown: bool | None = True
    ) -> list[Control]:
        """The controls of a name, inside something of another name."""
        return [
            control
            for control in self.controls(name=name)
            # The words beside a field have its name too.
            if (kind or "QLabel" not in control.kinds)
            and kind in (*control.kinds, "")
            and (not within or any(x.startswith(within) for x in control.within))
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
                for each in self.controls()
                if kind in each.kinds
                and each.seen
                and each.tip.startswith(tip)
                and (not within or within in each.within)
            ]

        (control,) = self.until(found, f"there is a {kind}")
        return control

    def again(self, control: Control) -> Control:
        """The same control as it is now."""
        (now,) = self.controls(numbers=[control.id])
        return now

    # Moving

    def do(self, *words: object) -> None:
        """Have xdotool do something."""
        command = ["xdotool", *map(str, words)]
        subprocess.run(command, env=self._environment, check=True, timeout=PATIENCE_S)

    def move(self, place: Place) -> None:
        self.do("mousemove", *map(round, place))
        # What came before this answer was seen by the program.
        self.ask("pointer")

    def press(self) -> None:
        self.do("mousedown", 1)
        self.ask("pointer")

    def let_go(self) -> None:
        self.do("mouseup", 1)
        self.ask("pointer")

    def click_at(self, place: Place, *, times: int = 1) -> None:
        self.move(place)
        self.do("click", "--repeat", times, "--delay", 50, 1)

    def drag(self, places: Sequence[Place], *, between: int = 6) -> None:
        """Press at the first place, drag over all others, and let go at the last."""
        self.move(places[0])
        self.press()
        for start, end in pairwise(np.asarray(places, dtype=float)):
            for part in np.linspace(0, 1, between + 1)[1:]:
                self.move(tuple(start + part * (end - start)))
        self.let_go()

    def wheel(self, place: Place, *, down: bool, times: int = 1) -> None:
        self.move(place)
        self.do("click", "--repeat", times, "--delay", 10, 5 if down else 4)

    def scroll(
        self, area: Control, place: Place, *, down: bool, times: int = 1
    ) -> bool:
        """Turn the wheel over a place; whether the area around it could scroll."""
        low, was, high = self.again(area).value
        if was == (high if down else low):
            return False
        self.wheel(place, down=down, times=times)
        self.until(lambda: self.again(area).value[1] != was, "the wheel scrolls")
        if times > 1:
            self._at_rest(area)
        return True

    def key(self, *keys: str) -> None:
        self.do("key", "--clearmodifiers", *keys)

    def over_canvas(self, point: Sequence[float]) -> None:
        """Move over the image until napari has the pointer at `(y, x)` in nm."""
        (place,) = self.ask("canvas", points=[list(point)])
        offsets = [(0, 0), (1, 0), (0, 1)]

        def is_there() -> bool:
            # napari leaves out moves that come too soon after another.
            offsets.append(offsets.pop(0))
            self.move(np.add(place, offsets[0]))
            cursor = self.ask("cursor")
            away = np.abs(np.subtract(cursor["position"], point)).max()
            return bool(away <= 3 * cursor["pixel"])

        self.until(is_there, f"napari has the pointer at {point}")

    def stroke(self, points: Sequence[Sequence[float]]) -> None:
        """Draw over the image with the button held, along `(y, x)` in nm."""
        self.over_canvas(points[0])
        self.press()
        for start, end in pairwise(np.asarray(points, dtype=float)):
            for part in np.linspace(0, 1, 5)[1:]:
                self.over_canvas([float(x) for x in start + part * (end - start)])
        self.let_go()

    def tab_to(self, control: Control, *, back: bool = False) -> None:
        """Go to a control by the tab key."""
        for _ in range(200):
            if self._has_focus(control):
                return
            self.key("shift+Tab" if back else "Tab")
            self.ask("pointer")
        raise AssertionError(f"the tab key does not lead to {control.name!r}")

    # Acting on what has a name

    def bring(self, control: Control) -> Control:
        """Bring a control into sight as a person does: tabs, sections, wheel."""
        return self.until(lambda: self._brought(control), f"{control.name!r} in sight")

    def click(self, name: str, *, enabled: bool = True, **more: Any) -> Control:
        """Bring a control into sight and click it."""
        more.setdefault("shown", None)
        control = self.bring(self.see(name, **more))
        if enabled and not control.enabled:
            self.until(lambda: self.again(control).enabled, f"{name!r} can be pressed")
            control = self.bring(control)
        # It moves while what is around it changes, and a window while it comes up.
        self.click_at(self._at_rest(control).middle)
        return control

    def pick(self, part: str, *, of: str, enabled: bool = True) -> None:
        """Click a part of a menu, a list or a row of tabs, by its name."""

        def found() -> dict[str, Any] | None:
            parts = [
                each
                for control in self.controls()
                if control.seen and of in (control.name, *control.kinds)
                for each in control.parts
                if each["name"] == part and (each["enabled"] or not enabled)
            ]
            return parts[-1] if parts else None

        self.click_at(middle(self.until(found, f"{part!r} of {of!r}")["rect"]))

    def type_into(self, name: str, text: str, **more: Any) -> Control:
        """Replace what stands in a field; the focus stays in it."""
        control = self.click(name, **more)
        self.until(lambda: self._has_focus(control), f"{name!r} has the focus")
        self.key("ctrl+a")
        self.do("type", "--delay", 8, text)
        self.until(lambda: self.again(control).value == text, f"{text!r} is typed")
        return control

    def choose(self, name: str, choice: str, **more: Any) -> Control:
        """Open a combo box and click one of its choices."""
        control = self.click(name, **more)
        self.pick(choice, of="QListView")
        self.until(lambda: self.again(control).value == choice, f"{choice!r} is chosen")
        return control

    def _has_focus(self, control: Control) -> bool:
        return any(each.focus for each in self.controls(inside=control.id))

    def _at_rest(self, control: Control) -> Control:
        def rested() -> Control | None:
            first, second = self.again(control), self.again(control)
            same = (first.rect, first.value) == (second.rect, second.value)
            return first if same else None

        return self.until(rested, f"{control.name!r} stays where it is")

    def _brought(self, control: Control) -> Control | None:
        """The control as it is in sight; else one act to bring it there."""
        if (now := self.again(control)).is_whole:
            return now
        controls = {each.id: each for each in self.controls()}
        control = controls[control.id]
        around = [controls[each] for each in control.around if each in controls]
        docks = [each for each in around if "QDockWidget" in each.kinds]
        if docks and docks[0].seen is None:
            self.pick(docks[0].title, of="QTabBar")
            return None
        if self._expand(control, controls.values()):
            return None
        for area in around:
            if "QScrollArea" not in area.kinds or area.seen is None:
                continue
            _, top, _, height = area.rect
            # One at the very edge is brought further in.
            top, height = top + EDGE_PX, height - 2 * EDGE_PX
            _, y = control.middle
            # Beside the controls: the wheel is tried on them elsewhere.
            margin = area.seen[0] + 2, middle(area.seen)[1]
            inside = top <= y < top + height
            far = top - y if y < top else y - top - height
            times = 1 + max(int(far), 0) // NOTCH_PX
            down = y >= top + height
            if not inside and self.scroll(area, margin, down=down, times=times):
                break
        return None

    def expand_all(self, dock: str) -> None:
        """Open all sections of a dock."""
        for head in heads(self.controls()):
            is_closed = head.value is False
            if is_closed and any(name.startswith(dock) for name in head.within):
                self._open(head)

    def _expand(self, control: Control, controls: Iterable[Control]) -> bool:
        """Open the section that a control is in; False if it is open."""
        for head in heads(controls):
            is_around = head.around[0] in control.around and head.id != control.id
            if is_around and not head.value:
                self._open(head)
                return True
        return False

    def _open(self, head: Control) -> None:
        self.click_at(self.bring(head).middle)
        self.until(lambda: self.again(head).value, f"{head.name!r} is open")
