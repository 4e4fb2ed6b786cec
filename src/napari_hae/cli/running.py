"""Commands that run experiments: `demo`, `run`, `resume`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hae.cli.exit_codes import DONE, FAILED
from napari_hae.cli.output import say
from napari_hae.cli.sections import given_sections
from napari_hae.cli.stopping import Stopping
from napari_hae.printable import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from pydantic import BaseModel

    from napari_hae.experiment.configuration import Configuration
    from napari_hae.experiment.runner import Runner
    from napari_hae.experiment.writer_lock import WriterLock


def demo(options: argparse.Namespace) -> int:
    """Run an experiment on the simulated microscope, in napari or with a report."""
    sections = _with_length({}, options)
    with Stopping() as stopping:
        if options.headless or not _has_display():
            return stopping.run(lambda: _headless_demo(options, sections, stopping))
        return stopping.run(lambda: _demo_in_window(options, sections, stopping))


def _demo_in_window(
    options: argparse.Namespace, sections: dict[str, Any], stopping: Stopping
) -> int:
    from napari_hae.experiment.record import check_free
    from napari_hae.gui.demo import show_demo

    if options.out is not None:
        check_free(options.out)
    show_demo(sections, options.out, stopping)
    return DONE


def _headless_demo(
    options: argparse.Namespace, sections: dict[str, Any], stopping: Stopping
) -> int:
    from napari_hae.experiment.configuration import configure
    from napari_hae.experiment.report import write_report
    from napari_hae.experiment.stored import open_run

    if not options.headless:
        say("There is no display: the demo runs without a window.")
    configuration = configure("simulated", sections)
    out = options.out or _free_path()
    code, path = _run_new(configuration, out, stopping, options.rescue)
    stopping.check()
    if path is None:
        say("There is no report: its record can be written no more.")
        return code
    report = path.with_suffix(".png")
    write_report(open_run(path), report)
    say(f"report: {report}")
    return code


def _has_display() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _free_path() -> Path:
    numbers = range(1, 10_000)
    return next(p for n in numbers if not (p := Path(f"demo-{n}.hae")).exists())


def run(options: argparse.Namespace) -> int:
    """Run a new experiment without a window."""
    from napari_hae.experiment.configuration import configure

    sections = _with_length(given_sections(options), options)
    configuration = configure(options.instrument, sections)
    out, folder = options.out, options.rescue
    with Stopping() as stopping:
        return stopping.run(lambda: _run_new(configuration, out, stopping, folder)[0])


def _with_length(
    sections: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    from napari_hae.experiment.configuration import assign

    if options.steps is not None:
        assign(sections, [f"budget.steps={options.steps}"])
    if options.seed is not None:
        assign(sections, [f"seed={options.seed}"])
    return sections


def _run_new(
    configuration: Configuration,
    out: Path,
    stopping: Stopping,
    rescue: Path | None = None,
) -> tuple[int, Path | None]:
    """Run to the end; return the exit code, and the record if it is complete."""
    from napari_hae.experiment.feasible import preflight
    from napari_hae.experiment.record import Record, check_free
    from napari_hae.experiment.runner import Runner
    from napari_hae.experiment.unattended import check_unattended
    from napari_hae.instruments.catalogue import guarded

    check_unattended(configuration.settings)
    check_free(out)
    instrument = guarded(configuration.instrument, configuration.instrument_settings)
    stopping.reach(lambda _: instrument.abort(), instrument.abort)
    try:
        # Connect before creating the record: a missing microscope leaves no empty run.
        instrument.connect()
        stopping.check()
        preflight(configuration.settings, instrument)
        record = Record.create(
            out,
            instrument=configuration.instrument,
            instrument_settings=configuration.instrument_settings,
            settings=configuration.settings,
        )
        runner = Runner(instrument, record, configuration.settings)
        code = _watch(runner, stopping, instrument.abort, rescue)
        return code, None if record.trouble else record.path
    finally:
        instrument.disconnect()


def resume(options: argparse.Namespace) -> int:
    """Continue an experiment from its record."""
    with Stopping() as stopping:
        return stopping.run(lambda: _go_on(options, stopping))


def _go_on(options: argparse.Namespace, stopping: Stopping) -> int:
    from napari_hae.experiment.stored import record_at
    from napari_hae.experiment.writer_lock import WriterLock

    # Lock before reading the record, so that no other writer adds to it.
    with WriterLock(record_at(options.record)) as lock:
        return _go_on_alone(options, stopping, lock)


def _go_on_alone(
    options: argparse.Namespace, stopping: Stopping, lock: WriterLock
) -> int:
    from napari_hae.experiment.configuration import changed
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.runner import Runner
    from napari_hae.experiment.stored import open_run
    from napari_hae.experiment.unattended import check_unattended
    from napari_hae.instruments.catalogue import guarded, recorded_settings_of

    past = open_run(options.record, trust=options.trust)
    done, budget = len(past.measurements), past.settings.budget
    steps = options.steps or budget.steps
    if steps <= done:
        raise ValueError(
            f"{past.path} has {done} steps already; give --steps above {done}"
        )
    past.expect_usable(with_instrument=True)
    budget = budget.model_copy(update={"steps": steps})
    settings = past.settings.model_copy(update={"budget": budget})
    settings = changed(settings, options.set)
    check_unattended(settings)
    recorded = recorded_settings_of(past.instrument, past.instrument_settings)
    instrument = guarded(past.instrument, _with_token(recorded, options.token_file))
    stopping.reach(lambda _: instrument.abort(), instrument.abort)
    try:
        instrument.connect()
        stopping.check()
        record = Record.reopen(past, lock=lock)
        runner = Runner(instrument, record, settings, past=past)
        return _watch(runner, stopping, instrument.abort, options.rescue)
    finally:
        instrument.disconnect()


def _with_token(settings: BaseModel, file: Path | None) -> BaseModel:
    """Return the settings with the token file, if one is given."""
    if file is None:
        return settings
    if "token_file" not in type(settings).model_fields:
        raise ValueError(
            "--token-file is for runs of the instrument 'remote'; this run is of "
            "another one"
        )
    return settings.model_copy(update={"token_file": file})


def _rescue(runner: Runner, folder: Path | None) -> str:
    """Save unwritten data elsewhere without asking, and report the place.

    Print only after saving: printing may fail or block.
    """
    refused = ""
    try:
        saved = runner.rescue(folder)
    except OSError as error:
        if folder is None:
            raise
        refused = f"{folder} cannot be written: {error}\n"
        saved = runner.rescue()
    return f"{refused}all spectra are saved: {saved}"


def _watch(
    runner: Runner,
    stopping: Stopping,
    blank: Callable[[], None],
    rescue: Path | None = None,
) -> int:
    """Run to the end with a progress bar, and print a summary."""
    from tqdm import tqdm

    from napari_hae.experiment.events import FinishReason
    from napari_hae.experiment.unattended import stop_in_pauses

    steps = runner.settings.budget.steps
    with tqdm(total=steps, unit="step", disable=None) as progress:

        def show(_: object = None) -> None:
            progress.update(len(runner.measurements) - progress.n)

        runner.events.measured.connect(show)
        runner.events.survey_acquired.connect(show)
        runner.events.warned.connect(lambda text: tqdm.write(printable(text)))
        stop_in_pauses(runner)
        stopping.reach(runner.interrupt, blank)
        runner.start()
        runner.wait()
        try:
            where = _rescue(runner, rescue) if runner.record.trouble else ""
        finally:
            progress.close()
            _sum_up(runner)
    if where:
        say(where)
        return FAILED
    good = {FinishReason.COMPLETED, FinishReason.EXHAUSTED}
    return DONE if runner.finish_reason in good else FAILED


def _sum_up(runner: Runner) -> None:
    measured, goal = runner.measurements, runner.settings.goal
    say(f"{runner.ending}\nspectra: {len(measured)}")
    usable = [m for m in measured if m.usable]
    if usable:
        best_target = goal.best([m.target for m in usable])
        best = next(m for m in usable if m.target == best_target)
        say(
            f"best target {best.target:.4g} at step {best.step + 1}, "
            f"x = {best.x_nm:.4g} nm, y = {best.y_nm:.4g} nm"
        )
    say(f"record: {runner.record.path}")
