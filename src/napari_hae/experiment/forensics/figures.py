"""Figures of an analysis, drawn by matplotlib as PNG images."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.experiment.report import color_bar, count_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.experiment.forensics.analysis import Analysis
    from napari_hae.experiment.forensics.counterfactual import Counterfactual

    Array = NDArray[np.float64]

COLORS = {"mature": "#0072b2", "full": "#009e73", "truth": "#d55e00"}
RECORDED, CHANCE, OTHER, MARK = "black", "0.6", "#cc79a7", "#e69f00"
_DPI = 110
_PATCHES_PER_ROW = 20


@dataclass(frozen=True)
class Drawing:
    """Canvas without a window, with its axes."""

    figure: Any
    axes: Any

    @classmethod
    def of(
        cls, rows: int, columns: int, width: float = 10.0, height: float = 3.6
    ) -> Drawing:
        """Return a drawing with a number of axes and a size in inches."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        return cls(figure, figure.subplots(rows, columns, squeeze=False))

    def png(self) -> bytes:
        """Return the figure as a PNG image."""
        buffer = BytesIO()
        self.figure.savefig(buffer, dpi=_DPI, format="png")
        return buffer.getvalue()


def maps(analysis: Analysis) -> bytes:
    """Draw the path on the survey image, and the reference maps."""
    run = analysis.run
    assert run.survey is not None
    shown = analysis.references.named()
    drawing = Drawing.of(1, 1 + len(shown), width=3.6 * (1 + len(shown)), height=3.4)
    extent = _extent(analysis)
    first, *others = drawing.axes[0]
    first.imshow(run.survey.data[0], cmap="gray", extent=extent)
    first.set_title("survey image and path")
    x_nm = [m.x_nm for m in run.measurements]
    y_nm = [m.y_nm for m in run.measurements]
    first.plot(x_nm, y_nm, color="white", linewidth=0.4, alpha=0.6)
    steps = np.arange(1, len(x_nm) + 1)
    points = first.scatter(x_nm, y_nm, c=steps, s=10, cmap="plasma")
    color_bar(points, first, "step")
    unit = run.settings.scalarizer.unit
    for axis, (name, values) in zip(others, shown.items(), strict=True):
        image = axis.imshow(values, cmap="viridis", extent=extent)
        axis.set_title(name if name == "truth" else f"{name} model")
        color_bar(image, axis, f"target {_in(unit)}".strip())
    for axis in drawing.axes[0]:
        axis.set(xlabel="x (nm)", ylabel="y (nm)")
    return drawing.png()


def agreement(analysis: Analysis) -> bytes:
    """Draw error and rank correlation of the live model over the steps."""
    drawing = Drawing.of(1, 2)
    error, rank = drawing.axes[0]
    for name, found in analysis.agreement.items():
        label = "the truth" if name == "truth" else f"the {name} model"
        style = {"color": COLORS[name], "label": label}
        error.plot(found.steps + 1, found.error, **style)
        rank.plot(found.steps + 1, found.rank, **style)
    if np.isfinite(analysis.full_error):
        error.axhline(
            analysis.full_error,
            color=COLORS["full"],
            linestyle=":",
            label="the full model against the truth",
        )
    error.set(xlabel="step", ylabel="error (standard deviations)", ylim=(0, None))
    rank.set(xlabel="step", ylabel="rank correlation", ylim=(None, 1.02))
    for axis in drawing.axes[0]:
        count_steps(axis)
        _mark_interventions(axis, analysis)
    error.legend(title="live model against", fontsize=8)
    return drawing.png()


def regret(analysis: Analysis) -> bytes:
    """Draw simple and cumulative regret, and the regret expected by chance."""
    drawing, found = Drawing.of(1, 3, width=11), analysis.regret
    steps = np.arange(1, len(found.simple) + 1)
    simple, cumulative, top = drawing.axes[0]
    unit = analysis.run.settings.scalarizer.unit
    simple.step(steps, found.simple, color=RECORDED, where="post", label="the run")
    simple.plot(steps, found.by_chance, color=CHANCE, label="random places, expected")
    simple.set(ylabel=f"regret of the best so far {_in(unit)}", ylim=(0, None))
    simple.legend(fontsize=8)
    cumulative.plot(steps, found.cumulative, color=RECORDED)
    cumulative.set(ylabel=f"regret of all places, added up {_in(unit)}", ylim=(0, None))
    top.step(steps, found.top, color=RECORDED, where="post")
    top.plot(steps, steps * 0.01, color=CHANCE)
    top.set(ylabel="places in the top 1 % so far", ylim=(0, None))
    for axis in drawing.axes[0]:
        axis.set_xlabel("step")
        count_steps(axis)
        _mark_interventions(axis, analysis)
    return drawing.png()


def against(analysis: Analysis, other: Counterfactual) -> bytes:
    """Draw the best target so far on the recorded and another path, and the paths."""
    drawing = Drawing.of(1, 2)
    curve, field = drawing.axes[0]
    unit = other.settings.scalarizer.unit
    for name, best, color in (
        ("recorded", other.recorded_best, RECORDED),
        (other.name, other.best, OTHER),
    ):
        steps = np.arange(1, len(best) + 1)
        curve.step(steps, best, where="post", color=color, label=name)
    curve.set(xlabel="step", ylabel=f"best target so far {_in(unit)}")
    curve.legend(fontsize=8)
    count_steps(curve)
    run = analysis.run
    assert run.survey is not None
    field.imshow(run.survey.data[0], cmap="gray", extent=_extent(analysis))
    for name, path, color, marker in (
        ("recorded", other.recorded_path, "white", "o"),
        (other.name, other.path, OTHER, "x"),
    ):
        places = [run.frame.nm(run.frame.position(*pixel)) for pixel in path]
        y_nm, x_nm = zip(*places, strict=True)
        field.scatter(x_nm, y_nm, s=16, color=color, marker=marker, label=name)
    field.set(xlabel="x (nm)", ylabel="y (nm)")
    # Below, so that it hides no place.
    field.legend(
        fontsize=8, facecolor="0.5", loc="upper center", bbox_to_anchor=(0.5, -0.18)
    )
    return drawing.png()


def clusters(analysis: Analysis) -> bytes:
    """Draw the clusters on the field, and the share of the path in each."""
    from matplotlib.colors import ListedColormap

    drawing, found = Drawing.of(1, 2), analysis.visited
    field, bars = drawing.axes[0]
    count = len(found.clusters)
    colors = [_cluster_color(number) for number in range(count)]
    field.imshow(
        found.labels,
        cmap=ListedColormap(colors),
        vmin=-0.5,
        vmax=count - 0.5,
        extent=_extent(analysis),
        interpolation="nearest",
    )
    run = analysis.run
    x_nm = [m.x_nm for m in run.measurements]
    y_nm = [m.y_nm for m in run.measurements]
    field.scatter(x_nm, y_nm, s=8, color="white", edgecolor="black", linewidth=0.4)
    field.set(xlabel="x (nm)", ylabel="y (nm)", title="clusters and measured places")
    places = np.arange(count)
    visits = [each.visits / len(run.measurements) for each in found.clusters]
    shares = [each.share for each in found.clusters]
    bars.bar(places - 0.2, shares, 0.4, color=CHANCE, label="of the field")
    bars.bar(places + 0.2, visits, 0.4, color=colors, edgecolor="black", label="visits")
    bars.set_xticks(places, [str(number + 1) for number in range(count)])
    bars.set(xlabel="cluster", ylabel="share")
    bars.legend(fontsize=8)
    return drawing.png()


def patches(analysis: Analysis) -> bytes:
    """Draw the surroundings of each measured place, in the order of the path."""
    found = analysis.visited.patches
    rows = -(-len(found) // _PATCHES_PER_ROW)
    size = found.shape[1] + 1
    # One image with gaps: hundreds of axes would take minutes to draw.
    sheet = np.full((rows * size, _PATCHES_PER_ROW * size), np.nan)
    drawing = Drawing.of(1, 1, width=11, height=0.6 * rows + 0.1)
    axis = drawing.axes[0, 0]
    for number, patch in enumerate(found):
        row, column = divmod(number, _PATCHES_PER_ROW)
        top, left = row * size, column * size
        sheet[top : top + size - 1, left : left + size - 1] = patch
        axis.text(left, top, f"{number + 1}", fontsize=6, color=MARK, va="top")
    axis.imshow(sheet, cmap="gray")
    axis.set_axis_off()
    return drawing.png()


def interventions(analysis: Analysis) -> bytes:
    """Draw the targets, with each intervention marked."""
    drawing, run = Drawing.of(1, 1, height=3.0), analysis.run
    axis = drawing.axes[0, 0]
    targets = np.array([m.target for m in run.measurements])
    steps = np.arange(1, len(targets) + 1)
    best = [run.settings.goal.best(targets[:step]) for step in steps]
    axis.plot(steps, targets, ".", color="0.5", label="measured")
    axis.step(steps, best, where="post", color=RECORDED, label="best so far")
    _mark_interventions(axis, analysis, label="intervention")
    unit = run.settings.scalarizer.unit
    axis.set(xlabel="step", ylabel=f"target {_in(unit)}")
    count_steps(axis)
    axis.legend(fontsize=8)
    return drawing.png()


def _mark_interventions(axis: Any, analysis: Analysis, label: str = "") -> None:
    for number, each in enumerate(analysis.interventions):
        axis.axvline(
            each.step + 0.5,
            color=MARK,
            linewidth=0.8,
            linestyle="--",
            label=label if label and not number else None,
        )


def _extent(analysis: Analysis) -> tuple[float, float, float, float]:
    return analysis.run.frame.extent_nm


def _cluster_color(number: int) -> str:
    """Return a colour that is also distinct to the colour-blind (Okabe and Ito)."""
    colors = ("#d55e00", "#e69f00", "#f0e442", "#009e73", "#56b4e9", "#0072b2")
    return colors[number % len(colors)]


def _in(unit: str) -> str:
    return f"({unit})" if unit else ""
