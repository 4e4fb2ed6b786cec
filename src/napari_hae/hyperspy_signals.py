"""HyperSpy, imported when it is first needed, and signals with an energy axis."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.types import EnergyAxis


def hyperspy() -> Any:
    """Return the module `hyperspy.api`; importing it takes seconds."""
    # Numba makes some functions faster that are not used here; its absence is no news
    # for a person at a microscope.
    logging.getLogger("hyperspy.decorators").setLevel(logging.ERROR)
    logging.getLogger("hyperspy.io").addFilter(_is_not_about_the_type)
    # HyperSpy warns of its own way of importing its lazy signals.
    warnings.filterwarnings("ignore", message=r"Importing `Lazy\w+` from `hyperspy\._")
    import hyperspy.api

    return hyperspy.api


def _is_not_about_the_type(record: logging.LogRecord) -> bool:
    """Suppress the warning that a signal type, such as EELS, needs eXSpy.

    HyperSpy logs it for each signal that it makes. The type stays in the metadata all
    the same, and nothing here needs the class that eXSpy has for it.
    """
    return "signal_type=" not in record.getMessage()


def spectra_signal(counts: NDArray[np.float32], energy: EnergyAxis) -> Any:
    """Return spectra as a `hyperspy.signals.Signal1D` with its energy axis in eV.

    `counts` has the shape `(channels,)` or, with the measurements on a navigation axis,
    `(measurements, channels)`.
    """
    axes: list[dict[str, Any]] = [
        {
            "name": "Energy",
            "units": "eV",
            "offset": energy.offset_ev,
            "scale": energy.dispersion_ev,
            "size": energy.size,
            "navigate": False,
        }
    ]
    if counts.ndim == 2:
        axes.insert(0, {"name": "measurement", "size": len(counts), "navigate": True})
    return hyperspy().signals.Signal1D(counts, axes=axes)


def set_known_type(signal: Any) -> None:
    """Set the class of a signal from its `Signal.signal_type`, if one is installed.

    HyperSpy warns of a type that it does not know.
    """
    from hyperspy.extensions import ALL_EXTENSIONS

    wanted = str(signal.metadata.get_item("Signal.signal_type", "") or "")
    kinds = ALL_EXTENSIONS["signals"].values()
    if wanted and any(wanted == kind["signal_type"] for kind in kinds):
        signal.set_signal_type(wanted)
