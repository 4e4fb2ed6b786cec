"""The base of every settings model: frozen, strict about names, ready for a form."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

from pydantic import (
    BaseModel,
    ConfigDict,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from napari_hae.types import LARGEST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import LiteralString

    from pydantic.fields import FieldInfo

SECRET = "secret"
"""Key set in a field's `json_schema_extra` if it names or holds a secret; fields of the
type `SecretStr` are always treated as secrets."""


SMALLEST = 1 / LARGEST
"""Smallest magnitude of a setting, except 0: keeps squares and inverses finite."""
_MOST = 2**63 - 1
"""Largest integer: the limit of random generators, arrays and file sizes."""


def check_numbers(value: Any) -> None:
    """Refuse numbers that cannot be used in computations.

    Parameters
    ----------
    value
        A number, or values in mappings and sequences; all else is let pass.

    Raises
    ------
    ValueError
        In one sentence.
    """
    if isinstance(value, bool):
        return
    if isinstance(value, int) and abs(value) > _MOST:
        raise ValueError(f"a whole number has to be within ±{_MOST:.3g}")
    if isinstance(value, float):
        _check_float(value, SMALLEST)
    elif isinstance(value, dict):
        for each in value.values():
            check_numbers(each)
    elif isinstance(value, list | tuple):
        for each in value:
            # As of a spectrum, some of which may be next to nothing.
            _check_float(each, 0.0) if isinstance(each, float) else check_numbers(each)


def _check_float(value: float, smallest: float) -> None:
    if not math.isfinite(value):
        raise ValueError("a finite number is needed")
    if value and not smallest <= abs(value) <= LARGEST:
        raise ValueError(
            f"a number has to be 0, or from {SMALLEST:g} to {LARGEST:g} in size"
        )


class Settings(BaseModel):
    """A frozen pydantic model whose fields are both the form and the provenance.

    Every field has a `title` (the label in the form, with its unit) and a `description`
    (the tooltip: effect, unit, default and, for a method, its source).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _are_numbers(cls, given: Any) -> Any:
        """Refuse values that Python mistakes for numbers or cannot convert."""
        fields = cls.model_fields
        if not isinstance(given, dict):
            return given
        mistakes: list[InitErrorDetails] = [
            {"type": PydanticCustomError("number", why), "loc": (name,), "input": value}
            for name, value in given.items()
            if name in fields and (why := _why_no_number(value, fields[name]))
        ]
        if mistakes:
            # Each is told of its own field.
            raise ValidationError.from_exception_data(cls.__name__, mistakes)
        return given

    @field_validator("*", mode="after")
    @classmethod
    def _can_be_computed_with(cls, value: Any) -> Any:
        """Refuse numbers whose squares or inverses overflow, also if given as text."""
        check_numbers(value)
        return value

    @property
    def outside(self) -> tuple[str, ...]:
        """Descriptions of code, files and hosts that the settings refer to.

        If settings come from a record, none of it is used without the user's
        consent. By default the files of all fields of the type `Path`.
        """
        named: list[str] = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Path):
                named.append(f"the file {value}")
            elif isinstance(value, Settings):
                named += value.outside
        return tuple(named)


def without_secrets(
    model: type[BaseModel], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return values from a record without those that only the user may give.

    A record may be a stranger's, who would choose which file is read as a secret, and
    whom it is for.
    """
    fields = model.model_fields
    return {
        name: value
        for name, value in values.items()
        if name not in fields or not _is_secret(fields[name])
    }


def _why_no_number(value: Any, field: FieldInfo) -> LiteralString:
    """Return why a value is invalid for a field, unconverted; empty if it is valid."""
    parts = value if isinstance(value, list | tuple) else [value]
    # Python counts true as 1.
    is_switch = any(isinstance(part, bool) for part in parts)
    if is_switch and not _allows_bool(field.annotation):
        return "true and false are no values of it"
    if any(isinstance(part, int) and abs(part) > LARGEST for part in parts):
        return "a number is at most 1e30"
    return ""


def _allows_bool(annotation: Any) -> bool:
    """Return whether a type, or a part of it, accepts true and false."""
    if annotation in (bool, Any, None):
        return True
    return any(
        isinstance(part, bool) or _allows_bool(part)
        for part in get_args(annotation)
        if part is not type(None)
    )


def _is_secret(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    kinds = (field.annotation, *get_args(field.annotation))
    return SecretStr in kinds or (isinstance(extra, dict) and bool(extra.get(SECRET)))


@runtime_checkable
class OffersChoices(Protocol):
    """Settings with values chosen from the contents of a file.

    The fields are marked by `json_schema_extra={"offered": True}`, and stay texts: what
    is offered is only a help.
    """

    @property
    def listed(self) -> Any:
        """Key that the offers depend on: the same key means the same offers."""
        ...

    def offers(self) -> dict[str, list[tuple[str, str]]]:
        """Return label and value of each choice, by field; may be slow."""
        ...
