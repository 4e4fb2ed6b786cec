"""What is known of a measurement goes from its source to the export."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import experiment
from measured_files import COLUMNS, ROWS, X, Y, connected, save
from napari_hae import metadata
from napari_hae.cli import main
from napari_hae.experiment.export import export_hspy, to_hyperspy
from napari_hae.experiment.journal_events import MeasurementEvent
from napari_hae.experiment.record import Record
from napari_hae.experiment.stored import open_run
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.instruments.bridge import wire
from napari_hae.metadata import bounded, common, difference, merged

EELS = {
    "General": {"title": "a map", "date": "2024-05-06", "authors": "A. Person"},
    "Signal": {"signal_type": "EELS"},
    "Sample": {"elements": ["C", "O"]},
    "Acquisition_instrument": {
        "TEM": {
            "beam_energy": 200.0,
            "convergence_angle": 20.0,
            "Detector": {"EELS": {"collection_angle": 40.0}},
        }
    },
}
EDS = {
    **EELS,
    "Signal": {"signal_type": "EDS_TEM"},
    "Sample": {"elements": ["O", "Si"]},
}
JSON = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
NODES = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


def recorded(tmp_path, told, step_ev=1.0):
    """A run of six steps on a map of which a file tells this."""
    size = 400
    energy = {"name": "Energy", "units": "eV", "scale": step_ev, "offset": 250.0}
    counts = np.random.default_rng(0).poisson(50, (ROWS, COLUMNS, size))
    path = save(
        tmp_path / "map.hspy", counts, Y, X, {**energy, "size": size}, metadata=told
    )
    out = tmp_path / "run.hae"
    words = "run --instrument replay --steps 6 --seed 1 --file".split()
    assert main([*words, str(path), "--out", str(out)]) == 0
    return open_run(out)


@pytest.fixture(scope="module")
def eels(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("eels"), EELS)


def test_an_eels_model_is_made_of_the_export(eels, tmp_path):
    pytest.importorskip("exspy")
    export_hspy(eels, tmp_path / "run.hspy")
    signal = hyperspy().load(tmp_path / "run.hspy")
    # The others of its cross-sections are downloaded.
    model = signal.create_model(low_loss=None, auto_background=True, GOS="hydrogenic")

    assert type(signal).__name__ == "EELSSpectrum"
    assert {"C_K", "O_K"} <= {component.name for component in model}


def test_an_eds_model_is_made_of_the_export(tmp_path):
    pytest.importorskip("exspy")
    signal = to_hyperspy(recorded(tmp_path, EDS, step_ev=10.0))
    model = signal.create_model()

    assert type(signal).__name__ == "EDSTEMSpectrum"
    assert {"O_Ka", "Si_Ka"} <= {component.name for component in model}


def test_the_export_says_what_the_file_said(eels):
    told = to_hyperspy(eels).metadata

    assert told.Signal.signal_type == "EELS"
    assert told.General.date == "2024-05-06"
    assert told.General.title == "run"
    assert sorted(told.Sample.elements) == ["C", "O"]
    instrument = told.Acquisition_instrument.as_dictionary()
    assert instrument == EELS["Acquisition_instrument"]


def test_the_journal_has_it_once(eels):
    lines = [x for x in eels.journal if getattr(x, "metadata", None)]

    assert [event.event for event in lines] == ["metadata"]


def test_what_differs_is_kept_with_its_spectrum(eels, tmp_path):
    changed = merged(eels.measurements[1].spectrum.metadata, {"General": {"time": "9"}})
    less = {"Signal": {"signal_type": "EELS"}}
    record = Record.create(
        tmp_path / "new.hae",
        instrument=eels.instrument,
        instrument_settings=experiment(),
        settings=eels.settings,
    )
    told = [eels.measurements[0].spectrum.metadata, changed, less]
    record.survey(eels.survey)
    for measurement, its in zip(eels.measurements, told, strict=False):
        record.proposal(measurement.proposal)
        spectrum = replace(measurement.spectrum, metadata=its)
        record.measurement(replace(measurement, spectrum=spectrum))
    record.close()
    again = open_run(tmp_path / "new.hae")

    assert [m.spectrum.metadata for m in again.measurements] == told
    lines = [x for x in again.journal if isinstance(x, MeasurementEvent)]
    assert [bool(event.metadata) for event in lines] == [False, True, True]
    signal = to_hyperspy(again)
    assert "Acquisition_instrument" not in signal.metadata
    stored = [json.loads(each) for each in signal.metadata.napari_hae.spectrum_metadata]
    assert stored == told


def test_the_replay_tells_what_its_file_tells(tmp_path):
    counts = np.ones((ROWS, COLUMNS, 4))
    energy = {"name": "E", "units": "eV", "size": 4}
    path = save(tmp_path / "map.hspy", counts, Y, X, energy, metadata=EELS)
    told = dict(connected(path).capabilities().metadata)

    # eXSpy keeps elements as a set.
    assert sorted(told.pop("Sample")["elements"]) == ["C", "O"]
    assert told == {node: EELS[node] for node in told}
    assert set(told) == {"General", "Signal", "Acquisition_instrument"}


def test_it_travels_over_the_bridge():
    assert wire.unpacked(wire.packed(EELS)) == EELS
    large = {"kind": "Metadata", "text": json.dumps({"a": "b" * 100_000})}
    for text in (large["text"], "[" * 50_000, "[]", "{"):
        with pytest.raises(ValueError):
            wire.unpacked({**large, "text": text})


@given(first=NODES, second=NODES)
def test_a_difference_makes_the_one_of_the_other(first, second):
    first, second = bounded(first), bounded(second)

    assert merged(first, difference(second, first)) == second
    assert common(first, first) == first
    assert merged(second, common(first, second)) == second


@given(NODES)
def test_what_is_bounded_is_of_json(values):
    kept = bounded(values)

    assert json.loads(json.dumps(dict(kept))) == kept
    assert bounded(kept) == kept


def test_what_is_no_json_or_too_much_is_left_out():
    deep: dict = {}
    node = deep
    for _ in range(30):
        node["n"] = node = {}
    kept = bounded(
        {
            "array": np.arange(3),
            "number": np.float32(2),
            "missing": None,
            "nan": float("nan"),
            "function": print,
            "large": np.zeros(10_000),
            "text": "t" * 100_000,
            3: "no name",
            "deep": deep,
        }
    )

    assert kept["array"] == [0, 1, 2]
    assert kept["number"] == 2
    assert set(kept) == {"array", "number", "text", "deep"}
    assert len(metadata.to_text(kept)) < 5000
    many = {f"n{i}": {f"m{k}": "x" * 1000 for k in range(50)} for i in range(50)}
    assert len(metadata.to_text(many)) <= metadata.LARGEST_BYTES
