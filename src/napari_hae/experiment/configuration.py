"""Settings of instrument and experiment from TOML and `section.name=value` texts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_hae.experiment.known_settings import INSTRUMENT, known_names, sections
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.files import check_file
from napari_hae.instruments.catalogue import settings_of
from napari_hae.printable import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pydantic import BaseModel


_ALLOWED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "string_type": "a text",
    "tuple_type": "a list of values, such as [64, 64]",
}
"""Allowed values in plain words, by pydantic's error type."""


_DEEPEST = 8
"""Largest nesting depth of sections."""


class BadConfiguration(ValueError):
    """Error for an invalid setting; the text names it and the allowed values."""


@dataclass(frozen=True)
class Configuration:
    """Settings of a run: those of the instrument and those of the experiment."""

    instrument: str
    instrument_settings: BaseModel
    settings: ExperimentSettings


def configure(instrument: str, given: Mapping[str, Any]) -> Configuration:
    """Validate nested values, with the instrument's own under `"instrument"`.

    Raises
    ------
    BadConfiguration
        If a value is not allowed; the text has one line per mistake.
    UnknownPlugin
        If an instrument, scalarizer or acquisition function is not installed.
    """
    experiment = {name: each for name, each in given.items() if name != INSTRUMENT}
    return Configuration(
        instrument,
        instrument_settings(instrument, given.get(INSTRUMENT, {})),
        experiment_settings(experiment),
    )


def instrument_settings(instrument: str, values: Any) -> BaseModel:
    """Validate the settings of an instrument; errors as of `configure`."""
    if not isinstance(values, dict):
        raise BadConfiguration(
            f"{_no_section(INSTRUMENT, values, instrument)}. "
            "Which instrument it is, --instrument says"
        )
    try:
        return settings_of(instrument, values)
    except ValidationError as error:
        text = _in_words(error, (INSTRUMENT,), {INSTRUMENT: values}, instrument)
        raise BadConfiguration(text) from error


def experiment_settings(given: Mapping[str, Any]) -> ExperimentSettings:
    """Validate the settings of an experiment; errors as of `configure`."""
    try:
        return ExperimentSettings.model_validate(given)
    except ValidationError as error:
        raise BadConfiguration(_in_words(error, (), given, "")) from error


def changed(
    settings: ExperimentSettings, assignments: Sequence[str]
) -> ExperimentSettings:
    """Replace some settings, by `section.name=value` texts; errors as of `configure`.

    A malformed text raises `BadConfiguration`, too.
    """
    if not assignments:
        return settings
    values = settings.model_dump(mode="json")
    assign(values, assignments)
    return experiment_settings(values)


def read_toml(path: Path) -> dict[str, Any]:
    """Read the values of a TOML file, with or without a byte order mark.

    Raises
    ------
    BadConfiguration
        If it cannot be read or is not valid TOML.
    """
    try:
        check_file(path)
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadConfiguration(f"{path} cannot be read as TOML: {error}") from error


def assign(given: dict[str, Any], assignments: Iterable[str]) -> None:
    """Insert `section.name=value` texts, with TOML values, into nested values.

    Raises
    ------
    BadConfiguration
        If a text is malformed.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        *path, last = name.strip().split(".")
        if not (equals and last and all(path) and len(path) <= _DEEPEST):
            raise BadConfiguration(
                f"{shortened(assignment)} is not of the form section.name=value, "
                "such as scalarizer.low_ev=0.3"
            )
        place = given
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise BadConfiguration(
                    f"{shortened(assignment)} needs settings in {part}, which is set "
                    f"to {shortened(place)}"
                )
        place[last] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    # Numbers with thousands of digits, and deeply nested brackets.
    except (ValueError, RecursionError) as error:
        raise BadConfiguration(
            f"{shortened(text)} cannot be read: it is too long, or too deep"
        ) from error


def _in_words(error: ValidationError, *context: Any) -> str:
    mistakes = error.errors()
    return "\n".join(_mistake(dict(details), *context) for details in mistakes)


def _mistake(
    details: dict[str, Any],
    prefix: tuple[str, ...],
    given: Mapping[str, Any],
    instrument: str,
) -> str:
    """Return one sentence on an error that pydantic found in the given sections."""
    path = (*prefix, *(str(part) for part in details["loc"]))
    section, value = (path or ("",))[0], details["input"]
    if section in sections() and not isinstance(given.get(section, {}), dict):
        return _no_section(section, value, instrument)
    if details["type"] == "extra_forbidden" and len(path) == 1:
        known = ", ".join((*sections(), "seed"))
        return f"{section}: there is no such section; there are {known}"
    where = ".".join(path) or "settings"
    if details["type"] == "extra_forbidden":
        known = ", ".join(known_names(section, given.get(section, {}), instrument))
        return f"{where}: there is no such setting; {section} has {known or 'none'}"
    if (kind := str(details["type"])) == "union_tag_invalid":
        where, value = f"{where}.kind", details["ctx"]["tag"]
        message = f"one of {details['ctx']['expected_tags']}"
    elif kind == "union_tag_not_found":
        return f"{where}: give {where}.kind too; the others are settings of a kind"
    else:
        message = _ALLOWED.get(kind, str(details["msg"]))
        message = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{where}: {shortened(value)} is not allowed: {message}"


def _no_section(section: str, value: Any, instrument: str) -> str:
    known = ", ".join(known_names(section, {}, instrument))
    return (
        f"{section}: {shortened(value)} is not allowed: it is a section, with the "
        f"settings {known or 'of its own'}"
    )
