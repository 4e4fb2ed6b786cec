"""A hand on a real pointer and keyboard, that finds what it wants by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from control import heads, middle
from pointer import Pointer

if TYPE_CHECKING:
    from control import Control

EDGE_PX = 8
NOTCH_PX = 90
"""A notch of the wheel scrolls not farther than this."""


class Hand(Pointer):
    """Acts on what has a name, and brings it into sight first."""

    def bring(self, control: Control) -> Control:
        """Bring a control into sight as a person does: tabs, sections, wheel."""
        return self.until(lambda: self._brought(control), f"{control.name!r} in sight")

    def click(self, name: str, *, enabled: bool = True, **more: Any) -> Control:
        """Bring a control into sight and click it."""
        more.setdefault("shown", None)
        return self.click_on(self.see(name, **more), enabled=enabled)

    def click_on(self, control: Control, *, enabled: bool = True) -> Control:
        """Click a control that was seen."""
        control, name = self.bring(control), control.name
        if enabled and not control.enabled:
            self.until(lambda: self.again(control).enabled, f"{name!r} can be pressed")
            control = self.bring(control)
        # It moves while what is around it changes, and a window while it comes up.
        self.until(lambda: self._is_under(control), f"the pointer is at {name!r}")
        self.do("click", 1)
        return control

    def pick(self, part: str, *, of: str, enabled: bool = True) -> None:
        """Click a part of a menu, a list or a row of tabs, by its name."""

        def found() -> dict[str, Any] | None:
            parts = [
                (each, control)
                for control in self.controls(called=of)
                if control.seen
                for each in control.parts
                if each["name"] == part and (each["enabled"] or not enabled)
            ]
            if not parts:
                return None
            each, control = parts[-1]
            if each["seen"]:
                return each
            _, y = middle(control.seen)
            self.wheel(middle(control.seen), down=middle(each["rect"])[1] > y)
            return None

        self.click_at(middle(self.until(found, f"{part!r} of {of!r}")["rect"]))

    def type_into(self, name: str, text: str, **more: Any) -> Control:
        """Replace what stands in a field; the focus stays in it."""
        control = self.click(name, **more)
        self.until(lambda: self.has_focus(control), f"{name!r} has the focus")
        self.write(text)
        self.until(lambda: self.again(control).value == text, f"{text!r} is typed")
        return control

    def choose(self, name: str, choice: str, **more: Any) -> Control:
        """Open a combo box and click one of its choices."""
        control = self.click(name, **more)
        self.pick(choice, of="QListView")
        self.until(lambda: self.again(control).value == choice, f"{choice!r} is chosen")
        return control

    def expand_all(self, dock: str) -> None:
        """Open all sections of a dock."""
        for head in self._heads():
            is_closed = head.value is False
            if is_closed and any(name.startswith(dock) for name in head.within):
                self._open(head)

    def _is_under(self, control: Control) -> bool:
        """Move the pointer to a control; whether it is there still."""
        place = self.at_rest(control).middle
        self.move(place)
        return self.again(control).middle == place

    def _brought(self, control: Control) -> Control | None:
        """The control as it is in sight; else one act to bring it there."""
        if (control := self.again(control)).is_whole:
            return control
        around = {each.id: each for each in self.controls(numbers=control.around)}
        nearest = [around[each] for each in control.around if each in around]
        docks = [each for each in nearest if "QDockWidget" in each.kinds]
        if docks and docks[0].seen is None:
            self.pick(docks[0].title, of="QTabBar")
            return None
        if self._expand(control):
            return None
        for area in nearest:
            if "QScrollArea" in area.kinds and area.seen is not None:
                if self._scroll_to(control, area):
                    break
        return None

    def _scroll_to(self, control: Control, area: Control) -> bool:
        """Scroll an area towards a control in it; False where that does not help."""
        _, top, _, height = area.rect
        # One at the very edge is brought further in.
        top, height = top + EDGE_PX, height - 2 * EDGE_PX
        _, y = control.middle
        if top <= y < top + height:
            return False
        # Beside the controls: the wheel is tried on them elsewhere.
        margin = area.seen[0] + 2, middle(area.seen)[1]
        far = top - y if y < top else y - top - height
        times = 1 + max(int(far), 0) // NOTCH_PX
        return self.scroll(area, margin, down=y >= top + height, times=times)

    def _expand(self, control: Control) -> bool:
        """Open the section that a control is in; False if it is open."""
        for head in self._heads():
            is_around = head.around[0] in control.around and head.id != control.id
            if is_around and not head.value:
                self._open(head)
                return True
        return False

    def _open(self, head: Control) -> None:
        self.click_at(self.bring(head).middle)
        self.until(lambda: self.again(head).value, f"{head.name!r} is open")

    def _heads(self) -> list[Control]:
        return heads(self.controls(kinds=["QCollapsible", "QPushButton"]))
