"""A stored run on one page, as a PNG image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.agent.scalarizers import BandScalarizer
from napari_hae.experiment.common_axis import CommonAxis

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hae.experiment.stored import StoredRun


def write_report(run: StoredRun, path: Path) -> None:
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
    figure.suptitle(
        f"{run.path.name}: {len(run.measurements)} spectra on {run.instrument}, {end}"
    )
    figure.savefig(path, dpi=110)


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
    axes[0].figure.colorbar(points, ax=axes[0], label="target")
    axes[0].set_title(f"survey image ({survey.detectors[0]}) and measured points")
    planes = (("predicted mean", "viridis"), ("predicted standard deviation", "magma"))
    for axis, (title, colormap), values in zip(
        axes[1:], planes, (maps.mean, maps.std) if maps else (None, None), strict=True
    ):
        axis.set_title(title)
        if values is None:
            axis.text(0.5, 0.5, "no model yet", ha="center", transform=axis.transAxes)
            continue
        image = axis.imshow(values, cmap=colormap, extent=extent)
        axis.figure.colorbar(image, ax=axis)
    for axis in axes:
        axis.set_xlabel("x (nm)")
        axis.set_ylabel("y (nm)")


def _draw_curves(run: StoredRun, axes: Any) -> None:
    targets = np.array([m.target for m in run.measurements])
    steps = np.arange(1, len(targets) + 1)
    axes[0].plot(steps, targets, ".", color="0.55", label="measured")
    best = [run.settings.goal.best(targets[:step]) for step in steps]
    axes[0].plot(steps, best, drawstyle="steps-post", label="best so far")
    axes[0].set(xlabel="step", ylabel="target", title="targets")
    axes[0].legend()
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
