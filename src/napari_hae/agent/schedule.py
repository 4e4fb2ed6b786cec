"""An exploration parameter that changes over the steps of a run."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from napari_hae.settings_base import Settings

_SHOWN: dict[str, Any] = {"form": "last"}
_SHOWN_IF: dict[str, Any] = {
    **_SHOWN,
    "shown_if": {"schedule": ["linear", "geometric"]},
}


class Schedule(Settings):
    """Mixin for acquisition functions with an exploration parameter that changes.

    Put it before the base, and name the parameter:

        class Mine(Schedule, AcquisitionFunction):
            exploration: ClassVar[str] = "doubt"
    """

    exploration: ClassVar[str]
    """Name of the field that the schedule changes."""

    schedule: Literal["constant", "linear", "geometric"] = Field(
        default="constant", title="Schedule", json_schema_extra=_SHOWN
    )
    """constant: exploration stays as it is. linear: it goes to another value by equal
    amounts in each step. geometric: by equal factors. It begins with the run, or, if it
    is changed while that goes, with the next step; the initial design counts. Default:
    constant."""
    until: float = Field(
        default=0.1, ge=0, title="Exploration at the end", json_schema_extra=_SHOWN_IF
    )
    """Where the schedule goes to; it begins at the value above. Default 0.1."""
    over: int = Field(
        default=50, ge=1, title="Over … steps", json_schema_extra=_SHOWN_IF
    )
    """After so many steps the schedule has reached its end, and stays there. Default
    50."""
    since: int = Field(default=0, json_schema_extra={"form": "hidden"})
    """The step, from 0, at which the schedule begins; below 0 before the record."""

    def at(self, step: int) -> Self:
        """Return the function with the value in force in a step, from 0."""
        if self.schedule == "constant":
            return self
        share = min(max((step - self.since) / self.over, 0.0), 1.0)
        begin: float = getattr(self, self.exploration)
        if self.schedule == "linear":
            value = begin + (self.until - begin) * share
        else:
            value = begin * (self.until / begin) ** share
        return self.model_copy(update={self.exploration: value, "schedule": "constant"})

    def begun(self, before: object, step: int) -> Self:
        """Return the function as it replaces another at a step.

        The schedule begins there, unless it continues an identical one.
        """
        if isinstance(before, Schedule):
            same = self._since(before.since)
            if same == before:
                return same
        return self._since(0 if self.schedule == "constant" else step)

    def shifted(self, steps: int) -> Self:
        """Return the function for a run whose steps are counted from `steps` later."""
        moves = self.schedule != "constant"
        return self._since(self.since - steps) if moves else self

    def _since(self, step: int) -> Self:
        return self.model_copy(update={"since": step})

    @model_validator(mode="after")
    def _ends_at_an_allowed_value(self) -> Self:
        if self.schedule == "constant":
            return self
        field = type(self).model_fields[self.exploration]
        name = field.title or self.exploration
        try:
            TypeAdapter(field.rebuild_annotation()).validate_python(self.until)
        except ValidationError as error:
            said = str(error.errors()[0]["msg"]).replace("Input", "the end").rstrip(".")
            raise ValueError(f"{name} cannot become {self.until:g}: {said}") from error
        begin: float = getattr(self, self.exploration)
        if self.schedule == "geometric" and not (begin > 0 and self.until > 0):
            raise ValueError(
                f"a geometric schedule needs values above 0; {name} goes from "
                f"{begin:g} to {self.until:g}"
            )
        return self
