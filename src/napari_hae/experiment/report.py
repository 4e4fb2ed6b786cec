"""Report of a stored run on one page, as a PNG image."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.agent.scalarizers import BandScalarizer
from napari_hae.experiment.common_axis import CommonAxis

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from napari_hae.experiment.stored import StoredRun


MOST_LETTERS = 110
"""Largest number of characters in a line across the page."""


def write_report(run: StoredRun, path: Path) -> None:
    """Draw a run on a page, and save it as a PNG image."""
    draw_report(run).savefig(path, dpi=110)


def draw_report(run: StoredRun) -> Figure:
    """Draw the survey image, the last maps, the targets and the spectra of a run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    subfigures: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    top, bottom = subfigures
    _draw_field(run, top.subplots(1, 3))
    _draw_curves(run, bottom.subplots(1, 2))
    end = run.ending or "not ended"
    name = _shortened(run.path.name, MOST_LETTERS)
    what = f"{len(run.measurements)} spectra on {run.instrument}, {end}"
    figure.suptitle("\n".join(textwrap.wrap(f"{name}: {what}", MOST_LETTERS)))
    return figure


def color_bar(shown: Any, axis: Any, label: str = "") -> None:
    """Draw a colour bar beside the axes, with the height of their content."""
    height, width = np.ptp(axis.get_ylim()), np.ptp(axis.get_xlim())
    # The same width on the page for any aspect ratio of the field.
    beside = axis.inset_axes([1.03, 0, 0.05 * max(height / width, 1.0), 1])
    axis.figure.colorbar(shown, cax=beside, label=label)


def count_steps(axis: Any) -> None:
    """Limit the ticks of the horizontal axis to whole steps."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _shortened(name: str, length: int) -> str:
    if len(name) <= length:
        return name
    half = (length - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _draw_field(run: StoredRun, axes: Any) -> None:
    survey, maps = run.survey, run.latest_maps()
    if survey is None:
        return
    extent = run.frame.extent_nm
    x_nm = [m.x_nm for m in run.measurements]
    y_nm = [m.y_nm for m in run.measurements]
    axes[0].imshow(survey.data[0], cmap="gray", extent=extent)
    axes[0].plot(x_nm, y_nm, color="white", linewidth=0.4, alpha=0.6)
    points = axes[0].scatter(
        x_nm, y_nm, c=[m.target for m in run.measurements], s=14, cmap="viridis"
    )
    color_bar(points, axes[0], "target")
    axes[0].set_title(f"{_shortened(survey.detectors[0], 24)}\nand measured points")
    planes = (
        ("predicted mean", "viridis"),
        ("predicted\nstandard deviation", "magma"),
    )
    for axis, (title, colormap), values in zip(
        axes[1:], planes, (maps.mean, maps.std) if maps else (None, None), strict=True
    ):
        axis.set_title(title)
        if values is None:
            axis.text(0.5, 0.5, "no model yet", ha="center", transform=axis.transAxes)
            axis.set(xticks=[], yticks=[])
            continue
        color_bar(axis.imshow(values, cmap=colormap, extent=extent), axis)
    for axis in axes if maps else axes[:1]:
        axis.set(xlabel="x (nm)", ylabel="y (nm)")


def _draw_curves(run: StoredRun, axes: Any) -> None:
    targets = np.array([m.target for m in run.measurements])
    steps = np.arange(1, len(targets) + 1)
    axes[0].plot(steps, targets, ".", color="0.55", label="measured")
    best = [run.settings.goal.best(targets[:step]) for step in steps]
    axes[0].plot(steps, best, drawstyle="steps-post", label="best so far")
    axes[0].set(xlabel="step", ylabel="target", title="targets")
    axes[0].legend()
    count_steps(axes[0])
    axes[1].set(xlabel="energy (eV)", ylabel="counts", title="spectra")
    if not len(targets):
        return
    spectra = CommonAxis.of(run.measurements)
    energies_ev, counts = spectra.energy.energies_ev, spectra.counts
    mean = np.nan_to_num(counts).mean(axis=0)
    axes[1].plot(energies_ev, mean, color="0.55", label="mean")
    if np.isfinite(targets).any():
        found = int(np.flatnonzero(targets == best[-1])[0])
        axes[1].plot(energies_ev, counts[found], label=f"best, step {found + 1}")
    scalarizer = run.settings.scalarizer
    if isinstance(scalarizer, BandScalarizer) and scalarizer.band_ev is not None:
        axes[1].axvspan(*scalarizer.band_ev, color="tab:orange", alpha=0.2)
    axes[1].set_yscale("symlog", linthresh=10)
    axes[1].legend()
