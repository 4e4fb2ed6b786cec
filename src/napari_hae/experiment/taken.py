"""What a run took of its dose, also where no result of it is kept.

What is booked stays booked. Of an exposure that was ended no measurement tells, so that
the journal does: a resumed run has to count it too.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_hae.instruments.dose import Exposure
from napari_hae.types import Area, dose_electrons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from napari_hae.experiment.journal import Entry
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import ProbePosition, ScanImage, Spectrum


@contextmanager
def booking(
    instrument: GuardedInstrument,
    where: ProbePosition | Area,
    beam_on_s: float,
    points: int,
    note: Callable[[Exposure, BaseException | None], None],
) -> Iterator[None]:
    """An exposure inside is noted if it was booked, with what kept it from a result."""
    dose_e = dose_of(instrument, beam_on_s)
    exposure, before_e = Exposure(where, beam_on_s, points, dose_e), instrument.dose_e
    failed: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failed = error
        raise
    finally:
        # NaN, where nobody knows the current, is unlike itself, and noted.
        if instrument.dose_e != before_e:
            note(exposure, failed)


def dose_of(instrument: GuardedInstrument, beam_on_s: float) -> float:
    """The electrons of an exposure; NaN where the instrument knows no current."""
    current_pa = instrument.capabilities().current_pa
    return math.nan if current_pa is None else dose_electrons(current_pa, beam_on_s)


def taken_before(
    survey: ScanImage | None, past: StoredRun | None
) -> Iterator[Exposure]:
    """What a run that rests on a survey image has taken before it begins."""
    if survey is not None:
        yield Exposure.of_scan(survey)
    if past is None:
        return
    for again in past.images_again:
        _, rows, columns = past.image(again.index).shape
        where = Area(*again.area)
        yield Exposure(where, again.scan_s, rows * columns, again.dose_e)
    yield from past.exposures


def exposures_of(entry: Entry, spectrum: Spectrum) -> list[Exposure]:
    """Those of a measurement in the journal, which may be of several places."""
    values = entry.get("exposures")
    if values is None:
        return [Exposure.of_spectrum(spectrum)]
    return [Exposure.from_json(each) for each in values]


def fields_of(exposures: Sequence[Exposure]) -> dict[str, Any]:
    """What the journal keeps of a measurement's, if its spectrum does not tell."""
    if len({each.where for each in exposures}) < 2:
        return {}
    return {"exposures": [each.to_json() for each in exposures]}
