"""Create instruments by name, each behind the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hae import plugins
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.settings_base import check_numbers, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel


def settings_of(name: str, values: Mapping[str, Any]) -> BaseModel:
    """Return the settings model of an instrument, with some values overridden.

    Raises
    ------
    UnknownPlugin
        If there is no such instrument.
    pydantic.ValidationError
        If a value is not allowed, or there is no such setting.
    ValueError
        If a number is none that can be computed with, or recorded.
    """
    model: type[BaseModel] = plugins.load(plugins.INSTRUMENTS, name).settings_type
    settings = model.model_validate(dict(values))
    # Models of other packages need not be `Settings`, which refuse such numbers.
    check_numbers(settings.model_dump())
    return settings


def recorded_settings_of(name: str, values: Mapping[str, Any]) -> BaseModel:
    """Return the settings of an instrument as a record has them, without any secrets.

    Raises like `settings_of`.
    """
    model: type[BaseModel] = plugins.load(plugins.INSTRUMENTS, name).settings_type
    return settings_of(name, without_secrets(model, values))


def guarded(name: str, settings: BaseModel) -> GuardedInstrument:
    """Return an instrument behind its gate, not connected yet.

    Raises
    ------
    UnknownPlugin
        If there is no such instrument.
    """
    return GuardedInstrument(plugins.load(plugins.INSTRUMENTS, name)(settings))
