"""An instrument and an experiment from a TOML file and `section.name=value` texts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.instruments.catalogue import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydantic import BaseModel

INSTRUMENT = "instrument"


class BadConfiguration(ValueError):
    """A setting is not known or not allowed; the text says which, and what is."""


@dataclass(frozen=True)
class Configuration:
    """Everything a run needs: the instrument's settings and the experiment's."""

    instrument: str
    instrument_settings: BaseModel
    settings: ExperimentSettings


def configure(instrument: str, sections: dict[str, Any]) -> Configuration:
    """Validate nested values, with the instrument's own under `"instrument"`.

    Raises
    ------
    BadConfiguration
        If a value is not allowed; the text has one line per mistake.
    UnknownPlugin
        If there is no such instrument, scalarizer or acquisition function.
    """
    sections = dict(sections)
    try:
        instrument_settings = settings_of(instrument, sections.pop(INSTRUMENT, {}))
        settings = ExperimentSettings.model_validate(sections)
    except ValidationError as error:
        raise BadConfiguration(in_words(error)) from error
    return Configuration(instrument, instrument_settings, settings)


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file.

    Raises
    ------
    BadConfiguration
        If it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfiguration(f"{path} cannot be read as TOML: {error}") from error


def assign(sections: dict[str, Any], assignments: Iterable[str]) -> None:
    """Put `section.name=value` texts into nested values; a value is written as in TOML.

    Raises
    ------
    BadConfiguration
        If a text has another form.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        *path, last = name.strip().split(".")
        if not (equals and last and all(path)):
            raise BadConfiguration(
                f"{assignment!r} is not of the form section.name=value, such as "
                "scalarizer.low_ev=0.3"
            )
        place = sections
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise BadConfiguration(
                    f"{assignment!r}: {part} has no parts of its own"
                )
        place[last] = _value(text.strip())


def in_words(error: ValidationError) -> str:
    """What pydantic found wrong, one line per mistake."""
    return "\n".join(_mistake(dict(details)) for details in error.errors())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _mistake(details: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in details["loc"]) or "settings"
    if details["type"] == "extra_forbidden":
        return f"{where}: there is no such setting"
    message = str(details["msg"]).removeprefix("Value error, ")
    message = message.removeprefix("Input should be ")
    return f"{where}: {details['input']!r} is not allowed: {message}"
