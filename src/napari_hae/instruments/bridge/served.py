"""The gate on the microscope's PC, extended by dark spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.instruments.gate import GuardedInstrument

if TYPE_CHECKING:
    from napari_hae.types import Spectrum


class ServedInstrument(GuardedInstrument):
    """A guarded instrument whose client may also request a spectrum without a beam.

    In the plugin a remote microscope is an `Instrument`, with a beam to unblank and to
    blank. Here nobody unblanks but the gate: the client says with each spectrum whether
    it is to be exposed, and a spectrum that is not is taken with the beam blanked.
    """

    def acquire_dark_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        """Take a spectrum with the beam blanked; it costs no dose.

        Raises what the instrument raises, and `Aborted`.
        """
        with self._in_use():
            self._shutter.blank()
            spectrum = self._bare.acquire_spectrum(detector, exposure_s)
            self._shutter.check_not_aborted()
            return spectrum
