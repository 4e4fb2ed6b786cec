"""Experiments run by a script, with the same runner, gate and record as the window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.export import to_hyperspy
from napari_hae.experiment.feasible import preflight
from napari_hae.experiment.record import Record, check_free
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.survey import acquire_survey
from napari_hae.experiment.unattended import check_unattended, stop_in_pauses
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.regions.disc import Disc
from napari_hae.regions.regions import Regions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_hae.agent.acquisition import AcquisitionFunction
    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.instruments import ChosenInstrument
    from napari_hae.regions.regions import Region
    from napari_hae.types import Measurement, PredictionMaps, ScanImage


class RunFailed(RuntimeError):
    """Error that ended a run; earlier measurements are in the record."""


class Experiment:
    """One run of the agent on an instrument, from a script or a notebook.

    Iterating runs the experiment and yields each measurement when it is on disk. The
    run does not wait for the loop's body; leaving the loop, also by an error, stops it.
    However the iteration ends, the beam is blanked and the instrument disconnected.

    Parameters
    ----------
    instrument
        One of `napari_hae.instruments`, such as `instruments.Simulated()`.
    target
        Scalarizer, which turns a spectrum into its target. None: that of `settings`.
    acquire
        Acquisition function. None: that of `settings`.
    steps
        Number of spectra. None: that of `settings`.
    out
        Directory of the record, which must not exist; `.hae` is added if missing.
    settings
        All other settings.

    Raises
    ------
    ValueError
        If the settings require the user's approval of each step, or `out` is not the
        name of a new directory.
    """

    def __init__(
        self,
        instrument: ChosenInstrument,
        *,
        target: Scalarizer | None = None,
        acquire: AcquisitionFunction | None = None,
        steps: int | None = None,
        out: Path | str,
        settings: ExperimentSettings | None = None,
    ) -> None:
        settings = settings or ExperimentSettings()
        budget = settings.budget
        if steps is not None:
            budget = type(budget).model_validate({**dict(budget), "steps": steps})
        self.settings = settings.replaced(
            scalarizer=target or settings.scalarizer,
            acquisition=acquire or settings.acquisition,
            budget=budget,
        )
        check_unattended(self.settings)
        check_free(Path(out))
        self._instrument = instrument
        self._gate = GuardedInstrument(instrument.make())
        self._out = Path(out)
        self._regions = Regions()
        self._survey: ScanImage | None = None
        self._runner: Runner | None = None

    def survey(self) -> ScanImage:
        """Return the survey image for positions; the first call acquires it.

        Connects the instrument. Raises the same errors as iterating before the first
        spectrum.
        """
        if self._survey is None:
            try:
                self._gate.connect()
                preflight(self.settings, self._gate)
                self._survey = acquire_survey(self._gate, self.settings.survey)
            except BaseException:
                self.close()
                raise
        return self._survey

    def close(self) -> None:
        """Blank the beam and disconnect; also done at the end of the iteration."""
        self._gate.disconnect()

    def forbid(self, *regions: Region | Disc) -> None:
        """Forbid the beam in regions, at once if the experiment runs.

        They refer to the survey image, which is acquired before they are in force.
        """
        zones = [x.around() if isinstance(x, Disc) else x for x in regions]
        forbidden = (*self._regions.forbidden, *zones)
        self._set_regions(replace(self._regions, forbidden=forbidden))

    def restrict_to(self, *regions: Region | Disc) -> None:
        """Allow only these regions and those allowed before; see `forbid`."""
        allowed = [x.within() if isinstance(x, Disc) else x for x in regions]
        interest = (*self._regions.interest, *allowed)
        self._set_regions(replace(self._regions, interest=interest))

    def _set_regions(self, regions: Regions) -> None:
        self.survey()
        self._regions = regions
        if self._runner is not None:
            self._runner.set_regions(regions)

    def __iter__(self) -> Iterator[Measurement]:
        """Run the experiment, and yield each measurement when it is on disk.

        Raises
        ------
        RunFailed
            If an error ended the run.
        RuntimeError
            If the experiment has already run.
        ValueError
            If the instrument cannot do what the settings require.
        InstrumentError
            If the instrument cannot be connected.
        """
        if self._runner is not None:
            raise RuntimeError(f"the experiment ran already: its record is {self.path}")
        try:
            runner = self._runner = self._prepared()
            results: SimpleQueue[Measurement | None] = SimpleQueue()
            runner.events.measured.connect(results.put)
            runner.events.finished.connect(lambda *_: results.put(None))
            stop_in_pauses(runner)
            runner.start()
            try:
                while (measurement := results.get()) is not None:
                    yield measurement
            except GeneratorExit:
                runner.stop(why="the script left the loop")
                raise
            except BaseException:
                runner.abort()
                raise
            finally:
                runner.wait()
                if runner.record.trouble:
                    runner.rescue()
        finally:
            self.close()
        if runner.finish_reason is FinishReason.FAILED:
            saved = runner.record.saved_at
            where = f" All spectra are saved: {saved}" if saved else ""
            raise RunFailed(runner.finish_text + where)

    def _prepared(self) -> Runner:
        survey = self.survey()
        record = Record.create(
            self._out,
            instrument=self._instrument.name,
            instrument_settings=self._instrument.settings,
            settings=self.settings,
        )
        return Runner(
            self._gate, record, self.settings, survey=survey, regions=self._regions
        )

    def run(self) -> Self:
        """Run the experiment to its end. Raises the same errors as iterating."""
        for _ in self:
            pass
        return self

    @property
    def path(self) -> Path:
        """Return the directory of the record, or of its copy after a write failure."""
        if self._runner is None:
            return self._out
        return self._runner.record.saved_at or self._runner.record.path

    def stored(self) -> StoredRun:
        """Return the record so far, from disk. Raises `NotARecord` before the run."""
        return open_run(self.path)

    def maps(self) -> PredictionMaps | None:
        """Return the newest predicted maps; None before the agent has a model."""
        return None if self._runner is None else self._runner.latest_maps

    def table(self) -> Any:
        """Return a `pandas.DataFrame` with a row per measurement, positions in nm."""
        from pandas import DataFrame

        measured = () if self._runner is None else self._runner.measurements
        return DataFrame(
            {
                "step": [m.step for m in measured],
                "x_nm": [m.x_nm for m in measured],
                "y_nm": [m.y_nm for m in measured],
                "target": [m.target for m in measured],
                "chosen_by": [str(m.proposal.chosen_by) for m in measured],
            }
        )

    def to_hyperspy(self) -> Any:
        """Return a HyperSpy signal of the spectra; see `experiment.export`."""
        return to_hyperspy(self.stored())
