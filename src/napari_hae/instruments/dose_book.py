"""Bookkeeping of the delivered and the remaining dose.

They are counted in three ways: of a run; at one point; and within a radius around every
place, which is the local dose. A survey image counts in all three.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.coordinates import place_text
from napari_hae.instruments.base import (
    DoseExceeded,
    InstrumentError,
    LocalDoseExceeded,
    Unsupported,
)
from napari_hae.instruments.dose import DoseLimits, KnownExposures, Place
from napari_hae.instruments.place_dose import PlaceDose
from napari_hae.types import Area, dose_electrons

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_hae.instruments.dose import Exposure

    Charge = NDArray[np.float64]

POINT_NM = 0.01
"""Positions nearer than this are one point: no probe is finer."""
NEEDS_CURRENT = (
    "a dose budget needs the beam current, which this instrument does not know: enter "
    "it in the budget"
)

_ROUNDING = 1 + 1e-9


class DoseBook:
    """Delivered, reserved and remaining dose; safe to use from any thread.

    Electrons are kept beside the seconds for which nobody knew the current, as a pair:
    once a current is entered it holds for those too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits = DoseLimits()
        self._known_pa: float | None = None
        self._all, self._run = np.zeros(2), np.zeros(2)
        self._taken: dict[Place, Charge] = {}
        self._known = KnownExposures()
        self._fov_nm: tuple[float, float] | None = None
        self._fov_changed = False
        self._point = PlaceDose(POINT_NM)
        self._local = PlaceDose(self._limits.radius_nm)

    @property
    def all_e(self) -> float:
        """Electrons since the book was opened; NaN if unknown."""
        return float(self._electrons(self._all))

    @property
    def run_e(self) -> float:
        """Electrons of the run; NaN if unknown."""
        return float(self._electrons(self._run))

    def current_pa(self, known_pa: float | None) -> float | None:
        """Return the beam current: the instrument's value, else the entered one."""
        return known_pa if _is_current(known_pa) else self._limits.current_pa

    def refusal(self, limits: DoseLimits) -> str | None:
        """Return the reason why these limits cannot be kept; None if they can."""
        known = _is_current(self._known_pa) or limits.current_pa is not None
        return None if known or limits.is_open else NEEDS_CURRENT

    def know(self, known_pa: float | None) -> None:
        """Take what the instrument says of the beam current."""
        with self._lock:
            self._known_pa = known_pa

    def limit(self, limits: DoseLimits) -> None:
        """Put limits in force; what was taken before counts.

        Raises
        ------
        Unsupported
            If the beam current is neither known nor entered.
        """
        with self._lock:
            if (refusal := self.refusal(limits)) is not None:
                raise Unsupported(refusal)
            before, self._limits = self._limits, limits
            is_new = not before.of_places or limits.radius_nm != before.radius_nm
            if is_new:
                self._count_places()

    def begin_run(
        self,
        taken: Iterable[Exposure],
        known_pa: float | None,
        fov_nm: tuple[float, float],
    ) -> None:
        """Count the electrons of a run from what it has taken already.

        Of places it counts what is not in the book yet: what was taken elsewhere comes
        on top of what was taken here, and a run made here is not counted twice.
        """
        taken = tuple(taken)
        with self._lock:
            self._known_pa = known_pa
            self._look_at_field(fov_nm)
            self._run = sum(map(self._charge, taken), np.zeros(2))
            for exposure in self._known.begin_run(taken):
                self._take(exposure.place, self._charge(exposure))
            self._count_places()

    def reserve(
        self,
        exposure: Exposure,
        known_pa: float | None,
        fov_nm: tuple[float, float],
    ) -> float:
        """Book an exposure before the beam is on; what is booked stays booked.

        Returns its electrons; NaN where the current is unknown.

        Raises
        ------
        LocalDoseExceeded
            If a place would take more than it may, while others may be open.
        DoseExceeded
            If the run would, or no place is open.
        Unsupported
            If there is a limit and the current is unknown.
        InstrumentError
            If places are limited and the field of view is not what it was.
        """
        with self._lock:
            self._known_pa = known_pa
            if (refusal := self.refusal(self._limits)) is not None:
                raise Unsupported(refusal)
            self._look_at_field(fov_nm)
            charge = self._charge(exposure)
            self._check_run(charge)
            self._check_places(exposure, charge)
            self._run += charge
            self._all += charge
            self._note(exposure, charge)
            return float(self._electrons(charge))

    def _charge(self, exposure: Exposure) -> Charge:
        """Return the electrons and the seconds of unknown current of an exposure."""
        if math.isfinite(exposure.dose_e):
            return np.array([exposure.dose_e, 0.0])
        current_pa = self.current_pa(self._known_pa)
        if current_pa is None:
            return np.array([0.0, exposure.beam_on_s])
        return np.array([dose_electrons(current_pa, exposure.beam_on_s), 0.0])

    def _electrons(self, charges: Charge) -> Charge:
        """Electrons of pairs `(…, 2)`, shape `(…)`; NaN where they are unknown."""
        current_pa = self._limits.current_pa or self.current_pa(self._known_pa)
        per_second = math.nan if current_pa is None else dose_electrons(current_pa, 1)
        seconds = charges[..., 1]
        electrons: Charge = charges[..., 0] + np.where(
            seconds > 0, seconds * per_second, 0.0
        )
        return electrons

    def _note(self, exposure: Exposure, charge: Charge) -> None:
        """Count an exposure that is made here."""
        self._known.add(exposure)
        self._take(exposure.place, charge)
        if not self._limits.of_places:
            # Counted when a limit needs it.
            return
        assert self._fov_nm is not None
        where, points = exposure.place
        for places in (self._point, self._local):
            if isinstance(where, Area):
                places.add_scan(where, points, charge, self._fov_nm)
            else:
                places.add_spot(where, charge, self._fov_nm)

    def _take(self, place: Place, charge: Charge) -> None:
        self._taken[place] = self._taken.get(place, np.zeros(2)) + charge

    def _count_places(self) -> None:
        """Count all that was taken anew, where a limit needs it."""
        if self._limits.of_places:
            self._point = self._counted_within(POINT_NM)
            self._local = self._counted_within(self._limits.radius_nm)

    def _counted_within(self, radius_nm: float) -> PlaceDose:
        places = PlaceDose(radius_nm)
        if self._fov_nm is None:
            return places
        spots, charges = [], []
        for (where, points), charge in self._taken.items():
            if isinstance(where, Area):
                places.add_scan(where, points, charge, self._fov_nm)
            else:
                spots.append(where)
                charges.append(charge)
        places.add_spots(spots, np.array(charges).reshape(-1, 2), self._fov_nm)
        return places

    def _look_at_field(self, fov_nm: tuple[float, float]) -> None:
        """Places are fractions of the field: in another field they are others."""
        if self._fov_nm is None:
            self._fov_nm = fov_nm
        self._fov_changed |= not np.allclose(fov_nm, self._fov_nm, rtol=1e-3)
        if self._fov_changed and self._limits.of_places:
            raise InstrumentError(
                "the field of view changed since the instrument was connected, so that "
                "the dose of a place is not known: connect again to count anew, or "
                "limit the dose of the run only"
            )

    def _check_run(self, charge: Charge) -> None:
        if self._limits.run_e is None:
            return
        dose_e = float(self._electrons(charge))
        left_e = self._limits.run_e - float(self._electrons(self._run))
        if not dose_e <= left_e * _ROUNDING:
            raise DoseExceeded(
                f"{dose_e:.3g} e⁻ would exceed the dose budget: "
                f"{max(left_e, 0):.3g} e⁻ are left"
            )

    def _check_places(self, exposure: Exposure, charge: Charge) -> None:
        limits = self._limits
        if limits.point_e is not None:
            self._check_place(
                self._point, exposure, charge, limits.point_e, 1.0, "e⁻ at one point"
            )
        if limits.local_e_per_nm2 is not None:
            unit = f"e⁻/nm² within {limits.radius_nm:g} nm"
            most, disc_nm2 = limits.local_e_per_nm2, limits.disc_nm2
            self._check_place(self._local, exposure, charge, most, disc_nm2, unit)

    def _check_place(
        self,
        places: PlaceDose,
        exposure: Exposure,
        charge: Charge,
        limit: float,
        per: float,
        unit: str,
    ) -> None:
        """Check the electrons of every place that would take more, divided by `per`."""
        assert self._fov_nm is not None
        where, fov_nm = exposure.where, self._fov_nm
        if isinstance(where, Area):
            with_it = places.with_scan(where, exposure.points, charge, fov_nm)
            anywhere = places.share(where, exposure.points, fov_nm) * charge
        else:
            with_it, anywhere = places.with_spot(where, charge, fov_nm), charge
        most = float(self._electrons(with_it).max()) / per
        if most <= limit * _ROUNDING:
            return
        told = f"would take {most:.3g} {unit}: the limit is {limit:.3g}"
        anywhere = anywhere + places.least_scanned()
        if float(self._electrons(anywhere)) / per > limit * _ROUNDING:
            raise DoseExceeded(f"any place {told}")
        raise LocalDoseExceeded(f"{place_text(where, fov_nm)} {told}")


def _is_current(current_pa: float | None) -> bool:
    """Return whether an instrument reported a usable current."""
    return current_pa is not None and math.isfinite(current_pa) and current_pa > 0
