"""Instruments: how to measure."""

from napari_hae.instruments.choices import (
    Asyncroscopy,
    ChosenInstrument,
    Nion,
    Remote,
    Replay,
    Simulated,
    named,
    own,
)

__all__ = [
    "Asyncroscopy",
    "ChosenInstrument",
    "Nion",
    "Remote",
    "Replay",
    "Simulated",
    "named",
    "own",
]
