"""Instruments for scripts: which one, and with what settings; nothing is connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hae import plugins

if TYPE_CHECKING:
    from pydantic import BaseModel

    from napari_hae.instruments.base import Instrument


@dataclass(frozen=True)
class ChosenInstrument:
    """A class of instruments, the name that records have for it, and its settings."""

    name: str
    type: type[Instrument]
    settings: BaseModel

    def make(self) -> Instrument:
        """Return a new instrument, not connected."""
        return self.type(self.settings)  # type: ignore[call-arg]


def own(type: type[Instrument], **settings: Any) -> ChosenInstrument:
    """Choose an instrument by its class, registered or not.

    Raises `pydantic.ValidationError` for settings that it does not have.
    """
    name = plugins.name_of(plugins.INSTRUMENTS, type)
    return ChosenInstrument(name, type, type.settings_type.model_validate(settings))


def named(name: str, **settings: Any) -> ChosenInstrument:
    """Choose an instrument by the name that it is registered under.

    Raises `UnknownPlugin`, and `pydantic.ValidationError` like `own`.
    """
    return own(plugins.load(plugins.INSTRUMENTS, name), **settings)


def Simulated(**settings: Any) -> ChosenInstrument:
    """Choose the simulated microscope."""
    return named("simulated", **settings)


def Replay(path: str, **settings: Any) -> ChosenInstrument:
    """Choose a measured spectrum image as microscope."""
    return named("replay", path=path, **settings)


def Nion(**settings: Any) -> ChosenInstrument:
    """Choose Nion Swift."""
    return named("nion", **settings)


def Asyncroscopy(**settings: Any) -> ChosenInstrument:
    """Choose asyncroscopy's Tango devices."""
    return named("asyncroscopy", **settings)


def Remote(**settings: Any) -> ChosenInstrument:
    """Choose a microscope that `napari-hae serve` offers on another machine."""
    return named("remote", **settings)
