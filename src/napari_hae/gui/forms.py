"""Forms for settings models: valid values take effect, invalid ones show a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_hae.agent.recorded import AS_RECORDED
from napari_hae.gui.fields import FieldControl
from napari_hae.gui.sentences import PROBLEM_COLOR, Problem
from napari_hae.gui.wheel import scroll_past

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from magicgui.widgets.bases import ValueWidget
    from pydantic.fields import FieldInfo

    from napari_hae.agent.recorded import Recorded
    from napari_hae.settings_base import Settings


class SettingsForm(QWidget):
    """A form for one settings model.

    Typed values are validated at once, and take effect with Enter or when the focus
    leaves the field: the first digit of a number is another number.

    Parameters
    ----------
    model
        The class of the settings; fields of nested settings, and those marked
        `{"form": "hidden"}`, have no control. Those marked `{"form": "last"}` come
        after all others, and those marked `{"shown_if": {name: values}}` are shown
        while another field has one of the values, or any where `values` is `"set"`.
    """

    changed = Signal(object)
    """Emit `(settings: Settings)` when valid settings have changed."""

    def __init__(self, model: type[Settings], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._value: Settings | None = None
        self._controls: dict[str, FieldControl] = {}
        self._problems: dict[str, Problem] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        fields = {
            name: field
            for name, field in model.model_fields.items()
            if name != "kind" and not _is_nested(field.annotation)
        }
        self._shown_if = {
            name: _extra(field).get("shown_if", {}) for name, field in fields.items()
        }
        self._labels: dict[str, QLabel] = {}
        for place in (None, "last"):
            for name, field in fields.items():
                if _extra(field).get("form") == place:
                    self._add(layout, FieldControl(name, field))
        self._general = Problem(self)
        layout.addRow(self._general)

    @property
    def value(self) -> Settings:
        """The last valid settings."""
        if self._value is None:
            self._value = self._model()
        return self._value

    @property
    def controls(self) -> Mapping[str, ValueWidget[Any]]:
        """Controls of the fields, by name."""
        return {name: control.widget for name, control in self._controls.items()}

    @property
    def problems(self) -> dict[str, str]:
        """Messages on invalid fields, by name; empty if all are valid."""
        problems = {**self._problems, "": self._general}
        return {name: label.text() for name, label in problems.items() if label.text()}

    def set_value(self, value: Settings) -> None:
        """Show settings; nothing is emitted."""
        self._value = value
        for name, control in self._controls.items():
            control.show(getattr(value, name))
        self._show_rows(value.model_dump())
        self._say({})

    def offer(self, name: str, choices: Sequence[tuple[str, str]]) -> None:
        """Offer the values `(label, value)` for a field marked as `offered`."""
        self._controls[name].offer(choices)

    def say(self, text: str) -> None:
        """Show a message on the form as a whole."""
        self._general.say(text)

    def _add(self, layout: QFormLayout, control: FieldControl) -> None:
        self._controls[control.name] = control
        label = QLabel(control.title)
        label.setToolTip(control.tooltip)
        label.setBuddy(control.widget.native)
        self._labels[control.name] = label
        layout.addRow(label, control.widget.native)
        problem = self._problems[control.name] = Problem(self)
        layout.addRow(problem)
        control.widget.changed.connect(self._on_changed)
        if control.edit is not None:
            control.edit.editingFinished.connect(self._on_finished)

    def _on_finished(self) -> None:
        for control in self._controls.values():
            control.end_typing()
        self._on_changed()

    def _on_changed(self) -> None:
        entered = {name: control.entered for name, control in self._controls.items()}
        values = {**self.value.model_dump(), **entered}
        for name in self._show_rows(values):
            # Hidden fields are not reported as invalid.
            values[name] = getattr(self.value, name)
        try:
            new = self._model.model_validate(values)
        except ValidationError as error:
            self._say(_sentences(error))
            return
        self._say({})
        is_typing = any(control.is_being_typed for control in self._controls.values())
        if new != self._value and not is_typing:
            self._value = new
            self.changed.emit(new)

    def _show_rows(self, values: Mapping[str, Any]) -> list[str]:
        """Show the fields that apply to the current values; return the hidden ones."""
        left_out = []
        for name, label in self._labels.items():
            conditions = self._shown_if[name].items()
            shown = all(_is_met(values[of], wanted) for of, wanted in conditions)
            label.setVisible(shown)
            self._controls[name].widget.native.setVisible(shown)
            if not shown:
                left_out.append(name)
        return left_out

    def _say(self, sentences: dict[str, str]) -> None:
        for name, problem in self._problems.items():
            problem.say(sentences.get(name, ""))
            frame = f"border: 1px solid {PROBLEM_COLOR};" if problem.text() else ""
            native = self._controls[name].widget.native
            if native.styleSheet() != frame:
                native.setStyleSheet(frame)
        rest = [text for name, text in sentences.items() if name not in self._problems]
        self._general.say(" ".join(rest))


class ChoiceForm(QWidget):
    """A choice of kinds, with the form of the chosen one below it.

    Entries for a kind are kept while another one is chosen.

    Parameters
    ----------
    title
        Label of the choice.
    kinds
        The settings model of each kind.
    labels
        Displayed name of each kind; by default the model's `title`.
    """

    changed = Signal(object)
    """Emit `(settings: Settings)` when valid settings of the chosen kind have
    changed."""

    def __init__(
        self,
        title: str,
        kinds: Mapping[str, type[Settings]],
        labels: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._kinds = dict(kinds)
        self._forms: dict[str, SettingsForm] = {}
        self.choice = QComboBox(self)
        self.choice.setAccessibleName(title)
        self.choice.setMinimumWidth(60)
        for kind, model in self._kinds.items():
            label = (labels or {}).get(kind) or getattr(model, "title", kind)
            self.choice.addItem(label, kind)
            doc = (model.__doc__ or "").strip().splitlines() or [""]
            index = self.choice.count() - 1
            self.choice.setItemData(index, doc[0], Qt.ItemDataRole.ToolTipRole)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        top = QFormLayout()
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        top.addRow(title, self.choice)
        self._layout.addLayout(top)
        self._show_form()
        self.choice.currentIndexChanged.connect(self._on_chosen)

    @property
    def kind(self) -> str:
        """The chosen kind."""
        return str(self.choice.currentData())

    @property
    def form(self) -> SettingsForm:
        """The form of the chosen kind."""
        if self.kind not in self._forms:
            form = self._forms[self.kind] = SettingsForm(self._kinds[self.kind], self)
            form.set_value(form.value)
            form.changed.connect(self.changed)
            scroll_past(form)
            self._layout.addWidget(form)
        return self._forms[self.kind]

    @property
    def value(self) -> Settings:
        """The last valid settings of the chosen kind."""
        return self.form.value

    def say(self, text: str) -> None:
        """Show a message on the form as a whole."""
        self.form.say(text)

    def set_value(self, value: Settings) -> None:
        """Show settings and their kind; nothing is emitted."""
        if isinstance(value, AS_RECORDED):
            self._offer_recorded(value)
            kinds = [f"{value.kind} as recorded"]
        else:
            kinds = [k for k, model in self._kinds.items() if type(value) is model]
        if not kinds:
            return
        self.choice.blockSignals(True)
        self.choice.setCurrentIndex(self.choice.findData(kinds[0]))
        self.choice.blockSignals(False)
        self._show_form()
        self.form.set_value(value)
        if isinstance(value, AS_RECORDED):
            self.form.say(f"{value.in_words}. {value.why[:1].upper()}{value.why[1:]}.")

    def _offer_recorded(self, value: Recorded) -> None:
        """Offer a kind from a record that cannot be used here; it has no fields."""
        kind = f"{value.kind} as recorded"
        if kind in self._kinds:
            return
        self._kinds[kind] = type(value)
        self.choice.blockSignals(True)
        self.choice.addItem(f"{value.kind} (as recorded)", kind)
        self.choice.blockSignals(False)
        self._forms[kind] = SettingsForm(type(value), self)
        self._layout.addWidget(self._forms[kind])

    def _on_chosen(self) -> None:
        self._show_form()
        self.changed.emit(self.value)

    def _show_form(self) -> None:
        shown = self.form
        for form in self._forms.values():
            form.setVisible(form is shown)


def _extra(field: FieldInfo) -> dict[str, Any]:
    """Return the display options of a field."""
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def _is_met(value: Any, wanted: Sequence[Any]) -> bool:
    return value is not None if wanted == "set" else value in wanted


def _is_nested(annotation: Any) -> bool:
    from napari_hae.settings_base import Settings

    return isinstance(annotation, type) and issubclass(annotation, Settings)


def _sentences(error: ValidationError) -> dict[str, str]:
    """Return one message per field, by its name; the model's own under ''."""
    sentences: dict[str, str] = {}
    for mistake in error.errors():
        name = str(mistake["loc"][0]) if mistake["loc"] else ""
        text = str(mistake["msg"]).removeprefix("Value error, ")
        text = text.replace("Input should be", "This must be").rstrip(".")
        sentences.setdefault(name, f"{text[:1].upper()}{text[1:]}.")
    return sentences
