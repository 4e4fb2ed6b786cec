"""Takes exposures on a thread of its own, one at a time.

What follows an exposure, above all writing its spectrum, is done while the next one
goes: at short exposures the beam would else wait for the disk.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hae.experiment.settings import MeasurementSettings
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import ProbePosition, Spectrum


class Exposures:
    """Exposes what it is given; used by the experiment's thread.

    Parameters
    ----------
    instrument
        Behind its gate, which checks each position just before the beam goes there.
    """

    def __init__(self, instrument: GuardedInstrument) -> None:
        self._instrument = instrument
        self._beam = ThreadPoolExecutor(1, "napari-hae-beam")
        self._under_way: Future[Spectrum] | None = None

    def begin(self, position: ProbePosition, wanted: MeasurementSettings) -> None:
        """Begin an exposure; the one before has been waited for."""
        assert self._under_way is None
        self._under_way = self._beam.submit(self._expose, position, wanted)

    def wait(self) -> Spectrum:
        """The spectrum of the exposure that was begun, when it is done.

        Raises
        ------
        InstrumentError
            If the instrument fails, or the gate refuses.
        """
        assert self._under_way is not None
        exposure, self._under_way = self._under_way, None
        return exposure.result()

    def close(self) -> None:
        """End the thread; an exposure that nobody waits for any more is aborted."""
        if self._under_way is not None:
            self._instrument.abort()
        self._beam.shutdown(wait=True)

    def _expose(self, position: ProbePosition, wanted: MeasurementSettings) -> Spectrum:
        self._instrument.place_beam(position)
        detector = self._instrument.capabilities().spectrum_detector(wanted.detector)
        return self._instrument.acquire_spectrum(detector.name, wanted.exposure_s)
