"""A record has one writer."""

from __future__ import annotations

import json
import os
import platform
import signal

import numpy as np
import pytest

from commanded import Command, first_to_end
from lab import Lab, experiment, run
from napari_hae.cli import main
from napari_hae.experiment.branch import branch
from napari_hae.experiment.record import Record, RecordExists
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.writer_lock import WRITER, RecordInUse, WriterLock
from test_stopping import run as run_command

HERE = platform.node()


@pytest.fixture
def record(tmp_path):
    return run(Lab(tmp_path).runner(experiment())).record.path


def test_a_second_writer_is_refused_and_told_whom_it_would_disturb(record):
    past = open_run(record)
    first = Record.reopen(open_run(record))
    with pytest.raises(RecordInUse, match=rf"process {os.getpid()} on {HERE} since 2"):
        Record.reopen(open_run(record))
    # Who only reads is not kept out.
    assert open_run(record).measurements[-1].target == past.measurements[-1].target
    first.close()
    Record.reopen(open_run(record)).close()
    assert not (record / WRITER).exists()


def test_what_a_killed_writer_left_is_taken_over(record):
    """Also where its number belongs to another process by now."""
    left = {"host": HERE, "process": os.getppid(), "since": "2020-01-01 00:00:00"}
    (record / WRITER).write_text(json.dumps(left))
    Record.reopen(open_run(record)).close()


def test_what_a_writer_on_another_host_left_is_believed(record, capsys):
    left = {"host": "scope-pc", "process": 7, "since": "2020-01-01 00:00:00"}
    (record / WRITER).write_text(json.dumps(left))
    lines = (record / "journal.jsonl").read_bytes()
    with pytest.raises(RecordInUse, match=r"process 7 on scope-pc since 2020.*delete"):
        WriterLock(record)
    assert main(["resume", str(record), "--steps", "30"]) == 2
    assert "scope-pc" in capsys.readouterr().err
    assert (record / "journal.jsonl").read_bytes() == lines
    (record / WRITER).unlink()
    WriterLock(record).close()


def test_a_branch_is_a_record_that_nobody_writes(record, tmp_path):
    with WriterLock(record):
        # The other one is only read for it.
        other = branch(record, 5, tmp_path / "other")
    Record.reopen(open_run(other)).close()


def test_a_branch_that_fails_leaves_its_name_free(record, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("shutil.copytree", full)
        with pytest.raises(OSError, match="disk is full"):
            branch(record, 5, tmp_path / "other")
    assert branch(record, 5, tmp_path / "other").is_dir()


def test_a_run_is_not_resumed_while_it_goes_and_is_when_it_was_killed(tmp_path):
    resume = ("resume", tmp_path / "a.hae")
    with run_command(tmp_path) as command:
        command.wait_for("exposure goes on")
        for _ in range(2):
            with Command(tmp_path, *resume, "--steps", "20") as second:
                assert second.wait() == 2
                assert not second.beam
                said = f"process {command.pid} on {HERE} since"
                assert sum(said in line for line in second.lines) == 1
        command.signal(signal.SIGKILL)
        command.wait()
    with Command(tmp_path, *resume, "--steps", "4") as second:
        assert second.wait() == 0, second.lines
    assert len(open_run(tmp_path / "a.hae").measurements) == 4


def test_of_two_that_resume_at_once_one_is_refused(tmp_path):
    with run_command(tmp_path, "--steps", "2") as command:
        assert command.wait() == 0, command.lines
    resume = ("resume", tmp_path / "a.hae", "--steps", "9")
    with Command(tmp_path, *resume) as one, Command(tmp_path, *resume) as other:
        with first_to_end(one, other) as refused:
            goes = one if refused is other else other
            assert refused.wait() == 2, refused.lines
            goes.wait_for("exposure goes on")
            goes.signal(signal.SIGTERM)
            assert goes.wait() == 143
    assert len(open_run(tmp_path / "a.hae").measurements) == 5


def nothing(path):
    pass


def a_lock(path):
    WriterLock(path).close()
    (path / WRITER).write_text('{"host": ')


def half_a_store(path):
    a_lock(path)
    (path / "arrays.zarr").mkdir()
    (path / "arrays.zarr" / "zarr.json").write_text('{"zarr_')


def half_a_line(path):
    a_lock(path)
    Record(path).close()
    (path / f"experience-{'0' * 16}.npz").write_bytes(b"PK")
    (path / "journal.jsonl").write_text('{"event": "start", ')


@pytest.mark.parametrize("leave", [nothing, a_lock, half_a_store, half_a_line])
def test_a_name_whose_writer_was_killed_before_the_first_line_is_used(tmp_path, leave):
    path = tmp_path / "run1.hae"
    path.mkdir()
    leave(path)
    assert len(open_run(run(Lab(tmp_path).runner(experiment())).record.path).journal)
    assert not list(path.glob("*.npz"))


def test_a_name_where_a_record_is_being_begun_is_not_used(tmp_path):
    path = tmp_path / "run1.hae"
    path.mkdir()
    with WriterLock(path), pytest.raises(RecordInUse, match=f"process {os.getpid()}"):
        Lab(tmp_path).runner(experiment())


def somebody_s_file(path):
    (path / "thesis.txt").write_text("all of it")


def a_spectrum(path):
    """The journal of a record was deleted."""
    record = Record(path)
    record._arrays.write_spectrum(0, np.ones(3, np.float32))
    record.close()
    (path / "journal.jsonl").unlink()


def a_file(path):
    path.rmdir()
    path.write_text("no folder")


@pytest.mark.parametrize("leave", [somebody_s_file, a_spectrum, a_file])
def test_a_name_where_anything_is_is_not_used(tmp_path, leave):
    path = tmp_path / "run1.hae"
    path.mkdir()
    leave(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RecordExists, match="exists already"):
        Lab(tmp_path).runner(experiment())
    assert sorted(tmp_path.rglob("*")) == before


def test_a_writer_whose_lock_was_deleted_is_believed_while_it_lives(tmp_path):
    with run_command(tmp_path) as command:
        command.wait_for("exposure goes on")
        (tmp_path / "a.hae" / "writer.lock").unlink()
        with pytest.raises(RecordInUse, match=f"process {command.pid} on {HERE}"):
            WriterLock(tmp_path / "a.hae")
        command.signal(signal.SIGKILL)
        command.wait()
    WriterLock(tmp_path / "a.hae").close()


def test_another_process_of_the_same_number_is_not_believed(record):
    lock = WriterLock(record)
    signed = json.loads((record / WRITER).read_text())
    lock.close()
    (record / WRITER).write_text(json.dumps({**signed, "began": signed["began"] - 60}))
    WriterLock(record).close()


def test_a_writer_whose_lock_is_gone_leaves_the_next_one_s_name(record):
    first = WriterLock(record)
    (record / "writer.lock").unlink()
    theirs = (record / WRITER).read_bytes().replace(b"since", b"Since")
    (record / WRITER).write_bytes(theirs)
    first.close()
    assert (record / WRITER).read_bytes() == theirs
