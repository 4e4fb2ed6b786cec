from __future__ import annotations

import base64
import json
import os
import re

import numpy as np
import pytest

from napari_hae import plugins
from napari_hae.cli import main, serving
from napari_hae.cli.settings_list import SECTIONS
from napari_hae.experiment.known_settings import kinds_of, sections
from napari_hae.experiment.settings import Budget
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.instruments.simulated import SimulatedMicroscope as Simulated

SIMULATED = ["--instrument", "simulated"]
SMALL = ["--set", "instrument.shape=[32, 32]", "--set", "acquisition.kind='random'"]


def run(out, *more, steps=6):
    arguments = ["run", *SIMULATED, *SMALL, "--steps", str(steps)]
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


@pytest.mark.parametrize("name", ["", ".", "..", "/", "sub/.."])
@pytest.mark.parametrize("command", [["run", *SIMULATED], ["branch", "--after", "3"]])
def test_what_names_no_record_is_refused_before_anything_is_done(
    record, tmp_path, monkeypatch, capsys, command, name
):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setattr(Simulated, "connect", lambda self: pytest.fail("connected"))
    given = [str(record)] if command[0] == "branch" else []
    assert main([*command, *given, "--out", name]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "names no record; a name such as run.hae is needed" in said
    assert sorted(each.name for each in tmp_path.iterdir()) == ["first.hae", "sub"]


def test_a_record_in_what_is_no_folder_is_refused(tmp_path, capsys):
    (tmp_path / "plain").touch()
    assert run(tmp_path / "plain" / "sub" / "wrong.hae") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "plain is no folder" in said


def test_a_record_in_use_is_told_before_the_microscope_is_connected(
    record, monkeypatch, capsys
):
    monkeypatch.setattr(Simulated, "connect", lambda self: pytest.fail("connected"))
    assert run(record) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--instrument", "replay", "--out", "new.hae", "--file"],
        ["serve", "--instrument", "replay", "--port", "0", "--file"],
        ["run", *SIMULATED, "--out", "new.hae", "--config"],
        ["serve", "--instrument", "simulated", "--port", "0", "--config"],
        ["info"],
        ["resume"],
        ["learn", "--out", "new.npz"],
    ],
)
def test_a_file_that_is_not_there_is_wrong_use_everywhere(
    tmp_path, monkeypatch, capsys, arguments
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(serving, "_log_with_times", lambda: None)
    assert main([*arguments, "missing.hspy"]) == 2
    assert "missing.hspy" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "pipe"],
        ["--set", "model.weights=pipe"],
        ["--set", "model.earlier=pipe"],
        ["--set", "scalarizer.kind=similarity", "--set", "scalarizer.file=pipe"],
        ["--instrument", "replay", "--file", "pipe"],
    ],
)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are named on POSIX only")
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(
    tmp_path, monkeypatch, capsys, arguments
):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    assert main(["run", *SIMULATED, "--out", "new.hae", *arguments]) == 2
    assert "pipe is a pipe, socket or device" in capsys.readouterr().err
    assert not (tmp_path / "new.hae").exists()


def test_a_record_is_named_by_the_folder_that_one_is_in(
    record, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(record)
    assert main(["forensics", "."]) == 0
    assert (tmp_path / "first.html").is_file()


def test_nothing_is_overwritten(record, capsys):
    assert run(record) == 2
    assert "exists already" in capsys.readouterr().err


def test_what_is_no_record_is_told_so(tmp_path, capsys):
    assert main(["info", str(tmp_path)]) == 2
    assert "is no record" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scalarizer.low_ev=70", "scalarizer.high_ev=71"], "holds no channel"),
        (["measurement.exposure_s=1000"], "1000 s"),
        (["measurement.detector='EDX'"], "EDX"),
        (["survey.dwell_time_s=100"], "dwell time of 100 s"),
        (["survey.detectors=['XX']"], "no detector XX"),
        (["survey.shape=[4, 4]"], "4"),
    ],
)
def test_what_the_instrument_refuses_leaves_no_record_and_its_name_free(
    tmp_path, capsys, arguments, words
):
    out = tmp_path / "refused.hae"
    assert run(out, *(each for text in arguments for each in ("--set", text))) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()
    assert run(out) == 0


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


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("instrument=1", "instrument: 1 is not allowed: it is a section"),
        ("instrument='replay'", "Which instrument it is, --instrument says"),
        ("budget=3", "it is a section, with the settings steps, dose_e"),
        ("scalarizer=3", "it is a section, with the settings kind, low_ev, high_ev"),
        ("plan=3", "plan: 3 is not allowed: it is a section"),
        ("budget.stpes=3", "no such setting; budget has steps, dose_e"),
        ("acquisition.gamma=1", "no such setting; acquisition has kind"),
        ("instrument.pixels=9", "no such setting; instrument has shape, fov_nm"),
        ("scalariser.low_ev=1", "no such section; there are instrument, goal, scalar"),
        ("plan.kind=spiral", "plan.kind: 'spiral' is not allowed: one of 'agent'"),
        ("plan.stride_px=2", "plan: give plan.kind too"),
        ("seed=soon", "seed: 'soon' is not allowed: a whole number"),
        ("budget.time_s=soon", "budget.time_s: 'soon' is not allowed: a number"),
        ("loop.approve=maybe", "loop.approve: 'maybe' is not allowed: true or false"),
        (
            "instrument.shape=64",
            "shape: 64 is not allowed: a list of values",
        ),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(tmp_path, capsys, setting, words):
    out = tmp_path / "run.hae"
    arguments = ["run", "--instrument", "simulated", "--set", setting]
    assert main([*arguments, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
    assert "Traceback" not in said
    assert "dictionary" not in said
    assert not out.exists()


def test_an_instrument_in_place_of_its_section_is_refused_in_a_file_too(
    tmp_path, capsys
):
    config = tmp_path / "my.toml"
    config.write_text('instrument = "replay"\n')
    arguments = ["--config", str(config), "--file", "map.hspy"]
    assert run(tmp_path / "run.hae", *arguments) == 2
    assert "needs settings in instrument, which is set to 'replay'" in (
        capsys.readouterr().err
    )


def test_a_configuration_file_may_begin_with_a_byte_order_mark(tmp_path):
    config = tmp_path / "from_windows.toml"
    config.write_text("seed = 9\n", encoding="utf-8-sig")
    out = tmp_path / "configured.hae"
    assert run(out, "--config", str(config), steps=3) == 0
    start = json.loads((out / "journal.jsonl").read_text().splitlines()[0])
    assert start["settings"]["seed"] == 9


def test_the_record_may_stand_behind_what_it_is_held_against(record, tmp_path):
    report = tmp_path / "report.html"
    against = ["--against", "acquisition.kind=ucb acquisition.beta=3", str(record)]
    assert main(["forensics", "--out", str(report), *against]) == 0
    page = report.read_text(encoding="utf-8")
    assert "Against acquisition.kind=ucb, acquisition.beta=3" in page


def test_every_setting_is_listed_with_its_default_and_meaning(capsys):
    assert main(["settings"]) == 0
    listed = capsys.readouterr().out
    models = [
        (section, kind, model)
        for section in sections()
        for kind, model in kinds_of(section).items()
    ]
    assert len(models) > 20
    for section, _, model in models:
        for name, field in model.model_fields.items():
            assert name == "kind" or f"  {section}.{name} = " in listed
            assert name == "kind" or field.description, f"{section}.{name}"
    assert "budget.dose_e = (no limit)" in listed
    assert "Dose (e⁻). Electrons that the survey images" in listed
    assert "[acquisition] kind = 'log_ei' (default)" in listed
    assert "seed = 0" in listed


def test_the_settings_of_one_section_are_listed(capsys):
    assert main(["settings", "budget"]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith("[budget]")
    assert "instrument." not in listed
    assert main(["settings", "budgets"]) == 2
    assert "there is no section 'budgets'; there are inst" in capsys.readouterr().err


def test_the_help_of_run_names_instruments_sections_and_defaults(capsys):
    assert SECTIONS == sections()
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    for known in (*plugins.names(plugins.INSTRUMENTS), *SECTIONS):
        assert known in words
    assert f"default that of budget.steps, {Budget().steps}" in words


def test_an_old_zarr_is_refused_in_words(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("zarr.__version__", "2.18.7")
    words = ["run", "--instrument", "simulated", "--out", str(tmp_path / "run.hae")]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "napari-hae: napari-hae needs zarr 3 or newer, and zarr 2.18"
    )
    assert "Traceback" not in said
