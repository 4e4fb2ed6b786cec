"""Parser of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hae import plugins
from napari_hae.cli import exit_codes, records, running, serving, settings_list
from napari_hae.instruments.bridge import PORT, token
from napari_hae.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[[argparse.Namespace], int]
    AddCommand = Callable[[str, Command, str], argparse.ArgumentParser]


WITH_TOKEN = ("serve", "resume")
"""Commands that take the option `--token-file`."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; its result holds the command as `command(options)`."""
    parser = argparse.ArgumentParser(
        prog="napari-hae",
        description="Human-in-the-loop automated experiments in electron microscopy.",
        epilog=exit_codes.EXPLAINED,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add_command(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        # With abbreviations allowed, --token would be read as --token-file, and the
        # secret would be stored as a file name.
        added = commands.add_parser(
            name,
            help=text,
            allow_abbrev=name not in WITH_TOKEN,
            epilog=exit_codes.EXPLAINED,
        )
        added.set_defaults(command=command)
        return added

    for add in (
        _add_demo,
        _add_run,
        _add_resume,
        _add_serve,
        _add_learn,
        _add_branch,
        _add_info,
        _add_forensics,
        _add_export,
        _add_settings,
    ):
        add(add_command)
    return parser


def _add_demo(add_command: AddCommand) -> None:
    demo = add_command(
        "demo",
        running.demo,
        "an experiment on the simulated microscope, in napari",
    )
    _add_run_length(demo, steps=60)
    demo.add_argument("--headless", action="store_true", help="without a window")
    demo.add_argument("--out", type=Path, metavar="RUN.hae", help="the record to write")
    _add_rescue(demo, only="with --headless: ")


def _add_run(add_command: AddCommand) -> None:
    run = add_command("run", running.run, "run an experiment without a window")
    _add_instrument(run)
    _add_run_length(run, steps=None)
    run.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="RUN.hae",
        help="the record to write; there must be none of that name",
    )
    _add_rescue(run)


def _add_resume(add_command: AddCommand) -> None:
    resume = add_command("resume", running.resume, "go on with a run")
    _add_record(resume)
    _add_trust(resume)
    resume.add_argument("--steps", type=_count, metavar="N", help="steps in all")
    resume.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the file with the token, for a run of the instrument 'remote'; without: "
        f"the variable {token.VARIABLE}",
    )
    _add_set(resume)
    _add_rescue(resume)


def _add_serve(add_command: AddCommand) -> None:
    serve = add_command(
        "serve",
        serving.serve,
        "offer this PC's microscope to the instrument 'remote' elsewhere",
    )
    _add_instrument(serve)
    serve.add_argument(
        "--host",
        default=serving.LOOPBACK,
        help="the address to listen at; by default only programs on this PC, and an "
        "SSH tunnel, reach the server",
    )
    serve.add_argument(
        "--port", type=_port, default=PORT, help="default %(default)s; 0: any"
    )
    serve.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="where the token is kept; made if there is none. Without: the variable "
        f"{token.VARIABLE}, else a token is made up and printed",
    )
    serve.add_argument(
        "--watchdog",
        type=_seconds,
        default=serving.WATCHDOG_S,
        metavar="SECONDS",
        help="so long may a client be silent before the beam is blanked and the "
        "microscope is free again; default %(default)g",
    )


def _add_learn(add_command: AddCommand) -> None:
    learn = add_command(
        "learn",
        records.learn,
        "make of records what the model of a new run begins with",
    )
    _add_trust(learn)
    learn.add_argument("records", type=Path, nargs="+", metavar="RUN.hae")
    learn.add_argument("--out", type=Path, required=True, metavar="FILE.npz")


def _add_branch(add_command: AddCommand) -> None:
    branch = add_command(
        "branch",
        records.branch,
        "go back to a step of a run, in a new record to resume",
    )
    _add_record(branch)
    branch.add_argument("--after", type=_count, required=True, metavar="N")
    branch.add_argument("--out", type=Path, required=True, metavar="NEW.hae")


def _add_info(add_command: AddCommand) -> None:
    info = add_command("info", records.info, "what a record holds")
    _add_record(info)
    info.add_argument("--json", action="store_true", help="as JSON")


def _add_forensics(add_command: AddCommand) -> None:
    forensics = add_command(
        "forensics",
        records.forensics,
        "what a record's run did, why, and what else it might have",
    )
    _add_record(forensics)
    _add_trust(forensics)
    forensics.add_argument(
        "--out", type=Path, metavar="REPORT.html", help="default: beside the record"
    )
    forensics.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="random | SECTION.NAME=VALUE",
        help="another agent from the same start, such as acquisition.kind=ucb, or "
        "with several settings in quotes: 'acquisition.kind=ucb acquisition.beta=1'; "
        "may be given many times. A random path is always there",
    )


def _add_export(add_command: AddCommand) -> None:
    export = add_command("export", records.export, "write a record for HyperSpy")
    _add_record(export)
    export.add_argument("file", type=Path, metavar="FILE.hspy")


def _add_settings(add_command: AddCommand) -> None:
    settings = add_command(
        "settings",
        settings_list.list_settings,
        "list every setting with its unit, default and meaning",
    )
    settings.add_argument(
        "section", nargs="?", metavar="SECTION", help="one section; default: all"
    )


def _add_record(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("record", type=Path, metavar="RUN.hae")


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="store_true",
        help="use the Python code, files and hosts that the record names; without, it "
        "is told what they are, and nothing is used",
    )


def _add_instrument(parser: argparse.ArgumentParser) -> None:
    names = plugins.names(plugins.INSTRUMENTS)
    parser.add_argument(
        "--instrument",
        required=True,
        choices=names,
        metavar="NAME",
        help=f"one of {', '.join(names)}",
    )
    parser.add_argument(
        "--file",
        metavar="F",
        help="the spectrum image to replay, the same as --set instrument.file=F",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE.toml",
        help="settings as a TOML file, one table for each section; --set wins",
    )
    _add_set(parser)


def _add_rescue(parser: argparse.ArgumentParser, only: str = "") -> None:
    parser.add_argument(
        "--rescue",
        type=Path,
        metavar="DIR",
        help=f"{only}where to save all spectra if the record can be written no more, "
        "as where the disk is full; default: beside the record, else the folder for "
        "temporary files",
    )


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.NAME=VALUE",
        help="one setting, written as in TOML, such as budget.dose_e=1e8; may be given "
        f"many times. The sections are {', '.join(settings_list.SECTIONS)}; "
        "`napari-hae settings` lists all settings with their defaults",
    )


def _add_run_length(parser: argparse.ArgumentParser, steps: int | None) -> None:
    parser.add_argument(
        "--steps",
        type=_count,
        default=steps,
        metavar="N",
        help=f"spectra in all; default {steps or 'that of budget.steps, 100'}",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=None,
        metavar="S",
        help="same seed, same data, same settings: same path; default 0",
    )


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return count


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.5 <= seconds <= 600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time from 0.5 to 600 s")
    return seconds
