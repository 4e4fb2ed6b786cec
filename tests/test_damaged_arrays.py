"""Arrays of a record that are missing or damaged: named, the rest readable."""

from __future__ import annotations

import json
import shutil
import tracemalloc

import hyperspy.api as hs
import numpy as np
import pytest
from numcodecs import Zstd

from fakes import FakeInstrument
from lab import Lab, experiment, run
from napari_hae.agent.acquisition import UpperConfidenceBound
from napari_hae.cli import main
from napari_hae.experiment.array_files import Announced, DamagedArray, checksum
from napari_hae.experiment.arrays import RunArrays
from napari_hae.experiment.branch import branch
from napari_hae.experiment.damage import DamagedRecord
from napari_hae.experiment.finer import begin_finer
from napari_hae.experiment.learning import learn
from napari_hae.experiment.settings import DriftSettings, LoopSettings
from napari_hae.experiment.stored import NotARecord, open_run
from napari_hae.gui.record_reader import read_records
from napari_hae.types import EnergyAxis

STEPS = 12
NARROW = 5


class OnceNarrow(FakeInstrument):
    """Gives one spectrum with fewer channels than the others."""

    taken = 0

    def acquire_spectrum(self, detector, exposure_s):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        self.taken += 1
        if self.taken != NARROW + 1:
            return spectrum
        axis = spectrum.energy
        few = EnergyAxis(axis.offset_ev, axis.dispersion_ev, 12)
        return type(spectrum)(
            counts=spectrum.counts[:12],
            energy=few,
            detector=spectrum.detector,
            position=spectrum.position,
            exposure_s=spectrum.exposure_s,
            dose_e=spectrum.dose_e,
        )


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("runs"), OnceNarrow())
    settings = experiment(
        acquisition=UpperConfidenceBound(),
        drift=DriftSettings(every=6, follow=False),
        loop=LoopSettings(maps_every=2),
    )
    runner = run(lab.runner(settings))
    assert len(runner.measurements) == STEPS, runner.finish_text
    return runner.record.path


@pytest.fixture
def record(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy.hae")


@pytest.fixture
def older(record):
    """The record as an older program wrote it, without checksums."""
    journal = record / "journal.jsonl"
    entries = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    for entry in entries:
        entry.pop("crc32", None)
        entry.pop("shape", None)
    journal.write_text("".join(json.dumps(x) + "\n" for x in entries), "utf-8")
    return record


def last_maps(record):
    lines = (record / "journal.jsonl").read_text("utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    last = [entry for entry in entries if entry["event"] == "maps"][-1]
    return last.get("array", last["step"])


def file_of(record, what):
    arrays = record / "arrays.zarr"
    return (
        arrays
        / {
            "spectrum": "spectra/c/3/0",
            "other": f"spectra_of_other_length/{NARROW}/c/0",
            "survey": "survey/0/c/0/0/0",
            "again": "survey/1/c/0/0/0",
            "maps": f"maps/{last_maps(record)}/c/0/0/0",
        }[what]
    )


NAMES = {
    "spectrum": "the spectrum of step 4",
    "other": f"the spectrum of step {NARROW + 1}",
    "survey": "survey image 1",
    "again": "survey image 2",
    "maps": "the set of maps before step",
}


def delete(file):
    file.unlink()


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:-3])


def empty(file):
    file.write_bytes(b"")


each_kind = pytest.mark.parametrize("what", list(NAMES))
each_harm = pytest.mark.parametrize("harm", [delete, flip, cut, empty])


def test_a_whole_record_has_no_damage(record):
    stored = open_run(record)
    assert stored.damage == ()
    assert len(stored.measurements[NARROW].spectrum.counts) == 12
    stored.expect_usable()


@each_kind
@each_harm
def test_what_is_damaged_is_named_and_the_rest_is_read(record, original, what, harm):
    whole = open_run(original)
    harm(file_of(record, what))
    stored = open_run(record)
    (damage,) = stored.damage
    assert str(damage).startswith(NAMES[what])
    lost = {"spectrum": 3, "other": NARROW}.get(what)
    for step, (found, expected) in enumerate(
        zip(stored.measurements, whole.measurements, strict=True)
    ):
        assert found.spectrum.energy == expected.spectrum.energy
        assert np.array_equal(found.target, expected.target, equal_nan=True)
        if step == lost:
            assert np.isnan(found.spectrum.counts).all()
        else:
            assert np.array_equal(found.spectrum.counts, expected.spectrum.counts)
    assert stored.survey.shape == whole.survey.shape
    is_same = np.array_equal(stored.survey.data, whole.survey.data)
    assert is_same != (what == "survey")
    if what == "survey":
        assert np.isnan(stored.survey.data).all()
    assert (stored.latest_maps() is None) == (what == "maps")
    assert len(list(stored.maps())) == len(whole.maps_known) - (what == "maps")


@each_kind
@each_harm
def test_nobody_goes_on_with_damage(record, what, harm, tmp_path, capsys):
    harm(file_of(record, what))
    before = (record / "journal.jsonl").read_bytes()
    with pytest.raises(DamagedRecord, match=NAMES[what]):
        open_run(record, trust=True).expect_usable()
    assert main(["resume", str(record), "--steps", "20"]) == 2
    said = capsys.readouterr().err
    assert NAMES[what] in said
    assert said.count("\n") == 1
    assert (record / "journal.jsonl").read_bytes() == before
    assert main(["forensics", str(record), "--out", str(tmp_path / "r.html")]) == 2
    assert NAMES[what] in capsys.readouterr().err


@each_kind
def test_info_and_export_and_the_reader_show_what_is_left(
    record, what, tmp_path, capsys
):
    delete(file_of(record, what))
    assert main(["info", str(record)]) == 0
    assert f"damaged      {NAMES[what]}" in capsys.readouterr().out
    assert main(["info", "--json", str(record)]) == 0
    (named,) = json.loads(capsys.readouterr().out)["damage"]
    assert named.startswith(NAMES[what])
    file = tmp_path / "x.hspy"
    assert main(["export", str(record), str(file)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert NAMES[what] in said
    signal = hs.load(file)
    assert NAMES[what] in signal.metadata.General.notes
    lost = {"spectrum": 3, "other": NARROW}.get(what)
    for step, counts in enumerate(signal.data):
        assert np.isnan(counts).all() == (step == lost)
    assert read_records(str(record))


@pytest.mark.parametrize("what", ["spectrum", "survey"])
def test_what_needs_all_spectra_refuses(record, what, tmp_path):
    lab = Lab(tmp_path)
    delete(file_of(record, what))
    stored = open_run(record)
    with pytest.raises(DamagedRecord, match=NAMES[what]):
        learn([stored])
    with pytest.raises(DamagedRecord, match=NAMES[what]):
        begin_finer(
            stored,
            stored.survey,
            tmp_path / "finer",
            instrument_settings=lab.bare.settings,
            regions=stored.regions,
        )
    assert not (tmp_path / "finer.hae").exists()
    with pytest.raises(DamagedRecord, match=NAMES[what]):
        branch(record, 8, tmp_path / "branch")
    assert not (tmp_path / "branch.hae").exists()


def test_a_branch_from_before_the_damage_is_made(record, tmp_path):
    delete(file_of(record, "spectrum"))
    path = branch(record, 3, tmp_path / "branch")
    assert len(open_run(path).measurements) == 3


def test_an_older_record_is_read_without_checksums(older, original):
    stored, whole = open_run(older), open_run(original)
    assert stored.damage == ()
    for found, expected in zip(stored.measurements, whole.measurements, strict=True):
        assert np.array_equal(found.spectrum.counts, expected.spectrum.counts)
    assert np.array_equal(stored.survey.data, whole.survey.data)
    stored.expect_usable()


@each_kind
@pytest.mark.parametrize("harm", [delete, cut, empty])
def test_of_an_older_record_a_missing_chunk_is_no_fill_value(older, what, harm):
    harm(file_of(older, what))
    (damage,) = open_run(older).damage
    assert str(damage).startswith(NAMES[what])


def metadata_of(record, what):
    file = {
        "spectrum": "spectra/zarr.json",
        "survey": "survey/0/zarr.json",
        "maps": f"maps/{last_maps(record)}/zarr.json",
    }[what]
    return record / "arrays.zarr" / file


ABSURD = {
    "shape": {"shape": [200_000, 200_000, 2]},
    "chunks": {
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [10_000, 10_000, 10]},
        }
    },
    "many chunks": {
        "shape": [1, 2**14, 2**14],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1, 1]}},
    },
    "codec": {"codecs": [{"name": "vlen-bytes"}]},
    "other order": {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}]},
    "type": {"data_type": "float64"},
    "text": {"shape": "x"},
}


@pytest.mark.parametrize("what", ["spectrum", "survey", "maps"])
@pytest.mark.parametrize("change", list(ABSURD))
@pytest.mark.parametrize("is_older", [False, True])
def test_absurd_metadata_is_refused_before_anything_is_allocated(
    record, what, change, is_older, request
):
    if is_older:
        request.getfixturevalue("older")
    file = metadata_of(record, what)
    values = json.loads(file.read_text("utf-8"))
    changed = dict(ABSURD[change])
    if what == "spectrum" and change in ("shape", "many chunks"):
        changed["shape"] = changed["shape"][1:]
    file.write_text(json.dumps(values | changed), "utf-8")
    tracemalloc.start()
    try:
        damage = open_run(record).damage
    except NotARecord as error:
        # Nothing else tells the size of an older survey image.
        assert "survey image 1 is damaged" in str(error)
        assert what == "survey"
    else:
        assert damage
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 30e6


@pytest.mark.parametrize("shape", [[1, 10**6, 10**6], [0, 8, 8], [8, 8], "x"])
def test_an_absurd_shape_in_the_journal_is_damage_of_its_line(record, shape, capsys):
    journal = record / "journal.jsonl"
    entries = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    next(x for x in entries if x["event"] == "survey")["shape"] = shape
    journal.write_text("".join(json.dumps(x) + "\n" for x in entries), "utf-8")
    assert main(["info", str(record)]) == 2
    assert "line 2 of" in capsys.readouterr().err


def test_a_chunk_that_unpacks_to_more_than_it_holds_is_not_unpacked(record):
    bomb = Zstd().encode(np.zeros(300 * 2**20, np.uint8))
    file_of(record, "survey").write_bytes(bomb)
    tracemalloc.start()
    (damage,) = open_run(record).damage
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(damage) == "survey image 1 is damaged"
    assert peak < 30e6


def test_a_chunk_of_zeros_is_written_and_missed(tmp_path):
    arrays = RunArrays(tmp_path / "arrays.zarr", writable=True)
    data = np.zeros((1, 4, 4), np.float32)
    data[0, 0, 0] = -0.0
    arrays.write_survey(0, data)
    announced = Announced(data.shape, checksum(data))
    found = arrays.survey(0, announced)
    assert np.signbit(found[0, 0, 0])
    (tmp_path / "arrays.zarr/survey/0/c/0/0/0").unlink()
    with pytest.raises(DamagedArray, match="is missing"):
        arrays.survey(0, announced)
