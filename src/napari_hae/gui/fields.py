"""Controls for the fields of a settings model, one per field."""

from __future__ import annotations

import math
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from magicgui.widgets import CheckBox, ComboBox, FileEdit, LineEdit, SpinBox
from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magicgui.widgets.bases import ValueWidget
    from pydantic.fields import FieldInfo
    from qtpy.QtWidgets import QLineEdit

EMPTY, NO_FILE = "automatic", "no file chosen"
"""Texts of a control where a value or a file may be omitted, unless the field sets its
own by `json_schema_extra={"empty": …}`."""


class FieldControl:
    """Control of one field: shows a value, and returns the entered one.

    Numbers with fractions are entered as text, so that no control rounds the model's
    value; the model itself validates the entry.
    """

    def __init__(self, name: str, field: FieldInfo) -> None:
        self.name = name
        self.title = field.title or name
        self.tooltip = " ".join((field.description or "").split())
        self._kinds = _kinds(field.annotation)
        self.edit: QLineEdit | None = None
        """Text editor of the value, unless a spin box is used."""
        self._offered: list[tuple[str, str]] = []
        self.widget = self._make(field)
        native = self.widget.native
        native.setToolTip(self.tooltip)
        native.setAccessibleName(self.title)
        # Long contents must not make the dock wider than the screen allows.
        native.setMinimumWidth(60)

    @property
    def entered(self) -> Any:
        """Return the entered value, for validation by the model."""
        value = self.widget.value
        if not isinstance(self.widget, LineEdit):
            return value
        text = value.strip()
        if not text and NoneType in self._kinds:
            return None
        if tuple in self._kinds:
            parts = text.replace("×", ",").replace(";", ",").split(",")
            return tuple(part.strip() for part in parts if part.strip())
        return text

    @property
    def is_being_typed(self) -> bool:
        """Return whether an entry is still being typed, and so not final."""
        return self.edit is not None and self.edit.isModified()

    def end_typing(self) -> None:
        """Mark the typed entry as final."""
        if self.edit is not None:
            self.edit.setModified(False)

    def show(self, value: Any) -> None:
        """Show a value, unless one is being typed; nothing is emitted."""
        if self.is_being_typed or self._is_number_unfinished:
            return
        with self.widget.changed.blocked():
            if self._offered and value not in [each for _, each in self._offered]:
                # A value set by its title, say, is no entry of the list.
                self.widget.choices = [*self._offered, (str(value), value)]
            if isinstance(self.widget, LineEdit):
                self.widget.value = _as_text(value)
            else:
                self.widget.value = value

    def offer(self, choices: Sequence[tuple[str, str]]) -> None:
        """Offer the values `(label, value)` for a field marked as `offered`.

        The current choice is kept. Nothing is emitted.
        """
        chosen = self.widget.value
        self._offered = [self._offered[0], *choices]
        with self.widget.changed.blocked():
            self.widget.choices = self._offered
        self.show(chosen)

    @property
    def _is_number_unfinished(self) -> bool:
        """Return whether a spin box shows other digits than those of its value."""
        if not isinstance(self.widget, SpinBox):
            return False
        return bool(self.widget.native.text() != str(self.widget.value))

    def _make(self, field: FieldInfo) -> ValueWidget[Any]:
        choices = [kind for kind in self._kinds if get_origin(kind) is Literal]
        if choices:
            named = [(str(c).replace("_", " "), c) for c in get_args(choices[0])]
            return ComboBox(choices=named)
        if bool in self._kinds:
            return CheckBox()
        extra = field.json_schema_extra
        said = extra.get("empty") if isinstance(extra, dict) else None
        if isinstance(extra, dict) and extra.get("offered"):
            self._offered = [(str(said or EMPTY), "")]
            return ComboBox(choices=self._offered)
        if Path in self._kinds:
            file = FileEdit(mode="r", nullable=True)
            self.edit = file.line_edit.native
            self.edit.setPlaceholderText(str(said or NO_FILE))
            self.edit.setAccessibleName(self.title)
            button = file.choose_btn
            button.native.setAccessibleName(f"{button.text}: {self.title}")
            return file
        if self._kinds == (int,):
            low, high = _limits(field)
            box = SpinBox(min=low, max=high)
            # Otherwise each digit would be a value: 2, then 20, then 200.
            box.native.setKeyboardTracking(False)
            return box
        edit = LineEdit()
        self.edit = edit.native
        if SecretStr in self._kinds:
            self.edit.setEchoMode(self.edit.EchoMode.Password)
        if said or NoneType in self._kinds:
            self.edit.setPlaceholderText(str(said or EMPTY))
        return edit


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a field may hold; tuples of any content as `tuple`."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for part in get_args(annotation) for kind in _kinds(part))
    if get_origin(annotation) is tuple:
        return (tuple,)
    return (annotation,)


def _limits(field: FieldInfo) -> tuple[int, int]:
    low, high = 0, 2**31 - 1
    for constraint in field.metadata:
        low = getattr(constraint, "ge", low)
        high = getattr(constraint, "le", high)
    return low, high


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ", ".join(_as_text(part) for part in value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value).removesuffix(".0")
    return str(value)
