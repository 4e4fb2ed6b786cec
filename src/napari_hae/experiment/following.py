"""Takes the survey image again, finds the sample in it, and lets the beam follow."""

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
"""After so long without an exposure nothing is known of where the sample went."""
OF_FIELD = 0.1
"""What counts as far where a person said nothing: this share of the field's side."""
KEPT = 0.25
"""The reference is replaced when the sample has moved so far in it, of its side."""
MOVED_PX = 0.25
"""A place that is exposed is followed when it has moved on by so much."""


_LEFT_OUT = ForbiddenPosition, LocalDoseExceeded, Unsupported, NotRegistered
"""What keeps an image from being taken, and does not end the run."""
NO_IMAGE, NOT_FOUND, FAR = "no image again", "sample not found", "drifted far"
"""What warnings are about that stand until an image says otherwise."""
_ADVICE = (
    "Choose a fiducial region outside of what is closed or took its dose, or take no "
    "images again. The run goes on with what is known of the drift."
)


@dataclass(frozen=True)
class _Reference:
    """An image that others are registered to."""

    plane: NDArray[np.float32]
    offset_px: NDArray[np.float64]
    index: int


class Following:
    """Knows where the sample is now; used by the experiment's thread.

    Parameters
    ----------
    field
        Is told where the sample is.
    is_fresh
        Whether the survey image was taken just now.
    past
        The run that is gone on with.
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
        """What is known since the last image."""
        self.waited_s = 0.0
        """For how long a person was waited for since then."""
        self.proposed_at: list[Moved] = []
        """Where the sample was when each measurement of the past run was proposed."""
        if past is not None:
            self._take_up(past)

    @property
    def time_s(self) -> float:
        """Seconds of exposing and scanning since the first survey image."""
        return self._exposed_s + self.drift.scanned_s

    def exposed(self, exposure_s: float) -> None:
        """An exposure is over."""
        self._exposed_s += exposure_s
        self._busy_s = time.time()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A person is waited for, and nobody looks after the sample."""
        begin_s = time.monotonic()
        try:
            yield
        finally:
            self.waited_s += time.monotonic() - begin_s

    def move(self) -> None:
        """Let the gate and the mask follow to where the sample is now."""
        self._move(self._drift_now)

    def track(self, place: ProbePosition) -> Callable[[float], ProbePosition | None]:
        """Tells where a place is after an exposure of so many seconds from now on.

        None as long as the beam may stay. Called on the beam's thread; where it goes
        follows from what is known now, so that the same run gives the same positions.
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
        """Whether the image is to be taken again before a step.

        At once, then after 1, 2, 4 … steps until these are as many as wanted: the speed
        of the drift is known early.
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
        """Take the image again; whether the sample was found, if it was looked for.

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
            # At each step anew it would only hide other warnings.
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
        """How far zones are grown by waiting, in words."""
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
        # After a long pause zones would else close every image, and nobody could look.
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
        """Keep an image; what is known of it before it is looked at."""
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
        """How far the sample may be from where it is expected.

        After a while in which nobody looked, as far as an image can show.
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
        """Follow what an image says, now or when the run is taken up again."""
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
        """Warn of what a person should know."""
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
        """Go on as the stored run would have.

        The field is left as it was when the last measurement was begun.
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
