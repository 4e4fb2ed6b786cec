"""Drift following: repeat the survey image, locate the sample, move the beam."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.drift import Drift, ImageAgain, scan_s
from napari_hae.experiment.events import emit
from napari_hae.experiment.journal_events import (
    MeasurementEvent,
    ProposalEvent,
    SurveyAgainEvent,
)
from napari_hae.experiment.oddities import IMAGE, oddities_of
from napari_hae.experiment.refusals import LostExposure
from napari_hae.experiment.registration import LEAST_SIDE, NotRegistered, register
from napari_hae.experiment.survey import fiducial_scan, whole_scan
from napari_hae.experiment.taken import booking
from napari_hae.instruments.base import (
    ForbiddenPosition,
    LocalDoseExceeded,
    Unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_hae.experiment.events import RunEvents
    from napari_hae.experiment.field import Field, Moved
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.settings import DriftSettings
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.experiment.survey import Scan
    from napari_hae.experiment.warnings import Warnings
    from napari_hae.instruments.dose import Exposure
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import ProbePosition, ScanImage

IDLE_S = 30.0
"""Time in s without exposure after which the drift rate is considered unknown."""
OF_FIELD = 0.1
"""Default search distance and drift warning, as a fraction of the field's side."""
KEPT = 0.25
"""Displacement, as a fraction of its side, at which the reference is replaced."""
MOVED_PX = 0.25
"""Displacement in pixels at which the beam follows a place during its exposure."""


_LEFT_OUT = ForbiddenPosition, LocalDoseExceeded, Unsupported, NotRegistered
"""Errors that prevent an image, without ending the run."""
NO_IMAGE, NOT_FOUND, FAR = "no image again", "sample not found", "drifted far"
"""Subjects of warnings that stay in force until an image resolves them."""
_ADVICE = (
    "Choose a fiducial region outside of what is closed or took its dose, or take no "
    "images again. The run goes on with what is known of the drift."
)


@dataclass(frozen=True)
class _Reference:
    """Reference image for registration."""

    plane: NDArray[np.float32]
    offset_px: NDArray[np.float64]
    index: int


class Following:
    """Current position of the sample; used by the experiment's thread.

    Parameters
    ----------
    field
        Informed of the sample's position.
    is_fresh
        True if the survey image has just been taken.
    past
        Stored run that is continued.
    """

    def __init__(
        self,
        *,
        instrument: GuardedInstrument,
        record: Record,
        events: RunEvents,
        survey: ScanImage,
        field: Field,
        warnings: Warnings,
        is_fresh: bool,
        past: StoredRun | None,
    ) -> None:
        self._instrument, self._record, self._events = instrument, record, events
        self._survey, self._frame = survey, FieldFrame.of(survey)
        self._field, self._warnings = field, warnings
        self._exposed_s = 0.0
        self._busy_s = time.time() if is_fresh else -math.inf
        self._last_step: int | None = None
        self._begin_step = 0
        self._reference = _Reference(survey.data[0], np.zeros(2), 0)
        self._left_out: type[Exception] | None = None
        self.drift = Drift.after(survey)
        """State of knowledge of the drift since the last image."""
        self.waited_s = 0.0
        """Time spent waiting for the user since then, in s."""
        self.proposed_at: list[Moved] = []
        """Position of the sample at the proposal of each measurement of the stored
        run."""
        if past is not None:
            self._take_up(past)

    @property
    def time_s(self) -> float:
        """Return the seconds of exposing and scanning since the first survey image."""
        return self._exposed_s + self.drift.scanned_s

    def exposed(self, exposure_s: float) -> None:
        """Count a completed exposure."""
        self._exposed_s += exposure_s
        self._busy_s = time.time()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count time spent waiting for the user, without observing the sample."""
        begin_s = time.monotonic()
        try:
            yield
        finally:
            self.waited_s += time.monotonic() - begin_s

    def move(self) -> None:
        """Update gate and mask to the sample's current position."""
        self._move(self._drift_now)

    def track(self, place: ProbePosition) -> Callable[[float], ProbePosition | None]:
        """Return a function for the position of a place after further exposure in s.

        It returns None while the beam may stay. It is called on the beam's thread;
        positions follow from the state known now, so that the same run gives the same
        positions.
        """
        drift, begin_s = self._drift_now, self.time_s
        newest = self._moved(drift, begin_s)
        fine_nm = MOVED_PX * min(self._frame.pixel_nm)

        def follow(exposed_s: float) -> ProbePosition | None:
            nonlocal newest
            moved = self._moved(drift, begin_s + exposed_s)
            is_near = math.dist(moved[0], newest[0]) < fine_nm
            if is_near and moved[1] == newest[1]:
                return None
            newest = moved
            return self._field.go_on(moved).position(place)

        return follow

    def _move(self, drift: Drift) -> None:
        if drift.is_followed:
            self._field.move(self._moved(drift, self.time_s))

    def _moved(self, drift: Drift, time_s: float) -> Moved:
        margin_nm = drift.margin_nm(time_s, max(self._frame.pixel_nm))
        return drift.at(time_s), margin_nm

    @property
    def _drift_now(self) -> Drift:
        return self.drift.waited(self.waited_s)

    def is_due(self, step: int, wanted: DriftSettings) -> bool:
        """Return whether the image is to be repeated before a step.

        At once, then after 1, 2, 4 … steps up to the set interval, so that the drift
        rate is known early.
        """
        if not wanted.every:
            return False
        if self._last_step is None or self._is_idle:
            return True
        since_begin = max(self._last_step - self._begin_step, 1)
        return step - self._last_step >= min(wanted.every, since_begin)

    def survey_again(
        self, step: int, wanted: DriftSettings, *, is_asked: bool = False, why: str = ""
    ) -> bool:
        """Repeat the image; return whether the sample was located, if searched for.

        Raises
        ------
        InstrumentError
            If the instrument fails, or the dose does not suffice.
        """
        is_anew = self._is_idle
        self._last_step = step
        if is_anew:
            self._begin_step = step
        try:
            scan = self._scan(wanted)
            image = self._scanned(scan, wanted)
        except _LEFT_OUT as error:
            self.move()
            self._busy_s = time.time()
            # Repeated at each step, this would only hide other warnings.
            if type(error) is not self._left_out:
                self._warnings.stand(
                    NO_IMAGE,
                    f"The survey image was not taken again: {error}. {_ADVICE}"
                    f"{self._grown}",
                )
            self._left_out = type(error)
            return not wanted.follow
        self._left_out = None
        self._warnings.end(NO_IMAGE)
        if text := oddities_of(image):
            self._warnings.stand_once(IMAGE, text)
        taken = self._noted(image, step, is_anew)
        taken = replace(
            taken, is_asked=is_asked, is_fiducial=wanted.fiducial is not None
        )
        if wanted.follow:
            taken = self._registered(taken, scan.on_grid(image.data[0]), scan, wanted)
        self._record.survey_again(taken, why=why)
        before_nm = math.hypot(*self.drift.offset_nm)
        self._learn(taken, lambda: image.data[0])
        self.move()
        self._busy_s = time.time()
        emit(self._events.surveyed_again, image, taken)
        self._judge(taken, before_nm, wanted)
        return not taken.refusal

    @property
    def _is_idle(self) -> bool:
        return time.time() - self._busy_s > IDLE_S

    @property
    def _grown(self) -> str:
        """Return by how much waiting has enlarged the forbidden zones."""
        drift = self._drift_now
        if not (drift.is_followed and drift.waited_s):
            return ""
        _, margin_nm = self._moved(drift, self.time_s)
        return (
            f" Forbidden zones are grown by {margin_nm:.3g} nm: the sample may have "
            "gone on while it waited for you."
        )

    def _scan(self, wanted: DriftSettings) -> Scan:
        if wanted.fiducial is None:
            return whole_scan(self._frame)
        moved_px = np.divide(self.drift.at(self.time_s), self._frame.pixel_nm)
        smallest = self._instrument.capabilities().smallest_survey_shape
        moved = float(moved_px[0]), float(moved_px[1])
        return fiducial_scan(self._frame, wanted.fiducial, moved, smallest)

    def _scanned(self, scan: Scan, wanted: DriftSettings) -> ScanImage:
        # After a long pause the enlarged zones would otherwise prevent every image, and
        # the sample could not be located.
        drift = self._drift_now
        self._move(replace(drift, waited_s=min(drift.waited_s, IDLE_S)))
        dwell_time_s = wanted.dwell_time_s or self._survey.dwell_time_s
        with booking(self._instrument, self._note_lost):
            return self._instrument.acquire_survey(
                self._survey.detectors, scan.shape, dwell_time_s, scan.area
            )

    def _note_lost(self, scan: Exposure, failed: BaseException | None) -> None:
        if failed is not None:
            failure = LostExposure.FAILED, str(failed)
            self._record.booked(scan, self._frame.field_nm, *failure)

    def _noted(self, image: ScanImage, step: int, is_anew: bool) -> ImageAgain:
        """Store an image, with the values known before it is evaluated."""
        index = self._record.state.surveys
        self._record.image(image)
        took_s, area = scan_s(image), image.area
        booked = self._instrument.booked
        return ImageAgain(
            step=step,
            index=index,
            scan_s=took_s,
            dose_e=math.nan if booked is None else booked.dose_e,
            area=(area.left, area.top, area.right, area.bottom),
            at_s=self.time_s + took_s / 2,
            is_anew=is_anew,
            waited_s=self.waited_s,
        )

    def _registered(
        self,
        taken: ImageAgain,
        plane: NDArray[np.float32],
        scan: Scan,
        wanted: DriftSettings,
    ) -> ImageAgain:
        pixel_nm, reference = np.array(self._frame.pixel_nm), self._reference
        expected_px = self.drift.at(taken.at_s) / pixel_nm - reference.offset_px
        try:
            found = register(
                reference.plane,
                plane,
                origin=scan.origin,
                expected_px=(float(expected_px[0]), float(expected_px[1])),
                farthest_px=self._farthest_px(wanted, taken.is_anew),
            )
        except NotRegistered as error:
            return replace(taken, against=reference.index, refusal=str(error))
        down, right = (found.shift_px + reference.offset_px) * pixel_nm
        return replace(
            taken,
            offset_nm=(float(down), float(right)),
            correlation=found.correlation,
            against=reference.index,
        )

    def _farthest_px(self, wanted: DriftSettings, is_anew: bool) -> float:
        """Return the largest distance of the sample from its expected position.

        After a long interval without an image: the largest that an image can show.
        """
        side = min(self._frame.shape)
        jump_nm = wanted.largest_jump_nm or OF_FIELD * min(self._frame.fov_nm)
        jump_px = jump_nm / min(self._frame.pixel_nm)
        if not is_anew:
            return jump_px
        return max(jump_px, min(side / 4, (side - LEAST_SIDE) / 2 - 2))

    def _learn(
        self, taken: ImageAgain, plane: Callable[[], NDArray[np.float32]]
    ) -> None:
        """Apply the result of an image, now or when resuming the run."""
        self.drift, self.waited_s = taken.added_to(self.drift), 0.0
        if taken.offset_nm is None or taken.is_fiducial:
            return
        offset_px = np.divide(taken.offset_nm, self._frame.pixel_nm)
        moved = np.abs(offset_px - self._reference.offset_px)
        if (moved > KEPT * np.array(self._frame.shape)).any():
            self._reference = _Reference(plane(), offset_px, taken.index)

    def _judge(
        self, taken: ImageAgain, before_nm: float, wanted: DriftSettings
    ) -> None:
        """Warn of a result that the user should know."""
        if taken.refusal:
            self._warnings.stand(
                NOT_FOUND,
                f"The sample was not found in the image taken again: {taken.refusal}. "
                "The beam goes where it is expected from what was known before. Survey "
                "again with a longer dwell time, allow a larger jump, or start anew.",
            )
        elif taken.offset_nm is not None:
            self._warnings.end(NOT_FOUND)
            far_nm = wanted.warn_nm or OF_FIELD * min(self._frame.fov_nm)
            now_nm = math.hypot(*taken.offset_nm)
            if now_nm > far_nm >= before_nm:
                self._warnings.stand(
                    FAR,
                    f"The sample has drifted by {now_nm:.3g} nm. Places that left the "
                    "field cannot be measured: let the stage settle, or move it back "
                    "and start anew.",
                )
            elif now_nm <= far_nm:
                self._warnings.end(FAR)

    def _take_up(self, past: StoredRun) -> None:
        """Continue as the stored run would have.

        Leaves the field in its state at the start of the last measurement.
        """
        images, last = iter(past.images_again), len(past.measurements) - 1
        known: dict[int, Drift] = {}
        busy: str | None = None
        for event in past.journal:
            match event:
                case SurveyAgainEvent():
                    busy = event.time
                    self._learn_again(next(images), past)
                case ProposalEvent():
                    self.waited_s = event.waited_s or self.waited_s
                    known[event.step] = self._drift_now
                case MeasurementEvent():
                    busy = event.time
                    self.waited_s = event.waited_s or self.waited_s
                    then = known[event.step]
                    time_s = self._exposed_s + then.scanned_s
                    self.proposed_at.append(self._moved(then, time_s))
                    if event.step == last:
                        self.move()
                    self._exposed_s += event.exposure_s
        if busy is None:
            return
        self._busy_s = datetime.fromisoformat(busy).timestamp()
        if self._is_idle:
            self.waited_s += time.time() - self._busy_s

    def _learn_again(self, taken: ImageAgain, past: StoredRun) -> None:
        if taken.is_anew:
            self._begin_step = taken.step
        self._last_step = taken.step
        self._learn(taken, partial(_plane, past, taken.index))


def _plane(past: StoredRun, index: int) -> NDArray[np.float32]:
    plane: NDArray[np.float32] = past.image(index)[0]
    return plane
