"""The survey image that an experiment rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hae.experiment.settings import SurveySettings
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import ScanImage


def acquire_survey(instrument: GuardedInstrument, wanted: SurveySettings) -> ScanImage:
    """Acquire a survey image; what the settings leave open the instrument decides.

    Raises
    ------
    InstrumentError
        If the instrument cannot do it as asked.
    """
    able = instrument.capabilities()
    return instrument.acquire_survey(
        wanted.detectors or able.survey_detectors,
        wanted.shape or able.survey_shape,
        wanted.dwell_time_s,
    )
