"""Records of strangers that reach for files outside of them, or hold readers up."""

from __future__ import annotations

import os
import shutil

import pytest

from lab import Lab, experiment, run
from napari_hae.cli import main
from napari_hae.experiment.branch import branch
from napari_hae.experiment.record import Record
from napari_hae.experiment.record_files import NotARecord
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.writer_lock import WriterLock

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links need rights there")

SPECTRA = "arrays.zarr/spectra/c"
TREASURE = "a year of work"


@pytest.fixture
def record(tmp_path):
    return run(Lab(tmp_path).runner(experiment())).record.path


@pytest.fixture
def outside(tmp_path):
    """A folder of the user, outside of all records."""
    folder = tmp_path / "thesis"
    (folder / "12").mkdir(parents=True)
    (folder / "12" / "0").write_text(TREASURE)
    return folder


def state_of(folder):
    return {
        path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def link(path, to):
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(to)


PLACES = [
    *("writer.json", "writer.lock", "journal.jsonl", "arrays.zarr/zarr.json"),
    *(f"{SPECTRA}/8/0", f"{SPECTRA}/12/0", "experience-0123456789abcdef.npz"),
]


@pytest.mark.parametrize("name", PLACES)
def test_nothing_is_written_through_a_link_of_a_stranger_s_record(
    record, outside, capsys, name
):
    victim = outside / "12" / "0"
    if name == "journal.jsonl":
        victim.write_bytes((record / name).read_bytes())
    link(record / name, victim)
    before = state_of(record.parent)
    assert main(["resume", str(record), "--trust", "--steps", "14"]) == 2
    assert state_of(record.parent) == before
    error = capsys.readouterr().err
    assert f"{record / name} is a link" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", [SPECTRA, f"{SPECTRA}/12", "arrays.zarr"])
def test_nothing_is_written_through_a_link_to_a_folder(record, outside, capsys, name):
    link(record / name, outside)
    before = state_of(record.parent)
    assert main(["resume", str(record), "--trust", "--steps", "14"]) == 2
    assert "is a link" in capsys.readouterr().err
    assert state_of(record.parent) == before


def test_no_way_to_write_a_record_goes_through_a_link(record, outside, tmp_path):
    past = open_run(record)
    link(record / "writer.json", outside / "12" / "0")
    for write in (
        lambda: WriterLock(record),
        lambda: Record.reopen(past),
        lambda: branch(record, 5, tmp_path / "other"),
        lambda: open_run(record),
    ):
        with pytest.raises(NotARecord, match=r"writer\.json is a link"):
            write()
    assert (outside / "12" / "0").read_text() == TREASURE
    assert not (tmp_path / "other.hae").exists()


@pytest.mark.parametrize(
    "name", ["journal.jsonl", "writer.lock", "arrays.zarr/zarr.json", f"{SPECTRA}/3/0"]
)
def test_a_record_that_shares_files_with_a_backup_is_read_and_not_written(
    record, outside, tmp_path, capsys, name
):
    shared = record / name
    shared.touch()
    os.link(shared, outside / "backup")
    before = state_of(outside) | state_of(record)
    assert len(open_run(record).measurements) == 12
    assert main(["export", str(record), str(tmp_path / "made.hspy")]) == 0
    assert main(["resume", str(record), "--steps", "14"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{shared} has a second name elsewhere" in said
    with pytest.raises(NotARecord, match="hard link"):
        Record.reopen(open_run(record))
    assert state_of(outside) | state_of(record) == before
    # Its copy is the user's own.
    copy = shutil.copytree(record, tmp_path / "copy.hae")
    Record.reopen(open_run(copy)).close()


@pytest.mark.parametrize("name", ["writer.json", "writer.lock", "journal.jsonl"])
def test_a_new_run_takes_no_name_over_where_a_link_lies(tmp_path, outside, name):
    path = tmp_path / "run1.hae"
    path.mkdir()
    link(path / name, outside / "12" / "0")
    with pytest.raises(NotARecord, match="is a link"):
        Lab(tmp_path).runner(experiment())
    assert (outside / "12" / "0").read_text() == TREASURE


@pytest.mark.parametrize(
    "name", [f"{SPECTRA}/8/0", "experience-0123456789abcdef.npz", "notes"]
)
def test_a_pipe_holds_nobody_up(record, tmp_path, capsys, name):
    (record / name).unlink(missing_ok=True)
    os.mkfifo(record / name)
    for command in (
        ["info", str(record)],
        ["resume", str(record), "--trust", "--steps", "14"],
        ["branch", str(record), "--after", "5", "--out", str(tmp_path / "other")],
    ):
        assert main(command) == 2
        assert f"{record / name} is a pipe" in capsys.readouterr().err


def test_the_user_may_have_a_link_to_a_record(record, tmp_path):
    latest = tmp_path / "latest.hae"
    latest.symlink_to(record)
    assert len(open_run(latest).measurements) == 12
    Record.reopen(open_run(latest)).close()


def test_a_record_without_the_suffix_goes_on_where_it_is(tmp_path, monkeypatch):
    arguments = ["--headless", "--seed", "1", "--out", str(tmp_path / "a.hae")]
    assert main(["demo", "--steps", "4", *arguments]) == 0
    plain = tmp_path / "plain"
    shutil.copytree(tmp_path / "a.hae", plain)
    assert main(["resume", str(plain), "--steps", "5"]) == 0
    assert not plain.with_suffix(".hae").exists()
    assert len(open_run(plain).measurements) == 5
