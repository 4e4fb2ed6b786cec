from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from napari_hae.cli import main
from napari_hae.hyperspy_signals import hyperspy

SMALL = ["--set", "instrument.shape=[32, 32]", "--set", "acquisition.kind='random'"]


def run(out, *more, steps=6):
    arguments = ["run", "--instrument", "simulated", *SMALL, "--steps", str(steps)]
    return main([*arguments, "--out", str(out), *more])


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "first.hae"
    assert run(path, "--seed", "3") == 0
    return path


def info(path, capsys):
    capsys.readouterr()
    assert main(["info", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_run_leaves_a_record_that_info_reads(record, capsys):
    held = info(record, capsys)
    assert held["instrument"] == "simulated"
    assert held["finish_reason"] == "completed"
    assert held["steps"] == len(held["measurements"]) == 6
    assert set(held["measurements"][0]) == {
        *("step", "row", "column", "x_nm", "y_nm", "target", "chosen_by", "dose")
    }


def test_resume_goes_on_to_the_new_number_of_steps(record, capsys):
    before = info(record, capsys)["measurements"]
    assert main(["resume", str(record), "--steps", "9"]) == 0
    after = info(record, capsys)["measurements"]
    assert after[:6] == before
    assert len(after) == 9


def test_resume_without_anything_left_to_do_is_wrong_use(record, capsys):
    assert main(["resume", str(record)]) == 2
    assert "--steps above 6" in capsys.readouterr().err


def test_export_opens_in_hyperspy_calibrated(record, tmp_path, capsys):
    exported = tmp_path / "first.hspy"
    assert main(["export", str(record), str(exported)]) == 0
    signal = hyperspy().load(exported)
    measured = info(record, capsys)["measurements"]
    assert signal.data.shape == (6, 439)
    axis = signal.axes_manager.signal_axes[0]
    assert (axis.units, axis.offset, axis.scale) == ("eV", -0.3, 0.004)
    positions = signal.metadata.napari_hae.x_nm
    np.testing.assert_array_equal(positions, [m["x_nm"] for m in measured])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "budget.stepz=3"], "budget.stepz: there is no such setting"),
        (["--set", "nonsense"], "section.name=value"),
        (["--set", "measurement.exposure_s=-1"], "measurement.exposure_s"),
        (["--set", "scalarizer.kind='magic'"], "there is no 'magic'"),
        (["--config", "missing.toml"], "cannot be read"),
    ],
)
def test_wrong_use_is_told_in_words_and_leaves_no_record(
    tmp_path, capsys, arguments, words
):
    out = tmp_path / "wrong.hae"
    assert run(out, *arguments) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_nothing_is_overwritten(record, capsys):
    assert run(record) == 2
    assert "exists already" in capsys.readouterr().err


def test_what_is_no_record_is_told_so(tmp_path, capsys):
    assert main(["info", str(tmp_path)]) == 2
    assert "is no record" in capsys.readouterr().err


def test_a_run_that_fails_says_why_and_exits_with_1(tmp_path, capsys):
    out = tmp_path / "failed.hae"
    arguments = ["--set", "scalarizer.low_ev=70", "--set", "scalarizer.high_ev=71"]
    assert run(out, *arguments) == 1
    assert "holds no channel" in capsys.readouterr().out
    assert info(out, capsys)["finish_reason"] == "failed"


def test_a_configuration_file_is_read_and_options_win(tmp_path, capsys):
    config = tmp_path / "my.toml"
    config.write_text(
        "seed = 9\n[budget]\nsteps = 3\n[measurement]\nexposure_s = 0.2\n"
    )
    out = tmp_path / "configured.hae"
    assert run(out, "--config", str(config), steps=4) == 0
    start = json.loads((out / "journal.jsonl").read_text().splitlines()[0])
    assert start["settings"]["seed"] == 9
    assert start["settings"]["budget"]["steps"] == 4
    assert start["settings"]["measurement"]["exposure_s"] == 0.2


def test_the_demo_runs_headless_and_leaves_a_report(tmp_path, capsys):
    out = tmp_path / "demo.hae"
    assert main(["demo", "--headless", "--steps", "12", "--out", str(out)]) == 0
    assert out.with_suffix(".png").stat().st_size > 20_000
    assert "report:" in capsys.readouterr().out


def test_forensics_writes_one_page_with_its_figures(tmp_path, capsys):
    out = tmp_path / "first.hae"
    usual = ["--set", "acquisition.kind='log_ei'", "--set", "initial.points=4"]
    assert run(out, *usual, steps=8) == 0
    capsys.readouterr()
    against = ["--against", "random", "--against", "acquisition.kind=ucb"]
    assert main(["forensics", str(out), *against]) == 0
    said = capsys.readouterr().out
    assert "8 spectra on simulated" in said
    report = tmp_path / "first.html"
    assert f"report: {report}" in said
    page = report.read_text(encoding="utf-8")
    pictures = re.findall('src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == page.count("<img") == 6
    for picture in pictures:
        assert base64.b64decode(picture).startswith(b"\x89PNG")
    # It needs no other file.
    assert "http" not in page
    for title in ("Regret", "Interventions", "Against acquisition.kind=ucb"):
        assert f"<h2>{title}</h2>" in page
    assert "Nobody intervened." in page
    assert "The truth is the simulated sample" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--against", "budget.steps=3"], "budget cannot be changed afterwards"),
        (["--against", "acquisition.kind=magic"], "there is no 'magic'"),
        (["--against", "ucb"], "section.name=value"),
        (["--out", "{}"], "is a directory"),
        (["--out", "{}/nowhere/report.html"], "there is no directory"),
    ],
)
def test_wrong_use_of_forensics_is_told_in_words(
    record, tmp_path, capsys, arguments, words
):
    given = [each.format(tmp_path) for each in arguments]
    assert main(["forensics", str(record), *given]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))


def test_forensics_of_what_is_no_record_is_told_so(tmp_path, capsys):
    assert main(["forensics", str(tmp_path / "missing.hae")]) == 2
    assert "is no record" in capsys.readouterr().err
