from __future__ import annotations

import pytest

from lab import Lab, experiment, path_of, run
from napari_hae.agent.acquisition import LogExpectedImprovement, UpperConfidenceBound
from napari_hae.cli import main
from napari_hae.experiment.branch import branch
from napari_hae.experiment.journal_events import BranchEvent
from napari_hae.experiment.record import Record, RecordExists
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.settings import LoopSettings
from napari_hae.experiment.stored import NotARecord, open_run


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def go_on(lab, path, **sections):
    past = open_run(path)
    record = Record.reopen(past)
    settings = past.settings.replaced(**sections)
    return run(Runner(lab.gate, record, settings, past=past))


@pytest.mark.parametrize("lookahead", [0, 1])
@pytest.mark.parametrize("steps", [2, 7, 12])
def test_a_branch_goes_on_as_the_run_did_or_otherwise_if_changed(
    lab, tmp_path, lookahead, steps
):
    loop = LoopSettings(lookahead=lookahead)
    whole = run(lab.runner(experiment(acquisition=LogExpectedImprovement(), loop=loop)))
    before = path_of(open_run(whole.record.path).measurements)
    same = branch(whole.record.path, steps, tmp_path / "same")
    other = branch(whole.record.path, steps, tmp_path / "other.hae")
    held = open_run(same)
    assert path_of(held.measurements) == before[:steps]
    assert (held.measurements[-1].spectrum.counts > 0).any()
    assert path_of(go_on(lab, same).measurements) == before
    changed = go_on(lab, other, acquisition=UpperConfidenceBound(beta=50))
    assert path_of(changed.measurements)[:steps] == before[:steps]
    # The record that was branched stays as it is.
    assert path_of(open_run(whole.record.path).measurements) == before
    (event,) = [x for x in open_run(other).journal if isinstance(x, BranchEvent)]
    assert event.of == str(whole.record.path)


def test_a_branch_that_cannot_be_is_refused_in_words(lab, tmp_path, capsys):
    whole = run(lab.runner(experiment()))
    for steps in (0, 13):
        with pytest.raises(
            NotARecord, match=f"branch after 1 to 12 .* not after {steps}"
        ):
            branch(whole.record.path, steps, tmp_path / "new")
    with pytest.raises(RecordExists, match="exists already"):
        branch(whole.record.path, 3, whole.record.path)
    out = str(tmp_path / "cli.hae")
    arguments = ["branch", str(whole.record.path), "--after", "5", "--out", out]
    assert main(arguments) == 0
    assert len(open_run(tmp_path / "cli.hae").measurements) == 5
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_reason_for_a_branch_is_kept_and_told(lab, tmp_path):
    whole = run(lab.runner(experiment()))
    with_reason = branch(whole.record.path, 5, tmp_path / "new", why="it was lost")
    without = branch(whole.record.path, 5, tmp_path / "other")
    (event,), (other,) = (
        [x for x in open_run(each).journal if isinstance(x, BranchEvent)]
        for each in (with_reason, without)
    )
    assert (event.why, other.why) == ("it was lost", "")
    shared = "Step 6: you went back to here; what was before is shared with {}"
    told = shared.format(whole.record.path)
    assert sentence(event) == f"{told}, because: it was lost."
    assert sentence(other) == f"{told}."
