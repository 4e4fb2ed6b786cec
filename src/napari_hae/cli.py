"""The command line: `napari-hae demo | run | resume | learn | forensics | …`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hae import __version__, plugins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.experiment.configuration import Configuration
    from napari_hae.experiment.runner import Runner
    from napari_hae.experiment.stored import StoredRun

DONE, FAILED, WRONG_USE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 2 for wrong use or 1 for a failed run."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    from napari_hae.experiment.journal import BrokenJournal
    from napari_hae.experiment.stored import NotARecord
    from napari_hae.instruments.base import InstrumentError

    try:
        return int(options.command(options))
    except InstrumentError as error:
        return _complain(error, FAILED)
    # A mistake of the user's, in words made for the user: settings, names, files.
    except (plugins.UnknownPlugin, NotARecord, BrokenJournal, ValueError) as error:
        return _complain(error, WRONG_USE)
    except OSError as error:
        return _complain(error, FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-hae",
        description="Human-in-the-loop automated experiments in electron microscopy.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="an experiment on the simulated microscope, in napari"
    )
    _add_run_length(demo, steps=60)
    demo.add_argument("--headless", action="store_true", help="without a window")
    demo.add_argument("--out", type=Path, metavar="RUN.hae", help="the record to write")
    demo.set_defaults(command=_demo)

    run = commands.add_parser("run", help="run an experiment without a window")
    names = plugins.names(plugins.INSTRUMENTS)
    run.add_argument("--instrument", required=True, choices=names, metavar="NAME")
    run.add_argument("--file", metavar="F", help="the spectrum image to replay")
    run.add_argument("--config", type=Path, metavar="FILE.toml", help="settings")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.NAME=VALUE",
        help="one setting, written as in TOML; may be given many times",
    )
    _add_run_length(run, steps=None)
    run.add_argument("--out", type=Path, required=True, metavar="RUN.hae")
    run.set_defaults(command=_run)

    resume = commands.add_parser("resume", help="go on with a run")
    resume.add_argument("record", type=Path, metavar="RUN.hae")
    resume.add_argument("--steps", type=_count, metavar="N", help="steps in all")
    resume.set_defaults(command=_resume)

    learn = commands.add_parser(
        "learn", help="make of records what the model of a new run begins with"
    )
    learn.add_argument("records", type=Path, nargs="+", metavar="RUN.hae")
    learn.add_argument("--out", type=Path, required=True, metavar="FILE.npz")
    learn.set_defaults(command=_learn)

    branch = commands.add_parser(
        "branch", help="go back to a step of a run, in a new record to resume"
    )
    branch.add_argument("record", type=Path, metavar="RUN.hae")
    branch.add_argument("--after", type=_count, required=True, metavar="N")
    branch.add_argument("--out", type=Path, required=True, metavar="NEW.hae")
    branch.set_defaults(command=_branch)

    info = commands.add_parser("info", help="what a record holds")
    info.add_argument("record", type=Path, metavar="RUN.hae")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(command=_info)

    forensics = commands.add_parser(
        "forensics", help="what a record's run did, why, and what else it might have"
    )
    forensics.add_argument("record", type=Path, metavar="RUN.hae")
    forensics.add_argument(
        "--out", type=Path, metavar="REPORT.html", help="default: beside the record"
    )
    forensics.add_argument(
        "--against",
        action="append",
        nargs="+",
        default=[],
        metavar="random | SECTION.NAME=VALUE",
        help="another agent from the same start, such as acquisition.kind=ucb; may be "
        "given many times. A random path is always there",
    )
    forensics.set_defaults(command=_forensics)

    export = commands.add_parser("export", help="write a record for HyperSpy")
    export.add_argument("record", type=Path, metavar="RUN.hae")
    export.add_argument("file", type=Path, metavar="FILE.hspy")
    export.set_defaults(command=_export)
    return parser


def _add_run_length(parser: argparse.ArgumentParser, steps: int | None) -> None:
    parser.add_argument(
        "--steps", type=_count, default=steps, metavar="N", help="spectra in all"
    )
    parser.add_argument("--seed", type=int, default=None, metavar="S")


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return count


def _complain(error: Exception, code: int) -> int:
    print(f"napari-hae: {error}", file=sys.stderr)
    return code


def _demo(options: argparse.Namespace) -> int:
    sections = _with_length({}, options)
    if not options.headless and _has_display():
        from napari_hae.gui.demo import show_demo

        show_demo(sections, options.out)
        return DONE
    from napari_hae.experiment.configuration import configure
    from napari_hae.experiment.report import write_report
    from napari_hae.experiment.stored import open_run

    if not options.headless:
        print("There is no display: the demo runs without a window.")
    code, path = _run_new(configure("simulated", sections), options.out or _free_path())
    report = path.with_suffix(".png")
    write_report(open_run(path), report)
    print(f"report: {report}")
    return code


def _has_display() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _free_path() -> Path:
    numbers = range(1, 10_000)
    return next(p for n in numbers if not (p := Path(f"demo-{n}.hae")).exists())


def _run(options: argparse.Namespace) -> int:
    from napari_hae.experiment.configuration import assign, configure, read_toml

    sections: dict[str, Any] = read_toml(options.config) if options.config else {}
    assign(sections, options.set)
    if options.file is not None:
        assign(sections, [f"instrument.file={json.dumps(options.file)}"])
    configuration = configure(options.instrument, _with_length(sections, options))
    return _run_new(configuration, options.out)[0]


def _with_length(
    sections: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    from napari_hae.experiment.configuration import assign

    if options.steps is not None:
        assign(sections, [f"budget.steps={options.steps}"])
    if options.seed is not None:
        assign(sections, [f"seed={options.seed}"])
    return sections


def _run_new(configuration: Configuration, out: Path) -> tuple[int, Path]:
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.runner import Runner
    from napari_hae.instruments.catalogue import guarded

    instrument = guarded(configuration.instrument, configuration.instrument_settings)
    # Before the record is made: a microscope that is not there leaves no empty run.
    instrument.connect()
    try:
        record = Record.create(
            out,
            instrument=configuration.instrument,
            instrument_settings=configuration.instrument_settings,
            settings=configuration.settings,
        )
        runner = Runner(instrument, record, configuration.settings)
        return _watch(runner), record.path
    finally:
        instrument.disconnect()


def _resume(options: argparse.Namespace) -> int:
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.runner import Runner
    from napari_hae.experiment.stored import open_run
    from napari_hae.instruments.catalogue import guarded, settings_of

    past = open_run(options.record)
    done, budget = len(past.measurements), past.settings.budget
    steps = options.steps or budget.steps
    if steps <= done:
        raise ValueError(
            f"{past.path} has {done} steps already; give --steps above {done}"
        )
    budget = budget.model_copy(update={"steps": steps})
    settings = past.settings.model_copy(update={"budget": budget})
    instrument = guarded(
        past.instrument, settings_of(past.instrument, past.instrument_settings)
    )
    _ = past.frame
    instrument.connect()
    try:
        record = Record.reopen(past.path, surveys=past.surveys)
        return _watch(Runner(instrument, record, settings, past=past))
    finally:
        instrument.disconnect()


def _branch(options: argparse.Namespace) -> int:
    from napari_hae.experiment.branch import branch

    print(f"written: {branch(options.record, options.after, options.out)}")
    return DONE


def _watch(runner: Runner) -> int:
    """Run to the end with a progress bar, and sum up."""
    from tqdm import tqdm

    from napari_hae.experiment.events import FinishReason

    steps = runner.settings.budget.steps
    with tqdm(total=steps, unit="step", disable=None) as progress:

        def show(_: object = None) -> None:
            progress.update(len(runner.measurements) - progress.n)

        runner.events.measured.connect(show)
        runner.events.survey_acquired.connect(show)
        runner.events.warned.connect(tqdm.write)
        runner.start()
        try:
            runner.wait()
        except KeyboardInterrupt:
            runner.abort()
            runner.wait()
    _sum_up(runner)
    return FAILED if runner.finish_reason is FinishReason.FAILED else DONE


def _sum_up(runner: Runner) -> None:
    measured, goal = runner.measurements, runner.settings.goal
    reason = f"{runner.finish_reason}"
    if runner.finish_text:
        reason += f": {runner.finish_text}"
    print(f"{reason} ({len(measured)} spectra)")
    usable = [m for m in measured if m.usable]
    if usable:
        best_target = goal.best([m.target for m in usable])
        best = next(m for m in usable if m.target == best_target)
        print(
            f"best target {best.target:.4g} at step {best.step + 1}, "
            f"x = {best.x_nm:.4g} nm, y = {best.y_nm:.4g} nm"
        )
    print(f"record: {runner.record.path}")


def _learn(options: argparse.Namespace) -> int:
    from napari_hae.experiment.learning import learn
    from napari_hae.experiment.stored import open_run

    experience = learn([open_run(record) for record in options.records])
    experience.save(options.out)
    print(f"learned from {experience}")
    print(f"written: {options.out}; use it by --set model.earlier={options.out}")
    return DONE


def _info(options: argparse.Namespace) -> int:
    from napari_hae.experiment.stored import open_run

    run = open_run(options.record)
    print(json.dumps(_as_json(run), indent=1) if options.json else _as_text(run))
    return DONE


def _as_json(run: StoredRun) -> dict[str, Any]:
    return {
        "instrument": run.instrument,
        "finish_reason": str(run.finish_reason) if run.finish_reason else None,
        "steps": len(run.measurements),
        "measurements": [
            {
                "step": m.step,
                "row": m.proposal.row,
                "column": m.proposal.column,
                "x_nm": m.x_nm,
                "y_nm": m.y_nm,
                "target": m.target if m.usable else None,
                "chosen_by": str(m.proposal.chosen_by),
                "dose": m.spectrum.dose_e if m.spectrum.dose_e >= 0 else None,
            }
            for m in run.measurements
        ],
    }


def _as_text(run: StoredRun) -> str:
    lines = [
        f"record       {run.path}",
        f"instrument   {run.instrument}",
        f"ended        {run.finish_reason or 'not'}"
        + (f": {run.finish_text}" if run.finish_text else ""),
        f"steps        {len(run.measurements)} of {run.settings.budget.steps}",
    ]
    if run.survey is not None:
        rows, columns = run.survey.shape
        height_nm, width_nm = run.survey.fov_nm
        lines.append(
            f"survey image {rows} × {columns} px, {height_nm:.4g} × {width_nm:.4g} nm, "
            + ", ".join(run.survey.detectors)
        )
    lines += [f"warning      {text}" for text in run.warnings]
    return "\n".join(lines)


def _forensics(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from napari_hae.experiment.forensics.analysis import analyse
    from napari_hae.experiment.forensics.counterfactual import changed_sections
    from napari_hae.experiment.forensics.page import write_page
    from napari_hae.experiment.forensics.words import summary
    from napari_hae.experiment.stored import open_run

    run = open_run(options.record)
    report = options.out or run.path.with_suffix(".html")
    if report.is_dir():
        raise ValueError(f"{report} is a directory; --out needs the name of a file")
    if not report.parent.is_dir():
        raise ValueError(f"there is no directory {report.parent} for the report")
    against = {
        ", ".join(words): changed_sections(run, words)
        for words in options.against
        if words != ["random"]
    }
    with tqdm(unit="step", disable=None) as progress:

        def show(what: str, done: int, total: int) -> None:
            progress.total = total
            progress.set_description(what, refresh=False)
            progress.update(done - progress.n)

        analysis = analyse(run, against, show)
    write_page(analysis, report)
    print("\n".join(summary(analysis)))
    print(f"report: {report}")
    return DONE


def _export(options: argparse.Namespace) -> int:
    from napari_hae.experiment.export import export_hspy
    from napari_hae.experiment.stored import open_run

    export_hspy(open_run(options.record), options.file)
    print(f"written: {options.file}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
