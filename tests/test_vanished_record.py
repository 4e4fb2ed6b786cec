"""A record that cannot be written any more, in the middle of its run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from commanded import Command
from lab import TIMEOUT_S, Lab, experiment, path_of, run
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.experiment.export import export_hspy
from napari_hae.experiment.settings import Budget
from napari_hae.experiment.stored import open_run
from napari_hae.types import BeamState
from test_stopping import run as run_command

STEP = 6


def delete(record):
    shutil.rmtree(record)


def rename(record):
    record.rename(record.with_name("elsewhere.hae"))


def delete_journal(record):
    (record / "journal.jsonl").unlink()


def replace_journal(record):
    content = (record / "journal.jsonl").read_bytes()
    (record / "journal.jsonl").unlink()
    (record / "journal.jsonl").write_bytes(content)


def delete_arrays(record):
    shutil.rmtree(record / "arrays.zarr")


def delete_spectra(record):
    shutil.rmtree(record / "arrays.zarr" / "spectra")


VANISH = """
import shutil, sys
from napari_hae.cli import main
from napari_hae.experiment.record import Record
store = Record.measurement
def measurement(self, taken, *arguments, **more):
    store(self, taken, *arguments, **more)
    if taken.step == 2:
        shutil.rmtree(self.path)
Record.measurement = measurement
"""
BREAK = """
ours, its = os.pipe()
os.close(ours)
os.dup2(its, 1)
sys.exit(main())
"""
FILL = """
os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
sys.exit(main())
"""


def delete_lock(record):
    """Another program may write it now."""
    (record / "writer.lock").unlink()


def replace_lock(record):
    delete_lock(record)
    (record / "writer.lock").touch()


WAYS = [
    *(delete, rename, delete_journal, delete_lock, replace_lock),
    *(replace_journal, delete_arrays, delete_spectra),
]


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def vanishing(lab, vanish, **more):
    """A run whose record vanishes after some steps."""
    runner = lab.runner(experiment(), **more)

    def after(measurement):
        if measurement.step == STEP:
            vanish(runner.record.path)

    runner.events.measured.connect(after)
    return runner


def assert_all_saved(runner, saved):
    """What was announced is there, complete, and goes on."""
    stored = open_run(saved)
    announced = runner.measurements
    assert len(stored.measurements) >= len(announced) > STEP
    assert path_of(stored.measurements)[: len(announced)] == path_of(announced)
    for old, new in zip(announced, stored.measurements, strict=False):
        np.testing.assert_array_equal(new.spectrum.counts, old.spectrum.counts)
        assert new.spectrum.energy == old.spectrum.energy
        assert new.spectrum.dose_e == old.spectrum.dose_e
        assert (new.target, new.x_nm, new.y_nm) == (old.target, old.x_nm, old.y_nm)
    np.testing.assert_array_equal(stored.survey.data, runner.survey.data)
    assert "was saved here" in stored.warnings[-1]
    exported = saved.with_suffix(".hspy")
    export_hspy(stored, exported)
    assert exported.exists()


@pytest.mark.parametrize("vanish", WAYS)
def test_without_a_person_the_run_ends_and_all_spectra_are_saved(lab, vanish):
    runner = run(vanishing(lab, vanish))
    assert runner.finish_reason is FinishReason.FAILED
    assert "cannot be written" in runner.finish_text
    assert len(lab.bare.beam.exposed) < 12
    assert lab.gate.status().beam is BeamState.BLANKED
    saved = runner.rescue()
    assert_all_saved(runner, saved)
    # What was under way is none of what was announced, but its electrons are spent.
    assert len(open_run(saved).measurements) == len(lab.bare.beam.exposed)


def test_what_was_saved_is_gone_on_with(lab):
    runner = run(vanishing(lab, delete))
    past = open_run(runner.rescue())
    runner.record.path = past.path
    resumed = run(lab.resumed(runner, 12))
    assert resumed.finish_reason is FinishReason.COMPLETED
    assert path_of(resumed.measurements) == path_of(
        run(lab.runner(experiment())).measurements
    )


def test_with_a_person_the_run_pauses_blanked_and_goes_on_when_it_is_put_right(lab):
    runner = vanishing(lab, rename, attended=True)
    said = []
    runner.events.warned.connect(said.append)

    def put_right(state):
        if state is RunPhase.PAUSED and said:
            assert "cannot be written" in said[-1]
            path = runner.record.path
            path.with_name("elsewhere.hae").rename(path)
            runner.resume()

    runner.events.state_changed.connect(put_right)
    run(runner)
    assert runner.finish_reason is FinishReason.COMPLETED
    assert said
    assert not runner.record.trouble
    stored = open_run(runner.record.path)
    assert len(stored.measurements) == 12
    assert all(np.isfinite(m.spectrum.counts).all() for m in stored.measurements)


@pytest.mark.parametrize("vanish", WAYS)
def test_a_person_saves_the_spectra_elsewhere_and_stops(lab, vanish, tmp_path):
    runner = vanishing(lab, vanish, attended=True)
    beams, saved = [], []

    def save(state):
        if state is RunPhase.PAUSED:
            beams.append(lab.gate.status().beam)
            saved.append(runner.rescue(tmp_path / "safe"))
            runner.stop()

    runner.events.state_changed.connect(save)
    runner.start()
    assert runner.wait(TIMEOUT_S)
    assert saved[0].parent == tmp_path / "safe"
    # What was being exposed meanwhile is in it, and nothing is saved once more.
    assert str(saved[0]) in runner.finish_text
    assert not list(tmp_path.glob("*-rescued.hae"))
    assert_all_saved(runner, saved[0])
    assert len(open_run(saved[0]).measurements) == len(lab.bare.beam.exposed)


def test_a_resumed_run_saves_what_was_measured_before_it_too(lab):
    first = run(lab.runner(experiment(budget=Budget(steps=5))))
    runner = lab.resumed(first, 12)
    runner.events.measured.connect(
        lambda measurement: measurement.step == STEP and delete(runner.record.path)
    )
    run(runner)
    assert_all_saved(runner, runner.rescue())


@contextmanager
def small_disk(folder, kib=1024):
    """A file system of its own, that is soon full."""
    if os.name != "posix" or os.geteuid():
        pytest.skip("only root mounts a file system")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, keep=0):
    """Leave no more than some bytes of a small file system."""
    with (folder / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(file.tell() - keep, 0))


def test_a_full_disk_ends_the_run_and_the_spectra_are_saved_elsewhere(tmp_path):
    with small_disk(tmp_path / "small") as folder:
        lab = Lab(folder)
        runner = run(vanishing(lab, lambda record: fill(folder)))
        assert runner.finish_reason is FinishReason.FAILED
        assert "No space left" in runner.finish_text
        # What is on the disk has no half of a line, and no gap.
        on_disk = open_run(runner.record.path).measurements
        assert path_of(on_disk) == path_of(runner.measurements)[: len(on_disk)]
        saved = runner.rescue(tmp_path / "safe")
        assert_all_saved(runner, saved)
        # Beside it nothing is left of the attempt to save it there.
        elsewhere = runner.rescue()
        assert elsewhere.parent != folder
        assert not list(folder.glob("*rescued*"))
        shutil.rmtree(elsewhere)


def test_a_full_disk_is_emptied_and_the_run_goes_on(tmp_path):
    with small_disk(tmp_path / "small") as folder:
        lab = Lab(folder)
        runner = vanishing(lab, lambda record: fill(folder), attended=True)

        def make_room(state):
            if state is RunPhase.PAUSED:
                (folder / "ballast").unlink()
                runner.resume()

        runner.events.state_changed.connect(make_room)
        run(runner)
        assert runner.finish_reason is FinishReason.COMPLETED
        stored = open_run(runner.record.path)
        assert path_of(stored.measurements) == path_of(runner.measurements)
        assert len(stored.measurements) == 12


def test_a_share_that_goes_ends_the_run_and_the_spectra_are_saved(tmp_path):
    with small_disk(tmp_path / "small", kib=8192) as folder:
        lab = Lab(folder / "sub")
        lab.folder.mkdir()

        def go(record):
            subprocess.run(["umount", "-l", str(folder)], check=True)

        runner = run(vanishing(lab, go))
        assert runner.finish_reason is FinishReason.FAILED
        assert_all_saved(runner, runner.rescue(tmp_path / "safe"))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)


@pytest.mark.parametrize("folder", [None, "safe"])
def test_the_command_saves_the_spectra_says_where_and_fails(tmp_path, folder):
    rescue = ("--rescue", tmp_path / folder) if folder else ()
    with run_command(tmp_path, *rescue) as command:
        command.wait_for("exposure goes on")
        (tmp_path / "a.hae").rename(tmp_path / "b.hae")
        command.signal(signal.SIGTERM)
        assert command.wait() == 143, command.lines
    saved = tmp_path / (folder or "") / "a-rescued.hae"
    assert any(str(saved) in line for line in command.lines)
    assert len(open_run(saved).measurements) == 3


@pytest.mark.parametrize("output", ["broken pipe", "/dev/full"])
def test_the_command_saves_the_spectra_where_it_cannot_print(tmp_path, output):
    before = f"import os, signal; signal.signal({int(signal.SIGPIPE)}, signal.SIG_IGN)"
    code = f"{before}\n{VANISH}" + (BREAK if output == "broken pipe" else FILL)
    arguments = ("run", "--steps", "6", "--out", tmp_path / "a.hae")
    rescue = ("--rescue", tmp_path / "safe", "--instrument", "simulated")
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, (*arguments, *rescue))],
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert open_run(tmp_path / "safe" / "a-rescued.hae").measurements


@pytest.mark.parametrize("folder", [None, "safe"])
def test_the_demo_without_a_window_makes_no_report_of_what_is_gone(tmp_path, folder):
    out = tmp_path / "demo.hae"
    rescue = ("--rescue", tmp_path / folder) if folder else ()
    arguments = ("demo", "--headless", "--steps", "500", "--out", out, *rescue)
    with Command(tmp_path, *arguments) as command:
        command.wait_for("MEASURED")
        out.rename(tmp_path / "elsewhere")
        assert command.wait() == 1, command.lines
    saved = tmp_path / (folder or "") / "demo-rescued.hae"
    assert any(line == f"all spectra are saved: {saved}" for line in command.lines)
    assert "There is no report: " in command.lines[-1]
    assert not any("Traceback" in line for line in command.lines)
    assert not list(tmp_path.rglob("*.png"))
    assert open_run(saved).measurements
