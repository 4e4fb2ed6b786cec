"""Writes the records of `format_2`; runs with version 0.1.0 only.

Usage: `python make_format_2.py FOLDER`, with 0.1.0 on `PYTHONPATH`. The records are
made in the folder, which must be empty, and packed there: each as `NAME.tar.xz` beside
`NAME.json`, what `napari-hae info --json NAME.hae` prints, and `NAME.state.json`, what
else 0.1.0 reads of it. Commands and records use relative paths, so that nothing of the
machine is in them.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_hae import __version__
from napari_hae.agent.acquisition import LogExpectedImprovement, UpperConfidenceBound
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.cli import main as napari_hae
from napari_hae.experiment.events import RunState
from napari_hae.experiment.finer import (
    acquire_finer,
    back_from_finer,
    begin_finer,
)
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import (
    Budget,
    DriftSettings,
    ExperimentSettings,
    LoopSettings,
    MeasurementSettings,
    SurveySettings,
)
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.survey import acquire_survey
from napari_hae.experiment.votes import Vote
from napari_hae.instruments.base import InstrumentError
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.simulated import SimulatedMicroscope
from napari_hae.instruments.simulated_settings import SimulatedSettings
from napari_hae.regions.regions import (
    AdjustedRegion,
    MaskRegion,
    PolygonRegion,
    Regions,
    SoftRegion,
)
from napari_hae.types import Area, BeamState

FOV_NM = 120.0
SIDE = 48
TORN = '{"event": "measurement", "time": "2026-'


def until(condition):
    end_s = time.monotonic() + 120
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError
        time.sleep(0.002)


def microscope(*, side=SIDE, bare=SimulatedMicroscope, **settings):
    of_it = SimulatedSettings(shape=(side, side), fov_nm=FOV_NM, **settings)
    instrument = GuardedInstrument(bare(of_it))
    instrument.connect()
    return instrument, of_it


def experiment(steps, **sections):
    return ExperimentSettings(
        initial=InitialDesign(points=4),
        budget=Budget(steps=steps),
        loop=sections.pop("loop", LoopSettings(maps_every=12)),
        survey=SurveySettings(detectors=("HAADF",), dwell_time_s=2e-5),
        **sections,
    )


def runner_of(name, instrument, instrument_settings, settings, **more):
    record = Record.create(
        Path(f"{name}.hae"),
        instrument="simulated",
        instrument_settings=instrument_settings,
        settings=settings,
    )
    return Runner(instrument, record, settings, **more)


def gone_on(name, instrument, steps, **more):
    past = open_run(Path(f"{name}.hae"))
    settings = past.settings.replaced(budget=Budget(steps=steps))
    record = Record.reopen(past.path, surveys=past.surveys)
    return Runner(instrument, record, settings, past=past, **more)


def begin_paused(runner):
    runner.start(paused=True)
    until(lambda: runner.state is RunState.PAUSED)


def take(runner, steps):
    """Take steps one by one, as by the button."""
    for _ in range(steps):
        wanted = len(runner.measurements) + 1
        runner.step()
        until(
            lambda wanted=wanted: (
                len(runner.measurements) == wanted and runner.state is RunState.PAUSED
            )
        )


def ask(runner, event, order, *arguments, **more):
    """Order something at a pause, and wait for its line in the journal."""

    def lines():
        return sum(entry["event"] == event for entry in runner.record.noted)

    before = lines()
    order(*arguments, **more)
    until(lambda: lines() > before)


def end(runner, reason):
    runner.resume()
    assert runner.wait(300)
    print(runner.record.path, runner.finish_reason, runner.finish_text)
    assert runner.finish_reason.value == reason, runner.finish_text


def rectangle(name, top_nm, left_nm, bottom_nm, right_nm):
    corners = [
        (top_nm, left_nm),
        (top_nm, right_nm),
        (bottom_nm, right_nm),
        (bottom_nm, left_nm),
    ]
    return PolygonRegion(name, (np.array(corners, dtype=float),))


def painted(name, rows, columns):
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[rows, columns] = True
    per_nm = SIDE / FOV_NM
    return MaskRegion(name, mask, np.array([[per_nm, 0, -0.5], [0, per_nm, -0.5]]))


def steered():
    """Drift, regions, votes, places, settings, vetoes, an image of a finer field."""
    instrument, of_it = microscope(
        drift_x_nm_per_s=6.0, drift_y_nm_per_s=-4.0, random_walk_nm=0.2
    )
    settings = experiment(30, drift=DriftSettings(every=4))
    runner = runner_of("steered", instrument, of_it, settings, attended=True)
    begin_paused(runner)
    take(runner, 3)
    ask(runner, "survey_again", runner.survey_again, why="to see how it drifts")
    interest = rectangle("particles", 5, 5, 115, 115)
    soft = SoftRegion(painted("edges", slice(10, 30), slice(20, 44)), 1.5)
    first = Regions(interest=(interest,), soft=(soft,))
    runner.set_regions(first, why="support film outside")
    take(runner, 3)
    zone = AdjustedRegion(
        painted("beam-sensitive", slice(42, 46), slice(42, 46)), grow_nm=2.0
    )
    runner.set_regions(Regions((interest,), (zone,), (soft,)), why="it was damaged")
    # The zone closes the whole image: no image is taken again, with a warning.
    ask(runner, "warning", runner.survey_again)
    runner.configure(
        runner.settings.replaced(
            drift=DriftSettings(every=4, fiducial=(0.05, 0.15, 0.75, 0.85)),
            acquisition=UpperConfidenceBound(beta=3.0),
        ),
        why="the zone closes the image",
    )
    ask(runner, "survey_again", runner.survey_again, why="with a fiducial region")
    places = [(20, 21), (30, 12), (12, 30)]
    ask(runner, "queue", runner.measure_next, places, why="it looks bright")
    runner.reorder_queue([(12, 30), (20, 21)])
    take(runner, 3)
    runner.vote(0, Vote.BAD, why="only support")
    runner.vote(4, Vote.GOOD, why="a clear corner mode")
    runner.configure(runner.settings.replaced(scalarizer=SimilarityToVotes(weight=0.5)))
    take(runner, 1)
    runner.vote(6, Vote.GOOD)
    runner.vote(6, Vote.NEUTRAL, why="I looked again")
    runner.discard(2, why="the beam was not settled")
    take(runner, 1)
    runner.discard(2, is_discarded=False)
    runner.discard(1, why="on the edge of the field")
    take(runner, 1)
    approved(runner)
    runner.configure(runner.settings.replaced(loop=LoopSettings(maps_every=12)))
    take(runner, 1)
    runner.stop()
    end(runner, "stopped")
    instrument.disconnect()


def approved(runner):
    """Ask before each step: say yes, veto, go alone, keep another place out."""
    asks = LoopSettings(approve=True, maps_every=12)
    runner.configure(runner.settings.replaced(loop=asks), why="to see each place")
    done = len(runner.measurements)
    runner.resume()
    until(lambda: runner.state is RunState.WAITING)
    vetoed = runner.latest_proposal
    runner.veto(why="it lies on a hole")
    until(
        lambda: (
            runner.state is RunState.WAITING and runner.latest_proposal is not vetoed
        )
    )
    runner.pause()
    runner.approve()
    until(lambda: runner.state is RunState.PAUSED)
    assert len(runner.measurements) == done + 1
    ask(runner, "veto", runner.keep_out, 25, 25, why="a crack in the film")
    runner.resume()
    until(lambda: runner.state is RunState.WAITING)
    runner.go_alone(2, why="it does well")
    until(
        lambda: (
            len(runner.measurements) == done + 3 and runner.state is RunState.WAITING
        )
    )
    # An order while a proposal waits: that one is dropped.
    runner.pause()
    runner.measure_next([(8, 8), (15, 15)])
    until(lambda: runner.state is RunState.PAUSED)


def finer():
    """A finer image of a part of the field of `steered`, and back from it."""
    past = open_run(Path("steered.hae"))
    instrument, of_it = microscope(noise_seed=1)
    area = Area(0.1, 0.1, 0.6, 0.6)
    image = acquire_finer(instrument, past.survey, area, 2e-5)
    soft = SoftRegion(rectangle("edges", 30, 30, 60, 60), -1.0)
    path = begin_finer(
        past,
        image,
        Path("finer.hae"),
        instrument_settings=of_it,
        regions=Regions(soft=(soft,)),
        why="the corner in detail",
    )
    taken = len(open_run(path).measurements)
    runner = gone_on("finer", instrument, taken + 6)
    runner.start()
    end(runner, "completed")
    back_from_finer(Path("steered.hae"), path, why="the rest of the field")
    instrument.disconnect()
    instrument, _ = microscope()
    runner = gone_on("steered", instrument, len(past.measurements) + 4)
    begin_paused(runner)
    take(runner, 1)
    # Later than that, a zone on a sample that drifts would close the whole field.
    (zone,) = past.regions.forbidden
    off = replace(past.regions, forbidden=(replace(zone, is_on=False),))
    ask(runner, "regions", runner.set_regions, off, why="it was no damage")
    end(runner, "completed")
    instrument.disconnect()


def branched():
    """What if `steered` had gone on otherwise after 8 steps."""
    command("branch", "steered.hae", "--after", "8", "--out", "branched.hae")
    command("resume", "branched.hae", "--steps", "12")


def aborted():
    """Aborted while the beam is on: an exposure is booked that has no spectrum."""
    instrument, of_it = microscope(side=32, realtime=True)
    settings = experiment(12, measurement=MeasurementSettings(exposure_s=0.01))
    runner = runner_of("aborted", instrument, of_it, settings)
    begin_paused(runner)
    take(runner, 9)
    long = MeasurementSettings(exposure_s=30.0)
    runner.configure(runner.settings.replaced(measurement=long))
    runner.step()
    until(lambda: instrument.status().beam is BeamState.ON)
    runner.abort()
    assert runner.wait(60)
    print(runner.record.path, runner.finish_reason, runner.finish_text)
    instrument.disconnect()


def killed():
    """The process ends while the beam is on, and while a line is written."""
    subprocess.run([sys.executable, __file__, "--killed"], check=False)
    with Path("killed.hae/journal.jsonl").open("a") as journal:
        journal.write(TORN)


def until_killed():
    instrument, of_it = microscope(side=32)
    runner = runner_of("killed", instrument, of_it, experiment(12))
    runner.events.proposed.connect(lambda p: os._exit(1) if p.step == 8 else None)
    runner.start()
    runner.wait()


def exhausted():
    """Begun with what was learned of `aborted`; places of the region are used up."""
    command("learn", "aborted.hae", "--out", "learned.npz")
    instrument, of_it = microscope(side=32, noise_seed=2)
    settings = experiment(
        40,
        measurement=MeasurementSettings(relative_error=0.05, longest_exposure_s=0.5),
    )
    settings = settings.replaced(
        model=settings.model.model_copy(update={"earlier": Path("learned.npz")}),
        acquisition=LogExpectedImprovement(),
    )
    corner = Regions(interest=(rectangle("corner", 40, 40, 53, 53),))
    survey = acquire_survey(instrument, settings.survey)
    runner = runner_of(
        "exhausted", instrument, of_it, settings, survey=survey, regions=corner
    )
    runner.start()
    end(runner, "exhausted")
    instrument.disconnect()


class Breaking(SimulatedMicroscope):
    """Its sample jumps in the third exposure, and it breaks in the sixth."""

    exposed = 0

    def _spectrum_at(self, *arguments, **more):
        self.exposed += 1
        if self.exposed == 3:
            self._drift.offset_nm = self._drift.offset_nm + 50.0
        if self.exposed == 6:
            raise InstrumentError("the camera does not answer")
        return super()._spectrum_at(*arguments, **more)


def failed():
    """The sample is lost, and the instrument breaks."""
    instrument, of_it = microscope(side=32, bare=Breaking)
    settings = experiment(12, drift=DriftSettings(every=2))
    runner = runner_of("failed", instrument, of_it, settings)
    runner.start()
    end(runner, "failed")
    instrument.disconnect()


def command(*words):
    """What a command prints; it must succeed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert napari_hae(list(words)) == 0, words
    return out.getvalue()


def state_of(path):
    """What 0.1.0 reads of a record beside what `info` prints."""
    run = open_run(path)
    return {
        "settings": run.settings.model_dump(mode="json"),
        "first_settings": run.first_settings.model_dump(mode="json"),
        "regions": run.regions.to_json(),
        "vetoed": sorted(run.vetoed),
        "queue": run.queue,
        "votes": {str(step): str(vote) for step, vote in run.votes.items()},
        "discarded": sorted(run.discarded),
        "surveys": run.surveys,
        "warnings": run.warnings,
        "beam_on_s": sum(exposure.beam_on_s for exposure in run.exposures),
        "images_again": [[image.index, image.offset_nm] for image in run.images_again],
    }


def pack(name):
    path = Path(f"{name}.hae")
    state = json.dumps(state_of(path), indent=1, ensure_ascii=False)
    # The copy of what a run has learned from is named by its whole path.
    state = state.replace(f"{Path.cwd()}{os.sep}", "")
    Path(f"{name}.state.json").write_text(state + "\n", encoding="utf-8")
    Path(f"{name}.json").write_text(command("info", "--json", str(path)))

    def nobodys(member):
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    with tarfile.open(f"{name}.tar.xz", "w:xz", preset=9) as archive:
        for each in (path, *sorted(path.rglob("*"))):
            archive.add(each, recursive=False, filter=nobodys)


RECORDS = (steered, finer, branched, aborted, killed, exhausted, failed)


def main():
    assert __version__ == "0.1.0", f"this is version {__version__}"
    if sys.argv[1:] == ["--killed"]:
        return until_killed()
    script = Path(__file__).resolve()
    globals()["__file__"] = str(script)
    os.chdir(sys.argv[1])
    assert not list(Path().iterdir()), "the folder is not empty"
    for make in RECORDS:
        make()
    for make in RECORDS:
        pack(make.__name__)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        # A run that waits for its person would keep the process.
        os._exit(1)
