"""A record from a stranger runs no code, reads no file and contacts no host."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import zarr

from lab import Lab, experiment, run
from napari_hae import plugins
from napari_hae.agent.acquisition import AcquisitionFunction
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.scalarizers import BandIntegral, Scalarizer, ScalarizerError
from napari_hae.cli import main
from napari_hae.experiment.forensics.analysis import analyse
from napari_hae.experiment.journal import BrokenJournal
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.trust import MissingPart, NotTrusted
from napari_hae.gui.record_reader import read_records


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def path(lab):
    return run(lab.runner(experiment())).record.path


def rewrite(path, change):
    """Change the entries of a record's journal, in place."""
    journal = path / "journal.jsonl"
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    for entry in entries:
        change(entry)
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def scalarizer_of(scalarizer):
    """A change of the first settings."""

    def change(entry):
        if entry["event"] == "start":
            entry["settings"]["scalarizer"] = scalarizer
        if entry["event"] == "settings":
            entry["changes"].pop("scalarizer", None)

    return change


@pytest.fixture
def hostile(path, tmp_path):
    """A record whose scalarizer is code inside of it that leaves a mark."""
    code = path / "evil.py"
    code.write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef value(signal):\n"
        "    return 1.0\n"
    )
    function = {"kind": "user_function", "path": f"{code}:value"}
    rewrite(path, scalarizer_of(function))
    return path


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_record_runs_no_code_that_it_names(hostile, lab, tmp_path, capsys, is_nested):
    if is_nested:
        function = {"kind": "user_function", "path": f"{hostile / 'evil.py'}:value"}
        votes = {"kind": "votes", "weight": 0.5, "base": function}
        rewrite(hostile, scalarizer_of(votes))
    stored = open_run(hostile)
    assert "evil.py" in stored.outside[0]
    read_records(str(hostile))
    out = str(tmp_path / "out")
    assert main(["info", str(hostile)]) == 0
    assert main(["export", str(hostile), f"{out}.hspy"]) == 0
    assert main(["branch", str(hostile), "--after", "3", "--out", out]) == 0
    for command in (["resume", "--steps", "14"], ["forensics"]):
        capsys.readouterr()
        assert main([command[0], str(hostile), *command[1:]]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        if command[0] == "forensics":
            assert "evil.py:value" in said
            assert "--trust" in said
    record = Record.reopen(stored)
    with pytest.raises(NotTrusted, match=r"evil\.py"):
        Runner(lab.gate, record, stored.settings, past=stored)
    record.close()
    with pytest.raises(NotTrusted, match=r"evil\.py"):
        analyse(stored)
    with pytest.raises(ScalarizerError, match="trust"):
        stored.settings.scalarizer(stored.measurements[0].spectrum)
    assert not (tmp_path / "ran").exists()


def test_several_records_are_learned_from_without_their_code(
    hostile, lab, tmp_path, capsys
):
    other = run(lab.runner(experiment())).record.path
    out = str(tmp_path / "learned.npz")
    assert main(["learn", str(other), str(hostile), "--out", out]) == 2
    assert "evil.py" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert main(["learn", "--trust", str(other), str(hostile), "--out", out]) == 0
    assert (tmp_path / "ran").exists()


def test_with_consent_the_code_of_a_record_is_used(hostile, lab, tmp_path):
    stored = open_run(hostile, trust=True)
    stored.expect_usable()
    assert stored.settings.scalarizer(stored.measurements[0].spectrum) == 1.0
    assert (tmp_path / "ran").exists()


def test_an_imported_module_is_no_exception(path):
    system = {"kind": "user_function", "path": "antigravity:geohash"}
    rewrite(path, scalarizer_of(system))
    stored = open_run(path)
    with pytest.raises(NotTrusted, match="antigravity"):
        stored.expect_usable()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("instrument", "settings", "named"),
    [
        ("remote", {"host": "attacker.example"}, "attacker.example"),
        ("remote", {}, "127.0.0.1"),
        ("asyncroscopy", {"tango_host": "attacker.example:1"}, "attacker.example:1"),
        ("replay", {"file": "/somewhere/secret.hspy"}, "secret.hspy"),
    ],
)
def test_no_host_or_file_of_a_record_is_touched(
    path, capsys, monkeypatch, instrument, settings, named
):
    def change(entry):
        if entry["event"] == "start":
            entry["instrument"], entry["instrument_settings"] = instrument, settings

    rewrite(path, change)
    made = plugins.load(plugins.INSTRUMENTS, instrument)
    monkeypatch.setattr(made, "connect", lambda *_: pytest.fail("it was connected"))
    assert main(["resume", str(path), "--steps", "14"]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert "--trust" in said


def test_the_files_of_a_record_are_read_with_consent_only(path, lab):
    def change(entry):
        if entry["event"] == "start":
            entry["settings"]["model"]["weights"] = "/somewhere/weights.npz"

    rewrite(path, change)
    stored = open_run(path)
    with pytest.raises(NotTrusted, match=r"weights\.npz"):
        analyse(stored)


@pytest.mark.parametrize("name", ["../evil.npz", "/etc/passwd", "experience-x.npz"])
def test_the_experience_of_a_record_lies_inside_of_it(path, name):
    def change(entry):
        if entry["event"] == "start":
            entry["experience"] = name

    rewrite(path, change)
    with pytest.raises(BrokenJournal, match="is no name of an experience"):
        open_run(path)


def test_what_a_run_keeps_of_earlier_ones_needs_no_consent(lab, tmp_path):
    earlier = tmp_path / "learned.npz"
    run_path = run(lab.runner(experiment())).record.path
    assert main(["learn", str(run_path), "--out", str(earlier)]) == 0
    settings = experiment(model=ModelSettings(earlier=earlier))
    stored = open_run(run(lab.runner(settings)).record.path)
    assert stored.settings.model.earlier is not None
    assert stored.outside == ()
    stored.expect_usable()


class Mine(BandIntegral):
    """A scalarizer of another package."""

    kind: str = "mine"
    gain: float = 1.0


class Chance(AcquisitionFunction):
    """An acquisition function of another package."""

    kind: str = "chance"
    luck: float = 1.0

    title = "Chance"
    needs_model = False

    def __call__(self, posterior, best, rng):
        return rng.random(len(posterior.mean))


class _Dist:
    name, version = "lab-parts", "1.2"


class _Entry:
    dist, value = _Dist(), "lab_parts:thing"

    def __init__(self, name, thing):
        self.name, self._thing = name, thing

    def load(self):
        return self._thing


@pytest.fixture
def package(monkeypatch):
    """Another package with parts; what is given takes it away again."""
    found = plugins._found
    parts = {
        plugins.SCALARIZERS: {"mine": _Entry("mine", Mine)},
        plugins.ACQUISITION_FUNCTIONS: {"chance": _Entry("chance", Chance)},
        plugins.INSTRUMENTS: {"fake": _Entry("fake", None)},
    }
    monkeypatch.setattr(plugins, "_found", lambda group: found(group) | parts[group])
    return lambda: monkeypatch.setattr(plugins, "_found", found)


def test_a_record_opens_without_the_packages_of_its_parts(
    lab, tmp_path, package, capsys
):
    settings = experiment(scalarizer=Mine(gain=3.0), acquisition=Chance(luck=0.5))
    path = run(lab.runner(settings)).record.path
    assert isinstance(open_run(path).settings.scalarizer, Mine)
    package()
    stored = open_run(path)
    scalarizer: Scalarizer = stored.settings.scalarizer
    values = stored.settings.model_dump(mode="json")
    assert values["scalarizer"] == settings.scalarizer.model_dump(mode="json") | {
        name: values["scalarizer"][name] for name in ("low_ev", "high_ev")
    }
    assert values["acquisition"] == {"kind": "chance", "luck": 0.5}
    assert scalarizer.kind == "mine"
    assert len(stored.measurements) == 12
    assert read_records(str(path))
    out = tmp_path / "out.hspy"
    assert main(["info", str(path)]) == 0
    assert main(["export", str(path), str(out)]) == 0
    capsys.readouterr()
    for command in (["resume", str(path), "--steps", "14"], ["forensics", str(path)]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "lab-parts 1.2" in said


def test_a_record_of_an_older_version_says_that_the_package_is_not_known(path):
    rewrite(path, scalarizer_of({"kind": "mine", "gain": 3.0}))
    stored = open_run(path)
    with pytest.raises(MissingPart, match="'mine'"):
        stored.expect_usable()


def test_a_part_whose_package_has_changed_is_kept_as_recorded(lab, package):
    path = run(lab.runner(experiment(scalarizer=Mine()))).record.path

    def change(entry):
        for values in (
            entry.get("settings", {}).get("scalarizer"),
            entry.get("changes", {}).get("scalarizer", {}).get("new"),
        ):
            if values:
                values["gone"] = 1

    rewrite(path, change)
    stored = open_run(path)
    assert stored.settings.scalarizer.model_dump()["gone"] == 1
    with pytest.raises(MissingPart, match="cannot be used here"):
        stored.expect_usable()


def test_arrays_of_the_older_zarr_format_are_not_opened(path):
    """Its object arrays may be pickles, which run code when they are read."""
    shutil.rmtree(path / "arrays.zarr")
    zarr.open_group(path / "arrays.zarr", mode="w", zarr_format=2)
    with pytest.raises((OSError, ValueError)):
        open_run(path)
