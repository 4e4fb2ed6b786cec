"""Metadata of a stranger's record are exported, whatever their names are."""

from __future__ import annotations

import json
import shutil

import pytest

from lab import Lab, experiment, run
from napari_hae.experiment.export import export_hspy
from napari_hae.experiment.record import JOURNAL
from napari_hae.experiment.stored import open_run
from napari_hae.hyperspy_signals import hyperspy

NAMES = [
    *("__class__", "__dict__", "__init__", "_sig_", "_lazy_attributes", "_list_"),
    *("add_node", "as_dictionary", "keys", "set_item", "get_item", "has_item"),
    *("", "  ", "\x00", "a.b", "a/b", "1", "Ä", "General", "Signal", "napari_hae"),
]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return run(Lab(tmp_path_factory.mktemp("runs")).runner(experiment())).record.path


@pytest.fixture
def exported(original, tmp_path):
    """Exports the record with other metadata of its spectra."""

    def exported(metadata):
        path = tmp_path / "stranger.hae"
        shutil.copytree(original, path)
        journal = path / JOURNAL
        entries = [json.loads(each) for each in journal.read_text().splitlines()]
        for entry in entries:
            if entry["event"] == "measurement":
                entry["metadata"] = metadata
        journal.write_text("".join(f"{json.dumps(each)}\n" for each in entries))
        export_hspy(open_run(path), tmp_path / "made.hspy")
        return hyperspy().load(tmp_path / "made.hspy")

    return exported


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["value", "node", "inside", "deep"])
def test_a_record_is_exported_with_any_name(exported, name, kind):
    made = exported(
        {
            "value": {name: 3},
            "node": {name: {"x": 1}},
            "inside": {"Sample": {name: 1.5}},
            "deep": {"Sample": {"parts": {name: {"x": [1, 2]}}}},
        }[kind]
        | {"Acquisition_instrument": {"TEM": {"beam_energy": 60}}}
    )
    assert made.data.shape[0] == 12
    assert made.metadata.General.title == "stranger"
    assert made.metadata.napari_hae.step.size == 12
    assert made.metadata.Acquisition_instrument.TEM.beam_energy == 60


def test_a_name_of_one_of_hyperspy_s_methods_is_told_apart(exported):
    made = exported({"Sample": {"keys": "two", "name": "gold"}})
    assert made.metadata.Sample["keys_"] == "two"
    assert made.metadata.Sample.name == "gold"
