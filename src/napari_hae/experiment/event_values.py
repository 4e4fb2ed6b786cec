"""Conversion of the journal's events to the objects that a run uses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_hae.diagnostics import Insight
from napari_hae.experiment.drift import ImageAgain
from napari_hae.experiment.ending import Ending
from napari_hae.instruments.dose import Exposure, mark_of
from napari_hae.regions.regions import Regions
from napari_hae.types import ProbePosition, Proposal

if TYPE_CHECKING:
    from napari_hae.experiment.journal_events import (
        EndEvent,
        MeasurementEvent,
        ProposalEvent,
        RegionsValues,
        SurveyAgainEvent,
        SurveyEvent,
    )
    from napari_hae.types import ScanImage, Spectrum


def number(value: float | None) -> float:
    """Return a number of an event, NaN for None."""
    return math.nan if value is None else value


def proposal_of(event: ProposalEvent) -> Proposal:
    """Return the proposal of an event."""
    insight = event.insight
    return Proposal(
        step=event.step,
        row=event.row,
        column=event.column,
        position=ProbePosition(event.x, event.y),
        mean=number(event.mean),
        std=number(event.std),
        value=number(event.value),
        best=number(event.best),
        chosen_by=event.chosen_by,
        known=event.known,
        insight=Insight.from_json(insight.model_dump()) if insight else None,
    )


def image_again_of(event: SurveyAgainEvent) -> ImageAgain:
    """Return the repeated survey image of an event."""
    return ImageAgain(
        step=event.step,
        index=event.index,
        scan_s=event.scan_s,
        dose_e=number(event.dose_e),
        area=event.area,
        at_s=event.at_s,
        is_fiducial=event.is_fiducial,
        is_asked=event.who is not None,
        is_anew=event.is_anew,
        offset_nm=event.offset_nm,
        correlation=number(event.correlation),
        against=event.against,
        refusal=event.refusal,
        waited_s=event.waited_s,
    )


def regions_of(values: RegionsValues) -> Regions:
    """Return the regions of an event. Raises `ValueError` if they are too large."""
    return Regions.from_json(values.model_dump(exclude_unset=True))


def ending_of(event: EndEvent) -> Ending:
    """Return the ending of an event."""
    return Ending(event.reason, event.text, event.aborted_by, event.at_step, event.beam)


def scan_of(event: SurveyEvent, image: ScanImage) -> Exposure:
    """Return the exposure of a survey image."""
    if event.booked is None:
        return Exposure.of_scan(image)
    return replace(Exposure.from_json(event.booked), mark=mark_of(image.data))


def exposures_of(event: MeasurementEvent, spectrum: Spectrum) -> tuple[Exposure, ...]:
    """Return the exposures of a measurement, possibly at several places."""
    if event.exposures is not None:
        return tuple(Exposure.from_json(each) for each in event.exposures)
    if event.booked is not None:
        booked = Exposure.from_json(event.booked)
        return (replace(booked, mark=mark_of(spectrum.counts)),)
    return (Exposure.of_spectrum(spectrum),)
