"""Report of an analysis: one HTML page with embedded figures."""

from __future__ import annotations

import base64
import math
from html import escape
from typing import TYPE_CHECKING

from napari_hae.experiment.forensics import figures
from napari_hae.experiment.forensics.words import (
    against_sentence,
    among,
    chance_sentence,
    in_digits,
    summary,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_hae.experiment.forensics.analysis import Analysis
    from napari_hae.experiment.forensics.counterfactual import Counterfactual

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 1000px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; }
figure { margin: 0.5em 0; break-inside: avoid; }
figure img { max-width: 100%; }
figcaption { color: #555; font-size: 0.9em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { text-align: left; padding: 0.25em 0.9em 0.25em 0;
         border-bottom: 1px solid #ccc; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr { break-inside: avoid; }
@media print { body { margin: 0; max-width: none; } }
"""


def write_page(analysis: Analysis, path: Path) -> None:
    """Write the report, replacing an existing file of that name.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.write_text(page(analysis), encoding="utf-8")


def page(analysis: Analysis) -> str:
    """Return the report as self-contained HTML."""
    run = analysis.run
    parts = [
        f"<h1>Forensics of {escape(run.path.name)}</h1>",
        _paragraph(*summary(analysis)),
        *_section("Where it went", _maps(analysis)),
        *_section("How the model came near", _agreement(analysis)),
        *_section("Regret", _regret(analysis)),
        *_section("Interventions", _interventions(analysis)),
    ]
    for other in analysis.against:
        title = f"Against {other.name}"
        parts += _section(title, _against(analysis, other))
    parts += _section("What was visited", _visited(analysis))
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>Forensics of {escape(run.path.name)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _maps(analysis: Analysis) -> Iterable[str]:
    yield _figure(
        figures.maps(analysis),
        "The path over the survey image, coloured by step, and the maps that the live "
        "model is held against. The mature model is trained on the final data"
        + (
            "; the full one on the truth, at pixels spread evenly over the field."
            if analysis.has_truth
            else "."
        ),
    )


def _agreement(analysis: Analysis) -> Iterable[str]:
    if not analysis.agreement:
        yield _paragraph("The run used no model.")
        return
    ends = [
        f"Against the {name}{'' if name == 'truth' else ' model'} its error went from "
        f"{found.error[0]:.2f} to {found.error[-1]:.2f}, its rank correlation from "
        f"{found.rank[0]:.2f} to {found.rank[-1]:.2f}."
        for name, found in analysis.agreement.items()
    ]
    yield _paragraph(*ends)
    yield _figure(
        figures.agreement(analysis),
        "The live model's map at each step against maps that do not change: root mean "
        "square error in standard deviations over the field (1 is no better than the "
        "mean), and Spearman's rank correlation (1 is the right order). Where the "
        "scalarizer changed, each step is held against maps of its own target.",
    )


def _regret(analysis: Analysis) -> Iterable[str]:
    reference = "the truth" if analysis.has_truth else "the mature model's map"
    yield _paragraph(chance_sentence(analysis))
    yield _figure(
        figures.regret(analysis),
        f"By {reference}, with the scalarizer of the end. Left: how far the best place "
        f"so far falls short of the best of {among(analysis.regret, 'all')}, and what "
        "is expected of random places, in closed form. Middle: the same of every "
        "place, added up; it grows less while the agent exploits. Right: places among "
        f"the best 1 % of {among(analysis.regret, 'the field')}; in grey, expected of "
        "random places.",
    )


def _interventions(analysis: Analysis) -> Iterable[str]:
    if not analysis.interventions:
        yield _paragraph("Nobody intervened.")
        return
    unit = analysis.run.settings.scalarizer.unit
    yield _figure(
        figures.interventions(analysis),
        "All targets by the scalarizer of the end; dashed, the interventions.",
    )
    head = (
        "step",
        "what was done",
        "chosen at x, y (nm)",
        "without it x, y (nm)",
        "predicted there",
        "apart (nm)",
        f"best before → after {unit}",
    )
    rows = []
    for each in analysis.interventions:
        without = each.without
        rows.append(
            (
                str(each.step + 1),
                "; ".join(each.words),
                _place(analysis, each.chosen.row, each.chosen.column),
                _place(analysis, without.row, without.column) if without else "–",
                _predicted(without.mean, without.std) if without else "–",
                _apart(each.distance_nm),
                f"{in_digits(each.best_before)} → {in_digits(each.best_after)} "
                f"in {each.later} steps",
            )
        )
    yield _table(head, rows)
    yield _paragraph(
        "Without it: where the agent would have gone on the same measurements, had the "
        "line's intervention not been. What came after is not its effect alone."
    )


def _against(analysis: Analysis, other: Counterfactual) -> Iterable[str]:
    if other.measured_only:
        yield _paragraph(
            "What lies in pixels that were not measured is not known. So the agent was "
            "let loose among the measured ones only: this tells whether it would have "
            "come to the best of them sooner, not what else it would have found."
        )
    else:
        yield _paragraph(
            "The agent started from the recorded initial design and went its own way. "
            "What the record does not hold was taken from the ground truth."
        )
    yield _paragraph(against_sentence(other))
    yield _figure(
        figures.against(analysis, other),
        "The best target so far, both by the scalarizer of this comparison; and where "
        "both went.",
    )


def _visited(analysis: Analysis) -> Iterable[str]:
    found, run = analysis.visited, analysis.run
    unit = run.settings.scalarizer.unit
    yield _figure(
        figures.clusters(analysis),
        "Pixels that look alike to the model, by k-means on its features, numbered "
        "from the most promising by the mature model's map; and how much of the field "
        "and of the path each has.",
    )
    head = ("cluster", "of the field", "visits", f"mean target {unit}", "predicted")
    rows = [
        (
            str(number),
            f"{each.share:.1%}",
            str(each.visits),
            in_digits(each.mean_target),
            in_digits(each.predicted),
        )
        for number, each in enumerate(found.clusters, start=1)
    ]
    yield _table(head, rows)
    yield _figure(
        figures.patches(analysis),
        "The survey image around each measured place, in the order of the path.",
    )


def _section(title: str, parts: Iterable[str]) -> list[str]:
    return [f"<h2>{escape(title)}</h2>", *parts]


def _paragraph(*sentences: str) -> str:
    return f"<p>{escape(' '.join(sentences))}</p>"


def _figure(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode("ascii")
    words = escape(caption)
    return (
        f'<figure><img alt="{words}" src="data:image/png;base64,{data}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def row(cells: Iterable[str], kind: str) -> str:
        inside = "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells)
        return f"<tr>{inside}</tr>"

    lines = "".join(row(each, "td") for each in rows)
    return f"<table><thead>{row(head, 'th')}</thead><tbody>{lines}</tbody></table>"


def _place(analysis: Analysis, row: int, column: int) -> str:
    frame = analysis.run.frame
    y_nm, x_nm = frame.nm(frame.position(row, column))
    return f"{x_nm:.4g}, {y_nm:.4g}"


def _predicted(mean: float, std: float) -> str:
    return f"{mean:.4g} ± {std:.2g}" if math.isfinite(mean) else "no prediction"


def _apart(distance_nm: float) -> str:
    return in_digits(distance_nm) if distance_nm else "the same"
