"""The base of every settings model: frozen, strict about names, ready for a form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

from pydantic import BaseModel, ConfigDict, SecretStr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

SECRET = "secret"
"""Set in a field's `json_schema_extra` where it names or holds a secret, as all fields
of the type `SecretStr` do."""


class Settings(BaseModel):
    """A frozen pydantic model whose fields are both the form and the provenance.

    Every field has a `title` (the label in the form, with its unit) and a `description`
    (the tooltip: effect, unit, default and, for a method, its source).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @property
    def outside(self) -> tuple[str, ...]:
        """Code, files and hosts beside the settings that they name, in words.

        Where settings come from a record, nothing of it is used without the user's
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
    """Values that come from a record, less those that only a user may give.

    A record may be a stranger's, who would choose which file is read as a secret, and
    whom it is for.
    """
    fields = model.model_fields
    return {
        name: value
        for name, value in values.items()
        if name not in fields or not _is_secret(fields[name])
    }


def _is_secret(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    kinds = (field.annotation, *get_args(field.annotation))
    return SecretStr in kinds or (isinstance(extra, dict) and bool(extra.get(SECRET)))


@runtime_checkable
class OffersChoices(Protocol):
    """Settings some of whose values are to be chosen from what a file holds.

    The fields are marked by `json_schema_extra={"offered": True}`, and stay texts: what
    is offered is only a help.
    """

    @property
    def listed(self) -> Any:
        """What the offers depend on: where that is the same, they are."""
        ...

    def offers(self) -> dict[str, list[tuple[str, str]]]:
        """The label and the value of each choice, by field; may take its time."""
        ...
