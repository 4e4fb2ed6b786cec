"""The commands on records: `learn`, `branch`, `info`, `forensics`, `export`."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from napari_hae.cli.exit_codes import DONE
from napari_hae.cli.output import show
from napari_hae.printable import printable_line

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from napari_hae.experiment.stored import StoredRun


def learn(options: argparse.Namespace) -> int:
    """Export the data of records as a file that the model of a new run learns from."""
    from napari_hae.experiment.learning import learn as learn_from
    from napari_hae.experiment.stored import open_run

    _check_out(options.out, "what was learned")
    experience = learn_from(
        [open_run(record, trust=options.trust) for record in options.records]
    )
    experience.save(options.out)
    show(f"learned from {experience}")
    show(f"written: {options.out}; use it by --set model.earlier={options.out}")
    return DONE


def _check_out(path: Path, what: str) -> None:
    """Refuse an unusable output path before spending time on its content."""
    if path.is_dir():
        raise ValueError(f"{path} is a directory; --out needs the name of a file")
    if not path.parent.is_dir():
        raise ValueError(f"there is no directory {path.parent} for {what}")


def branch(options: argparse.Namespace) -> int:
    """Create a new record that continues from an earlier step."""
    from napari_hae.experiment.branch import branch as go_back

    show(f"written: {go_back(options.record, options.after, options.out)}")
    return DONE


def info(options: argparse.Namespace) -> int:
    """Print the content of a record."""
    from napari_hae.experiment.stored import open_run

    run = open_run(options.record)
    show(json.dumps(_as_json(run), indent=1) if options.json else _as_text(run))
    return DONE


def _as_json(run: StoredRun) -> dict[str, Any]:
    return {
        "instrument": run.instrument,
        "finish_reason": str(run.finish_reason) if run.finish_reason else None,
        "ending": run.ending.as_json() if run.ending else None,
        "damage": [str(each) for each in run.damage],
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
        f"ended        {run.ending or 'not'}",
        f"steps        {len(run.measurements)} of {run.settings.budget.steps}",
    ]
    if run.survey is not None:
        rows, columns = run.survey.shape
        height_nm, width_nm = run.survey.fov_nm
        lines.append(
            f"survey image {rows} × {columns} px, {height_nm:.4g} × {width_nm:.4g} nm, "
            + ", ".join(run.survey.detectors)
        )
    lines += [f"damaged      {each}" for each in run.damage]
    lines += [f"warning      {text}" for text in run.warnings]
    return "\n".join(map(printable_line, lines))


def forensics(options: argparse.Namespace) -> int:
    """Write a report on the run of a record."""
    from tqdm import tqdm

    from napari_hae.experiment.forensics.analysis import analyse
    from napari_hae.experiment.forensics.counterfactual import changed_sections
    from napari_hae.experiment.forensics.page import write_page
    from napari_hae.experiment.forensics.words import summary
    from napari_hae.experiment.stored import open_run

    run = open_run(options.record, trust=options.trust)
    report = options.out or run.path.with_suffix(".html")
    _check_out(report, "the report")
    agents = [shlex.split(text) for text in options.against if text != "random"]
    against = {", ".join(words): changed_sections(run, words) for words in agents}
    with tqdm(unit="step", disable=None) as progress:

        def show_progress(what: str, done: int, total: int) -> None:
            progress.total = total
            progress.set_description(what, refresh=False)
            progress.update(done - progress.n)

        analysis = analyse(run, against, show_progress)
    write_page(analysis, report)
    show("\n".join(summary(analysis)))
    show(f"report: {report}")
    return DONE


def export(options: argparse.Namespace) -> int:
    """Export a record as a HyperSpy file."""
    from napari_hae.experiment.export import export_hspy
    from napari_hae.experiment.stored import open_run

    note = export_hspy(open_run(options.record), options.file)
    show(f"written: {options.file}")
    if note:
        show(note)
    return DONE
