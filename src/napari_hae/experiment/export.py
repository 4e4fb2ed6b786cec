"""Export of a stored run as a HyperSpy signal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.experiment.common_axis import CommonAxis
from napari_hae.experiment.damage import in_words
from napari_hae.experiment.record_files import NotARecord
from napari_hae.hyperspy_signals import set_known_type, spectra_signal
from napari_hae.metadata import common, to_text

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hae.experiment.stored import StoredRun
    from napari_hae.metadata import Metadata


def to_hyperspy(run: StoredRun) -> Any:
    """Return the spectra of a run as a `hyperspy.signals.Signal1D`.

    The navigation axis counts the measurements in order, the signal axis is in eV.
    `metadata.napari_hae` holds, per measurement, arrays `step`, `row`, `column`,
    `x_nm`, `y_nm`, `target`, `target_error`, `predicted_mean`, `predicted_std`,
    `exposure_s`, `dose_e`, `energy_offset_ev`, `energy_dispersion_ev`, `channels`,
    `chosen_by`, and `survey_image`, `survey_detectors`, `fov_nm`, `survey_area` (left,
    top, right, bottom as fractions of the field), `settings`, `instrument`. Spectra
    whose energy axis is not the most frequent one are resampled to it, as noted in
    `metadata.General.notes`; their original counts are in
    `metadata.napari_hae.counts_as_measured`, by step. Missing or damaged data are NaN,
    and named in the notes, too.

    Metadata from the instrument or the replayed file (`Signal.signal_type`,
    `Acquisition_instrument`, `Sample`, date) are in HyperSpy's standard place; those
    that differ between spectra are in `metadata.napari_hae.spectrum_metadata`, as JSON.
    The signal is of the class of its type, such as eXSpy's `EELSSpectrum`, if that is
    installed.

    Raises
    ------
    NotARecord
        If the run has no measurement.
    """
    if not run.measurements:
        raise NotARecord(f"{run.path} holds no measurement that could be exported")
    spectra = CommonAxis.of(run.measurements)
    signal = spectra_signal(spectra.counts, spectra.energy)
    known = [m.spectrum.metadata for m in run.measurements]
    shared = reduce(common, known)
    # HyperSpy's tree allows nodes only at its top level; one is made below.
    nodes = {name: each for name, each in shared.items() if isinstance(each, Mapping)}
    nodes.pop("napari_hae", None)
    signal.metadata.add_dictionary(_beside_methods(nodes, signal.metadata))
    signal.metadata.General.title = run.path.stem
    if notes := " ".join(filter(None, [spectra.note, _damage(run)])):
        signal.metadata.General.notes = notes
    signal.metadata.Signal.quantity = "Intensity (counts)"
    signal.metadata.add_node("napari_hae")
    signal.metadata.napari_hae.add_dictionary(_metadata(run))
    for measurement in spectra.resampled:
        name = f"napari_hae.counts_as_measured.step_{measurement.step}"
        signal.metadata.set_item(name, measurement.spectrum.counts)
    if any(each != shared for each in known):
        signal.metadata.napari_hae.spectrum_metadata = [to_text(each) for each in known]
    set_known_type(signal)
    return signal


def export_hspy(run: StoredRun, path: Path) -> str:
    """Write a run as a .hspy file for HyperSpy.

    Returns a note on resampled and missing data; empty if there are none.

    Raises
    ------
    ValueError
        If the path does not end in .hspy or exists already.
    NotARecord
        If the run has no measurement.
    """
    if path.suffix != ".hspy":
        raise ValueError(f"{path} does not end in .hspy, the format that is written")
    if path.exists():
        raise ValueError(f"{path} exists already; choose another name")
    signal = to_hyperspy(run)
    signal.save(path)
    return str(signal.metadata.get_item("General.notes", default=""))


def _beside_methods(values: Metadata, tree: Any) -> dict[str, Any]:
    """Rename values that would replace methods of HyperSpy's tree."""
    return {
        f"{name}_" if hasattr(type(tree), name) else name: (
            _beside_methods(value, tree) if isinstance(value, Mapping) else value
        )
        for name, value in values.items()
    }


def _damage(run: StoredRun) -> str:
    words = in_words(run.damage)
    return f"The record is damaged: {words}. It is NaN here." if words else ""


def _metadata(run: StoredRun) -> dict[str, Any]:
    measured = run.measurements
    columns: dict[str, Any] = {
        "step": [m.step for m in measured],
        "row": [m.proposal.row for m in measured],
        "column": [m.proposal.column for m in measured],
        "x_nm": [m.x_nm for m in measured],
        "y_nm": [m.y_nm for m in measured],
        "target": [m.target for m in measured],
        "target_error": [m.error for m in measured],
        "predicted_mean": [m.proposal.mean for m in measured],
        "predicted_std": [m.proposal.std for m in measured],
        "exposure_s": [m.spectrum.exposure_s for m in measured],
        "dose_e": [m.spectrum.dose_e for m in measured],
        "energy_offset_ev": [m.spectrum.energy.offset_ev for m in measured],
        "energy_dispersion_ev": [m.spectrum.energy.dispersion_ev for m in measured],
        "channels": [m.spectrum.energy.size for m in measured],
    }
    arrays: dict[str, Any] = {
        name: np.array(values) for name, values in columns.items()
    }
    # HyperSpy's files can store numeric arrays and lists of strings.
    arrays["chosen_by"] = [str(m.proposal.chosen_by) for m in measured]
    survey = run.survey
    if survey is not None:
        arrays["survey_image"] = survey.data
        arrays["survey_detectors"] = list(survey.detectors)
        arrays["fov_nm"] = np.array(survey.fov_nm)
        arrays["survey_area"] = np.array(astuple(survey.area))
    settings = run.settings.model_dump_json()
    return {**arrays, "settings": settings, "instrument": run.instrument}
