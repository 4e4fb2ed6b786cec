"""Dose bookkeeping, including exposures without result.

Bookings are final. The gate's own booking is in the journal, and a resumed run counts
it, regardless of the dose that an instrument reports for its spectra. An aborted
exposure leaves no measurement, so that it has its own event in the journal.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_hae.instruments.dose import Exposure
from napari_hae.types import Area

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_hae.experiment.stored import StoredRun
    from napari_hae.instruments.dose import ExposureValues
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import ScanImage


@contextmanager
def booking(
    instrument: GuardedInstrument,
    note: Callable[[Exposure, BaseException | None], None],
) -> Iterator[None]:
    """Note a booked exposure of the block, with the error that prevented a result."""
    before, failed = instrument.booked, None
    try:
        yield
    except BaseException as error:
        failed = error
        raise
    finally:
        booked = instrument.booked
        if booked is not None and booked is not before:
            note(booked, failed)


def taken_before(
    survey: ScanImage | None, past: StoredRun | None
) -> Iterator[Exposure]:
    """Return the exposures before the run begins, on an existing survey image."""
    if past is None:
        if survey is not None:
            yield Exposure.of_scan(survey)
        return
    if past.survey_exposure is not None:
        yield past.survey_exposure
    for again in past.images_again:
        _, rows, columns = past.image(again.index).shape
        where = Area(*again.area)
        yield Exposure(where, again.scan_s, rows * columns, again.dose_e)
    yield from past.exposures


def booked_values(
    exposures: Sequence[Exposure],
) -> tuple[ExposureValues | None, tuple[ExposureValues, ...] | None]:
    """Return the booking of a measurement for its event: summed, or one per place.

    Exposures at one place are summed, as the data of the spectrum are.
    """
    if not exposures:
        return None, None
    if len({each.where for each in exposures}) > 1:
        return None, tuple(each.to_json() for each in exposures)
    together = replace(
        exposures[0],
        beam_on_s=math.fsum(each.beam_on_s for each in exposures),
        dose_e=math.fsum(each.dose_e for each in exposures),
        mark="",
    )
    return together.to_json(), None
