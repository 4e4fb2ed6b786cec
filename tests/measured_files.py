"""Small spectrum images, saved as files, and where the measured ones are."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_hae.coordinates import FieldFrame
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.instruments.replay import ReplayedSpectrumImage, ReplaySettings

DATA = Path(
    os.environ.get(
        "NAPARI_HAE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"
    )
)
CASES = DATA.parent / "cases"
P45, CLEAN = DATA / "P45_the_default_job.bcf", DATA / "bcf_v2_50x50px.bcf"
needs_data = pytest.mark.skipif(
    not (P45.is_file() and CLEAN.is_file()),
    reason=f"the measured .bcf files are not in {DATA}; set NAPARI_HAE_DATA",
)

ROWS, COLUMNS, CHANNELS = 5, 7, 16
PIXELS = np.arange(ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS)
COUNTS = np.random.default_rng(0).poisson(9, (ROWS, COLUMNS, CHANNELS))
COUNTS = COUNTS.astype(np.uint16)
Y = {"name": "height", "units": "µm", "scale": 0.002, "size": ROWS}
X = {"name": "width", "units": "nm", "scale": 3, "size": COLUMNS}
ENERGY = {
    "name": "Energy",
    "units": "keV",
    "scale": 0.01,
    "offset": -0.2,
    "size": CHANNELS,
}


def save(path, data, *axes, signal_dimension=1, chunks=None, metadata=None):
    """Save a signal with these axes, the last of them the signal's; answer the path."""
    signals = hyperspy().signals
    kind = {1: signals.Signal1D, 2: signals.Signal2D}[signal_dimension]
    first = len(axes) - signal_dimension
    described = [{"navigate": index < first, **axis} for index, axis in enumerate(axes)]
    signal = kind(data, axes=described, metadata=metadata or {})
    signal.save(path, chunks=chunks)
    return path


def save_cube(path, y=Y, x=X, energy=ENERGY, **options):
    """Save `COUNTS` with these axes."""
    return save(path, COUNTS, y, x, energy, **options)


def save_several(path, *signals):
    """Save several signals in one .hspy file, in this order; answer the path."""
    with h5py.File(path, "w") as file:
        for number, signal in enumerate(signals):
            own = path.with_name(f"{number}-of-{path.name}")
            signal.save(own)
            with h5py.File(own) as source:
                if not number:
                    file.attrs.update(source.attrs)
                    file.create_group("Experiments")
                [name] = source["Experiments"]
                source.copy(f"Experiments/{name}", file["Experiments"], str(number))
            own.unlink()
    return path


def cube_signal(title="EELS", energy=ENERGY, counts=COUNTS, **metadata):
    """A spectrum image with a title."""
    axes = [{**Y, "navigate": True}, {**X, "navigate": True}]
    axes.append({**energy, "navigate": False})
    metadata = {"General": {"title": title}, **metadata}
    return hyperspy().signals.Signal1D(counts, axes=axes, metadata=metadata)


def image_signal(title, original_metadata=None, pixels=PIXELS):
    """An image with a title."""
    return hyperspy().signals.Signal2D(
        pixels,
        metadata={"General": {"title": title}},
        original_metadata=original_metadata or {},
    )


def velox(detector, index=None):
    """What Velox writes of an image: maps have no index of a detector."""
    kinds = {"HAADF": "ScanningDetector", "UltraX1": "AnalyticalDetector"}
    kinds["Zebra"] = "AnalyticalDetector"
    detectors = {
        f"Detector-{number}": {"DetectorName": name, "DetectorType": kind}
        for number, (name, kind) in enumerate(kinds.items())
    }
    result = {"Detector": detector, "Encoding": ""}
    if index is not None:
        result["DetectorIndex"] = str(index)
    return {"BinaryResult": result, "Detectors": detectors}


def jeol(file):
    """What an .ASW file of JEOL says of one of its images."""
    return {"asw_viewdata": {"Filename": f".\\Sample\\00_View000\\{file}"}}


def connected(path, **settings):
    """A replay of a file, connected."""
    replay = ReplayedSpectrumImage(ReplaySettings(file=path, **settings))
    replay.connect()
    return replay


def survey_of(replay):
    """The survey image with all detectors."""
    able = replay.capabilities()
    return replay.acquire_survey(able.survey_detectors, able.survey_shape, 1e-6)


def expose(replay, row, column, exposure_s=0.1):
    """A spectrum with the beam on a pixel."""
    able = replay.capabilities()
    frame = FieldFrame(able.survey_shape, able.fov_nm)
    return expose_at(replay, frame.position(row, column), exposure_s)


def expose_at(replay, position, exposure_s=0.1):
    """A spectrum with the beam on a position."""
    replay.place_beam(position)
    replay.unblank()
    spectrum = replay.acquire_spectrum("", exposure_s)
    replay.blank()
    return spectrum
