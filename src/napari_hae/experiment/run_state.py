"""State of a run, from applying the journal's events in order."""

from __future__ import annotations

from collections import defaultdict
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any, Protocol

from napari_hae.coordinates import FieldFrame
from napari_hae.diagnostics import StepTimes
from napari_hae.experiment.attempts import Attempts
from napari_hae.experiment.event_values import (
    ending_of,
    exposures_of,
    image_again_of,
    number,
    proposal_of,
    regions_of,
    scan_of,
)
from napari_hae.experiment.history import (
    HistoryEvent,
    LastBegun,
    Retargeting,
    SettingsChange,
)
from napari_hae.experiment.insight import with_outcome
from napari_hae.experiment.journal_events import (
    Actor,
    BookedEvent,
    DiscardEvent,
    EndEvent,
    FinerEvent,
    JournalEvent,
    MapsEvent,
    MeasurementEvent,
    MetadataEvent,
    ProposalEvent,
    QueueEvent,
    RefusalEvent,
    RegionsEvent,
    ResumeEvent,
    SettingsEvent,
    StartEvent,
    SurveyAgainEvent,
    SurveyEvent,
    TargetsEvent,
    VetoEvent,
    VoteEvent,
    WarningEvent,
    WarningOverEvent,
)
from napari_hae.instruments.dose import Exposure
from napari_hae.metadata import NO_METADATA, Metadata, bounded, merged
from napari_hae.regions.regions import Regions
from napari_hae.types import (
    Area,
    ChosenBy,
    EnergyAxis,
    Measurement,
    ProbePosition,
    Proposal,
    ScanImage,
    Spectrum,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.experiment.drift import ImageAgain
    from napari_hae.experiment.ending import Ending
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.votes import Vote

Pixel = tuple[int, int]


class Sources(Protocol):
    """Data that events name: arrays, settings from their values, and files.

    Attributes
    ----------
    is_survey_damaged
        True if the survey image is NaN, because it could not be read.
    is_size_known
        False if it is damaged and its size is not known from elsewhere.
    """

    is_survey_damaged: bool
    is_size_known: bool

    def image(self, event: SurveyEvent) -> NDArray[np.float32]:
        """Return the survey image of a run, `(detectors, rows, columns)`."""

    def counts(self, event: MeasurementEvent) -> NDArray[np.float32]:
        """Return the spectrum of a measurement, `(channels,)`."""

    def settings(
        self, values: dict[str, Any], packages: dict[str, str]
    ) -> ExperimentSettings:
        """Return settings from their values. Raises `ValueError` if invalid."""

    def experience(self, name: str) -> str:
        """Return the path of the copied data. Raises `ValueError` for other names."""


class RunState:
    """Current state of a run, changed only by `apply`.

    Attributes
    ----------
    sources
        Source of the data that the next events name.
    first_settings, settings
        Settings at the start and now; None before the start.
    packages
        Packages of plugins, by kind and name.
    survey, survey_exposure
        The survey image and its exposure as the gate booked it; None before it; the
        exposure is also known if the image is damaged.
    surveys
        Number of survey images, repeated ones included.
    proposals
        Pending proposals, by step.
    measurements
        Measurements in order, with the targets in force.
    regions, vetoed, queue
        In force now; pixels `(row, column)`.
    attempts
        Number of refused answers of the agent, by step.
    regions_begun
        Regions in force at the start of each measurement.
    images_again
        Repeated survey images, in order.
    exposures
        All exposures except that of the survey image, as the gate booked them.
    booked
        Booked exposures of each measurement, by step.
    discarded, votes
        Judgements of the user, by step; never changed in place, so that any thread may
        read them.
    history
        History of the agent, in order, with the targets at that time.
    warnings
        All warnings.
    standing
        Warnings still in force, by subject.
    maps_known
        Number of measurements that each stored set of maps is based on, by step.
    ending
        End of the run; None while it runs.
    """

    def __init__(self, sources: Sources | None = None) -> None:
        self.sources = sources
        self.first_settings: ExperimentSettings | None = None
        self.settings: ExperimentSettings | None = None
        self._values: dict[str, Any] = {}
        self.packages: dict[str, str] = {}
        self.survey: ScanImage | None = None
        self.survey_exposure: Exposure | None = None
        self.surveys = 0
        self.proposals: dict[int, Proposal] = {}
        self.measurements: list[Measurement] = []
        self.regions = Regions()
        self.vetoed: set[Pixel] = set()
        self.queue: list[Pixel] = []
        self.attempts = Attempts()
        self.regions_begun: list[Regions] = []
        self.images_again: list[ImageAgain] = []
        self.exposures: list[Exposure] = []
        self.booked: dict[int, tuple[Exposure, ...]] = {}
        self.discarded: frozenset[int] = frozenset()
        self.votes: Mapping[int, Vote] = {}
        self.history: list[HistoryEvent] = []
        self.warnings: list[str] = []
        self.standing: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.maps_known: dict[int, int] = {}
        self.ending: Ending | None = None
        self._measured_pixels: set[Pixel] = set()
        self._metadata: Metadata = NO_METADATA
        self._queue_begun: tuple[Pixel, ...] | None = None
        self._settings_begun: ExperimentSettings | None = None

    @property
    def last_begun(self) -> LastBegun | None:
        """Return the state at the start of the last measurement, None before one."""
        settings = self._settings_begun
        if self._queue_begun is None or settings is None:
            return None
        return LastBegun(self._queue_begun, settings.plan, settings.loop)

    @property
    def taken_pixels(self) -> set[Pixel]:
        """Return the pixels that are measured, or pending."""
        under_way = ((p.row, p.column) for p in self.proposals.values())
        return self._measured_pixels.union(under_way)

    @property
    def frame(self) -> FieldFrame:
        """Return the coordinates of the survey image. Raises `ValueError` before it."""
        if self.survey is None:
            raise ValueError("it comes before the survey image")
        return FieldFrame.of(self.survey)

    def forget_outstanding(self) -> None:
        """Drop proposals without result: a resumed run asks for them again."""
        outstanding = {id(proposal) for proposal in self.proposals.values()}
        self.queue[:0] = [
            (proposal.row, proposal.column)
            for proposal in self.proposals.values()
            if proposal.chosen_by is ChosenBy.HUMAN
        ]
        self.history = [x for x in self.history if id(x) not in outstanding]
        self.proposals.clear()

    @singledispatchmethod
    def apply(self, event: JournalEvent) -> None:
        """Apply one event, the next one in the journal.

        Raises
        ------
        ValueError
            If it is not possible here, or the data it names are not available.
        """

    @apply.register
    def _on_start(self, event: StartEvent) -> None:
        _expect(self.first_settings is None, "the run begins a second time")
        self._values, self.packages = dict(event.settings), dict(event.packages)
        self._take_settings(event)
        self.first_settings = self.settings

    @apply.register
    def _on_resume(self, event: ResumeEvent) -> None:
        self.ending = None
        self.attempts.resume(event)
        self.forget_outstanding()

    @apply.register
    def _on_survey(self, event: SurveyEvent) -> None:
        sources = self._needed_sources
        self.survey = ScanImage(
            data=sources.image(event),
            detectors=event.detectors,
            fov_nm=event.fov_nm,
            dwell_time_s=event.dwell_time_s,
            area=Area(*event.area),
        )
        if not sources.is_survey_damaged:
            self.survey_exposure = scan_of(event, self.survey)
        self.surveys += 1

    @apply.register
    def _on_survey_again(self, event: SurveyAgainEvent) -> None:
        self.images_again.append(image_again_of(event))
        self.surveys = event.index + 1

    @apply.register
    def _on_proposal(self, event: ProposalEvent) -> None:
        proposal = proposal_of(event)
        pixel = proposal.row, proposal.column
        self._expect_going_on()
        self._expect_pixels(pixel)
        there = self.frame.pixel(proposal.position)
        _expect(
            there == pixel or not self._needed_sources.is_size_known,
            f"pixel {pixel} is proposed at {proposal.position}, which lies in {there}",
        )
        _expect(
            max(proposal.known, len(self.measurements)) <= proposal.step,
            f"step {proposal.step + 1} is proposed after {len(self.measurements)} "
            f"measurements, on {proposal.known} of them",
        )
        if proposal.chosen_by is ChosenBy.HUMAN and pixel in self.queue:
            self.queue.remove(pixel)
        self.proposals[proposal.step] = proposal
        self.history.append(proposal)

    @apply.register
    def _on_refusal(self, event: RefusalEvent) -> None:
        refused = self.proposals.pop(event.step, None)
        if refused is None:
            return
        self.attempts.refuse(refused, event)
        if event.reason.keeps_out:
            self.vetoed.add((refused.row, refused.column))

    @apply.register
    def _on_veto(self, event: VetoEvent) -> None:
        self._expect_pixels((event.row, event.column))
        self.vetoed.add((event.row, event.column))

    @apply.register
    def _on_booked(self, event: BookedEvent) -> None:
        self.exposures.append(Exposure.from_json(event.exposure))

    @apply.register
    def _on_measurement(self, event: MeasurementEvent) -> None:
        proposal = self.proposals.pop(event.step, None)
        if proposal is None:
            raise ValueError("the measurement has no proposal")
        _expect(
            event.step == len(self.measurements),
            f"step {len(self.measurements) + 1} is missing before step "
            f"{event.step + 1}",
        )
        self._expect_going_on()
        self._expect_in_field(event)
        spectrum = self._spectrum(event, proposal)
        measurement = Measurement(
            proposal=proposal,
            spectrum=spectrum,
            target=number(event.target),
            error=number(event.error),
            x_nm=event.x_nm,
            y_nm=event.y_nm,
            times=StepTimes(**event.times.model_dump()) if event.times else None,
            drift_nm=event.drift_nm,
        )
        measurement = with_outcome(measurement)
        booked = self.booked[event.step] = exposures_of(event, spectrum)
        self.exposures += booked
        self.measurements.append(measurement)
        self._measured_pixels.add((proposal.row, proposal.column))
        self.history.append(measurement)
        self._queue_begun, self._settings_begun = tuple(self.queue), self.settings
        self.regions_begun.append(self.regions)

    @apply.register
    def _on_metadata(self, event: MetadataEvent) -> None:
        self._metadata = bounded(event.metadata)

    @apply.register
    def _on_maps(self, event: MapsEvent) -> None:
        self._expect_measured(event.known - 1)
        self.maps_known[event.step] = event.known

    @apply.register
    def _on_settings(self, event: SettingsEvent) -> None:
        for section, change in event.changes.items():
            self._values[section] = change.new
        self.packages.update(event.packages)
        self._take_settings(event)
        assert self.settings is not None
        who = event.who or Actor.PROGRAM
        self.history.append(SettingsChange(event.step, who, self.settings))

    @apply.register
    def _on_targets(self, event: TargetsEvent) -> None:
        targets = tuple(map(number, event.targets))
        unknown: tuple[float | None, ...] = (None,) * len(targets)
        errors = tuple(map(number, event.errors or unknown))
        change = Retargeting(targets, errors)
        self.measurements = change.of(self.measurements)
        self.history.append(change)

    @apply.register
    def _on_regions(self, event: RegionsEvent) -> None:
        self.regions = regions_of(event.regions)

    @apply.register
    def _on_queue(self, event: QueueEvent) -> None:
        self.queue = list(event.pixels)
        self._expect_pixels(*self.queue)

    @apply.register
    def _on_vote(self, event: VoteEvent) -> None:
        self._expect_measured(event.of)
        self.votes = {**self.votes, event.of: event.vote}

    @apply.register
    def _on_discard(self, event: DiscardEvent) -> None:
        self._expect_measured(event.of)
        change = {event.of}
        kept = self.discarded - change
        self.discarded = kept | change if event.is_discarded else kept

    @apply.register
    def _on_finer(self, event: FinerEvent) -> None:
        self.vetoed.update(event.kept_out)
        self.queue = list(event.queue)
        self._expect_pixels(*self.vetoed, *self.queue)
        self.votes = {each.of: each.vote for each in event.votes}

    @apply.register
    def _on_warning(self, event: WarningEvent) -> None:
        self.warnings.append(event.text)
        if event.about:
            self.standing[event.about][event.text] = None

    @apply.register
    def _on_warning_over(self, event: WarningOverEvent) -> None:
        if event.about:
            self.standing.pop(event.about, None)

    @apply.register
    def _on_end(self, event: EndEvent) -> None:
        self.ending = ending_of(event)

    @property
    def _needed_sources(self) -> Sources:
        assert self.sources is not None
        return self.sources

    def _take_settings(self, event: StartEvent | SettingsEvent) -> None:
        """Put the values of the settings in force, with the record's own copies."""
        if event.experience:
            copy = self._needed_sources.experience(event.experience)
            self._values["model"] = {**self._values["model"], "earlier": copy}
        self.settings = self._needed_sources.settings(self._values, self.packages)

    def _spectrum(self, event: MeasurementEvent, proposal: Proposal) -> Spectrum:
        counts, own = self._needed_sources.counts(event), event.metadata
        return Spectrum(
            counts=counts,
            energy=EnergyAxis(
                event.energy_offset_ev, event.energy_dispersion_ev, len(counts)
            ),
            detector=event.detector,
            position=ProbePosition(*event.beam) if event.beam else proposal.position,
            exposure_s=event.exposure_s,
            dose_e=number(event.dose_e),
            metadata=bounded(merged(self._metadata, own)) if own else self._metadata,
        )

    def _expect_pixels(self, *pixels: Pixel) -> None:
        rows, columns = (0, 0) if self.survey is None else self.survey.shape
        for row, column in pixels:
            is_inside = 0 <= row < rows and 0 <= column < columns
            _expect(is_inside, f"pixel ({row}, {column}) is not in the survey image")

    def _expect_going_on(self) -> None:
        _expect(self.ending is None, "the run had ended before")

    def _expect_measured(self, step: int) -> None:
        is_measured = step < len(self.measurements)
        _expect(is_measured, f"step {step + 1} was not measured before")

    def _expect_in_field(self, event: MeasurementEvent) -> None:
        """Check that a measurement is in the field, or where drift may have moved it.

        The instrument may have reported another position in the field.
        """
        if event.beam:
            beam = ProbePosition(*event.beam)
            _expect(beam.is_inside, f"the beam at {beam} was not in the field of view")
        height_nm, width_nm = self.frame.field_nm
        for name, value_nm, side_nm in (
            ("y_nm", event.y_nm, height_nm),
            ("x_nm", event.x_nm, width_nm),
        ):
            is_near = -side_nm <= value_nm <= 2 * side_nm
            _expect(is_near, f"{name} is {value_nm:g}, far outside of the field")


def _expect(is_true: bool, otherwise: str) -> None:
    """Raise `ValueError` with the reason if an event is not possible."""
    if not is_true:
        raise ValueError(otherwise)
