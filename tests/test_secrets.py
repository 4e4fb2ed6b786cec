"""Secrets come from the user, never from a record, and go into none."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from bridge_processes import SMALL, TOKEN, ServerProcess
from in_thread import PATIENCE_S
from napari_hae import plugins
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.cli import main
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import Budget, ExperimentSettings
from napari_hae.instruments.bridge.token import VARIABLE
from napari_hae.instruments.catalogue import recorded_settings_of, settings_of
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.remote import RemoteMicroscope
from napari_hae.settings_base import SECRET

SECRETIVE = ("token", "secret", "password", "passphrase", "api_key", "credential")


def secrets_of(model):
    """The fields that are marked as secret, by type or by name."""
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra or {}
        if SecretStr in (field.annotation, *getattr(field.annotation, "__args__", ())):
            yield name
        elif extra.get(SECRET):
            yield name


def installed():
    for name in plugins.names(plugins.INSTRUMENTS):
        yield name, plugins.load(plugins.INSTRUMENTS, name).settings_type


def test_every_setting_with_the_name_of_a_secret_is_one():
    for name, model in installed():
        named = {f for f in model.model_fields if any(s in f for s in SECRETIVE)}
        assert named == set(secrets_of(model)), name


def test_no_secret_goes_into_a_record_or_comes_from_one(tmp_path):
    seen = set()
    for name, model in installed():
        for field in secrets_of(model):
            seen.add(field)
            value = str(tmp_path / "a file that is none of a stranger's business")
            given = settings_of(name, {field: value})
            assert field not in given.model_dump(mode="json")
            read = recorded_settings_of(name, {field: value})
            assert getattr(read, field) == model.model_fields[field].default
    assert seen == {"token", "token_file", "tiled_api_key"}


def test_a_record_of_a_stranger_gets_no_file_of_this_pc(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    private = tmp_path / "private"
    private.write_text("long enough to be taken for a token\n")
    strangers = {"host": "127.0.0.1", "port": 6532, "token_file": str(private)}
    settings = recorded_settings_of("remote", strangers)
    with pytest.raises(ValueError, match="needs the token that napari-hae serve"):
        settings.secret()


def test_a_run_is_resumed_with_the_token_of_the_user_only(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.delenv(VARIABLE, raising=False)
    with ServerProcess(*SMALL) as server:
        settings = server.settings()
        path = run_of(settings, tmp_path / "run")
        assert "token" not in (path / "journal.jsonl").read_text()
        assert main(["resume", "--trust", str(path), "--steps", "4"]) != 0
        assert "needs the token" in capsys.readouterr().err
        file = tmp_path / "token"
        file.write_text(TOKEN)
        resume = ["resume", "--trust", str(path), "--steps", "4"]
        resume += ["--token-file", str(file)]
        assert main(resume) == 0
        assert "spectra: 4" in capsys.readouterr().out


def run_of(settings, out):
    wanted = ExperimentSettings(
        initial=InitialDesign(points=3), budget=Budget(steps=3), seed=1
    )
    gate = GuardedInstrument(RemoteMicroscope(settings))
    gate.connect()
    try:
        record = Record.create(
            out, instrument="remote", instrument_settings=settings, settings=wanted
        )
        runner = Runner(gate, record, wanted)
        runner.start()
        assert runner.wait(PATIENCE_S)
        assert len(runner.measurements) == 3, runner.finish_text
    finally:
        gate.disconnect()
    return record.path


def test_resume_takes_no_token_on_the_command_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["resume", "run.hae", "--token", "x" * 20])
    assert ended.value.code == 2


def test_a_token_file_is_for_remote_runs_only(tmp_path, capsys):
    record = tmp_path / "here.hae"
    run = ["run", "--instrument", "simulated", "--steps", "1", "--out", str(record)]
    assert main([*run, "--set", "instrument.shape=[32,32]"]) == 0
    given = ["--steps", "2", "--token-file", str(tmp_path / "token")]
    assert main(["resume", str(record), *given]) != 0
    assert "runs of the instrument 'remote'" in capsys.readouterr().err
