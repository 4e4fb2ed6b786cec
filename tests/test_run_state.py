"""The state of a run while it goes is what its journal on disk amounts to."""

from __future__ import annotations

import pytest

from napari_hae.experiment import following
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.journal import events_of
from napari_hae.experiment.journal_events import KINDS, FormatEvent
from napari_hae.experiment.record import JOURNAL
from napari_hae.experiment.run_state import RunState
from napari_hae.experiment.stored import open_run
from test_replay_everything import Clock, begun, interleaved, killed, resumed, steered

SEEDS = [(3, 1, 1), (4, 0, 3), (7, 1, 4), (10, 0, 1)]
"""Seed, look-ahead and batch."""


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(following, "time", Clock())


def comparable(state: RunState) -> dict[str, str]:
    """All of a state as text: NaN equals itself, and every digit is told."""
    plain = {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in vars(state).items()
        if name not in ("sources", "regions", "regions_begun", "survey")
    }
    plain["regions"] = state.regions.to_json()
    plain["regions_begun"] = [each.to_json() for each in state.regions_begun]
    plain["last_begun"] = state.last_begun
    plain["taken"] = sorted(state.taken_pixels)
    plain["spectra"] = [m.spectrum.counts.tobytes() for m in state.measurements]
    if state.survey is not None:
        plain["survey"] = state.survey.data.tobytes()
    return {name: repr(value) for name, value in plain.items()}


class Compared:
    """A record whose state is compared with its journal on disk after every event."""

    def __init__(self, record, monkeypatch) -> None:
        self._record, self._path = record, record.path / JOURNAL
        self._write = record._write
        self._folded = RunState(record.state.sources)
        self._read = 0
        self.kinds = set()
        if record.state.survey is not None:
            stored = open_run(record.path)
            self._folded, self._read = stored.state, len(stored.journal)
            self._folded.sources = record.state.sources
            self.kinds = {type(each) for each in stored.journal}
        monkeypatch.setattr(record, "_write", self.write)

    def write(self, event):
        written = self._write(event)
        # Those that are committed together are, when the last of them is there.
        lines = self._path.read_bytes().splitlines(keepends=True)
        if written.n < len(lines):
            self.compare(lines)
        return written

    def compare(self, lines) -> None:
        events = events_of(lines)[self._read :]
        for event in events:
            self._folded.apply(event)
            self.kinds.add(type(event))
        self._read = len(lines)
        assert comparable(self._record.state) == comparable(self._folded)


@pytest.fixture(scope="module")
def kinds():
    """All kinds of events that came."""
    return set()


@pytest.mark.parametrize("case", SEEDS)
def test_it_is_the_same_after_every_event_of_a_run_that_is_killed_and_gone_on_with(
    tmp_path, monkeypatch, case, kinds
):
    seed, lookahead, batch = case
    deeds = interleaved(seed, first=4)
    runner = begun(tmp_path / "run", seed, lookahead, batch)
    first = Compared(runner.record, monkeypatch)
    whole = steered(runner, deeds)
    path = killed(whole, 11 + seed, tmp_path / "killed.hae")
    again = resumed(path)
    second = Compared(again.record, monkeypatch)
    steered(again, {at: deed for at, deed in deeds.items() if at >= 11 + seed})
    kinds |= first.kinds | second.kinds


def test_it_is_the_same_after_an_abort(tmp_path, monkeypatch, kinds):
    runner = begun(tmp_path / "run", 2, 1)
    compared = Compared(runner.record, monkeypatch)
    runner.events.measured.connect(lambda m: m.step == 9 and runner.abort())
    runner.start()
    assert runner.wait(60)
    assert runner.finish_reason is FinishReason.ABORTED
    kinds |= compared.kinds


def test_these_runs_have_nearly_all_kinds_of_events(kinds):
    missing = {kind.model_fields["event"].default for kind in set(KINDS) - kinds}
    # Of other records, of the disk, of formats, and of a microscope's metadata.
    others = {"branch", "wider", "finer", "format", "metadata", "alone", "veto"}
    assert missing <= others | {"warning", "warning_over", "booked"}
    assert FormatEvent not in kinds
