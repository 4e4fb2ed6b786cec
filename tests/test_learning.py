"""Records become what the model of a new run begins with."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from napari_hae.agent.experience import load_experience
from napari_hae.cli import main
from napari_hae.experiment.journal_events import Actor
from napari_hae.experiment.learning import LEAST, NothingToLearn, components, learn
from napari_hae.experiment.record import Record
from napari_hae.experiment.stored import open_run

SMALL = ["--set", "survey.shape=[32, 32]", "--set", "initial.points=5"]
RANDOM = ["--set", "acquisition.kind='random'"]


def run(out, *more, steps=12, seed=1):
    words = ["run", "--instrument", "simulated", *SMALL, "--steps", str(steps)]
    sample = ["--seed", str(seed), "--set", f"instrument.seed={seed}"]
    assert main([*words, *sample, "--out", str(out), *more]) == 0
    return open_run(out)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    return run(tmp_path_factory.mktemp("earlier") / "first.hae", *RANDOM, steps=30)


def path_of(run):
    return [(m.proposal.row, m.proposal.column, m.proposal.mean) for m in run]


def test_an_experience_holds_what_was_measured_and_where(earlier):
    (visit,) = learn([earlier]).visits
    np.testing.assert_array_equal(visit.image, earlier.survey.data)
    places = [divmod(int(pixel), 32) for pixel in visit.pixels]
    measured = earlier.measurements
    assert places == [(m.proposal.row, m.proposal.column) for m in measured]
    np.testing.assert_array_equal(visit.values[:, 0], [m.target for m in measured])


def test_components_are_those_that_stand_out_of_the_noise():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(60, 2))
    lines = np.zeros((2, 100))
    lines[0, 20:30], lines[1, 60:70] = 40, 25
    found = components(rng.poisson(np.maximum(100 + hidden @ lines, 1)))
    assert found.shape == (60, 2)
    for score, truth in zip(found.T, hidden.T, strict=True):
        assert abs(np.corrcoef(score, truth)[0, 1]) > 0.9
    assert components(rng.poisson(100, (60, 100))).shape == (60, 0)
    assert components(np.zeros((9, 4))).shape == (9, 0)


def test_runs_are_learned_from_together_with_the_last_ones_scalarizer(
    earlier, tmp_path
):
    band = ["--set", "scalarizer.low_ev=0.6", "--set", "scalarizer.high_ev=0.7"]
    last = run(tmp_path / "last", *RANDOM, *band, seed=2)
    experience = learn([earlier, last])
    assert [len(visit.pixels) for visit in experience.visits] == [30, 12]
    scalarizer = last.settings.scalarizer
    expected = [scalarizer(m.spectrum) for m in earlier.measurements]
    np.testing.assert_array_equal(experience.visits[0].values[:, 0], expected)


def test_of_long_runs_a_part_is_taken(earlier, monkeypatch):
    monkeypatch.setattr("napari_hae.experiment.learning.MOST", 16)
    (visit,) = learn([earlier]).visits
    assert len(visit.pixels) == len(set(visit.pixels)) == 16
    assert visit.values[0, 0] == earlier.measurements[0].target
    assert visit.values[-1, 0] == earlier.measurements[-1].target


def test_what_cannot_be_learned_from_is_told_in_words(earlier):
    short = replace(earlier, measurements=earlier.measurements[: LEAST - 1])
    with pytest.raises(NothingToLearn, match=f"first.hae: {LEAST - 1} spectra"):
        learn([short])
    with pytest.raises(NothingToLearn, match="before it had a survey image"):
        learn([replace(earlier, survey=None)])
    image = replace(earlier.survey, data=earlier.survey.data[:1], detectors=("HAADF",))
    with pytest.raises(NothingToLearn, match="not as many detectors"):
        learn([earlier, replace(earlier, survey=image)])
    measured = earlier.measurements[0]
    axis = replace(measured.spectrum.energy, offset_ev=3.0)
    shifted = replace(measured, spectrum=replace(measured.spectrum, energy=axis))
    with pytest.raises(NothingToLearn, match="not the same energy axis"):
        learn([replace(earlier, measurements=(shifted, *earlier.measurements))])


def test_the_command_line_makes_a_file_that_a_run_uses(earlier, tmp_path, capsys):
    file = tmp_path / "experience.npz"
    assert main(["learn", str(earlier.path), "--out", str(file)]) == 0
    assert f"model.earlier={file}" in capsys.readouterr().out
    assert load_experience(file).measured == 30
    plain = run(tmp_path / "plain", seed=2)
    learned = run(tmp_path / "learned", "--set", f"model.earlier={file}", seed=2)
    initial = plain.settings.initial.points
    before, after = path_of(plain.measurements), path_of(learned.measurements)
    assert [p[:2] for p in after[:initial]] == [p[:2] for p in before[:initial]]
    assert after[initial:] != before[initial:]


def test_a_resumed_run_finds_what_it_learned_wherever_the_file_has_gone(
    earlier, tmp_path
):
    file = tmp_path / "experience.npz"
    learn([earlier]).save(file)
    given = ["--set", f"model.earlier={file}"]
    whole = run(tmp_path / "whole", *given, steps=14, seed=2)
    run(tmp_path / "cut", *given, steps=9, seed=2)
    file.unlink()
    moved = shutil.move(tmp_path / "cut.hae", tmp_path / "moved.hae")
    assert main(["resume", str(moved), "--steps", "14"]) == 0
    resumed = open_run(moved)
    assert str(path_of(resumed.measurements)) == str(path_of(whole.measurements))
    assert resumed.settings.model.earlier.parent == moved


def test_what_is_no_experience_is_told_before_a_record_is_made(tmp_path, capsys):
    out = tmp_path / "new.hae"
    words = ["run", "--instrument", "simulated", "--out", str(out)]
    missing = tmp_path / "missing.npz"
    assert main([*words, "--set", f"model.earlier={missing}"]) == 2
    assert "missing.npz holds no experience" in capsys.readouterr().err
    assert not out.exists()
    given = [f"model.earlier={missing}", "model.network='none'"]
    assert main([*words, *(w for each in given for w in ("--set", each))]) == 2
    assert "network 'transfer' only" in capsys.readouterr().err


def test_learning_from_what_is_no_record_or_over_a_file_is_wrong_use(
    earlier, tmp_path, capsys
):
    file = tmp_path / "experience.npz"
    assert main(["learn", str(tmp_path), "--out", str(file)]) == 2
    assert "is no record" in capsys.readouterr().err
    file.write_text("mine")
    assert main(["learn", str(earlier.path), "--out", str(file)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_another_number_of_detectors_ends_a_run_in_words(earlier, tmp_path, capsys):
    file, out = tmp_path / "experience.npz", tmp_path / "one.hae"
    learn([earlier]).save(file)
    words = ["run", "--instrument", "simulated", *SMALL, "--out", str(out)]
    one = ["--set", "survey.detectors=['HAADF']", "--set", f"model.earlier={file}"]
    assert main([*words, *one]) == 1
    assert "with detectors: 2; this one has 1" in capsys.readouterr().out
    last = json.loads((out / "journal.jsonl").read_text().splitlines()[-1])
    assert last["reason"] == "failed"


def test_what_is_learned_in_mid_run_is_kept_in_the_record_too(earlier, tmp_path):
    file = tmp_path / "experience.npz"
    learn([earlier]).save(file)
    started = run(tmp_path / "started", *RANDOM)
    before = started.settings.model.model_dump(mode="json")
    after = before | {"earlier": str(file)}
    record = Record.reopen(started)
    record.settings(12, {"model": (before, after)}, who=Actor.PERSON)
    record.close()
    reopened = open_run(started.path)
    assert reopened.first_settings.model.earlier is None
    kept = reopened.settings.model.earlier
    assert kept.parent == started.path
    assert kept.read_bytes() == file.read_bytes()
