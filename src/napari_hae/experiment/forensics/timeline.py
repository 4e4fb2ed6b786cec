"""The decisions of a stored run, each with all that was decided on, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_hae.experiment.attempts import Attempts
from napari_hae.experiment.drift import Drift, ImageAgain
from napari_hae.experiment.history import SettingsChange
from napari_hae.regions.regions import Regions
from napari_hae.types import Proposal

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.experiment.journal import Entry
    from napari_hae.experiment.stored import StoredRun

Pixel = tuple[int, int]

Moved = tuple[tuple[float, float], float]
"""How far the sample has drifted, `(y, x)` in nm, and to within what margin in nm."""
UNMOVED: Moved = ((0.0, 0.0), 0.0)

_OF_THE_RUN = {
    *("start", "survey", "survey_again", "proposal", "measurement", "maps"),
    "metadata",
    *("targets", "warning", "warning_over", "refusal", "resume", "end"),
}
"""What a run writes into its journal by itself."""
_VETOED = "vetoed by you"
"""How the reason of a veto begins in older records, which do not say who."""
_NOT_HUMAN = {"automatic", "instrument", "resume", "agent"}


@dataclass(frozen=True, eq=False)
class Decision:
    """One proposal, with what it was made on.

    Attributes
    ----------
    attempt
        How often its step was asked for before.
    regions, vetoed
        In force when it was made, which is earlier than when it was journalled if it
        was computed ahead.
    moved
        How far the sample was taken to have drifted then.
    pending
        The numbers of earlier decisions that were under way then.
    is_refused
        Whether it was not measured.
    """

    number: int
    proposal: Proposal
    attempt: int
    regions: Regions
    vetoed: frozenset[Pixel]
    moved: Moved
    pending: tuple[int, ...]
    is_refused: bool


@dataclass(frozen=True, eq=False)
class Deed:
    """What a human did between two decisions, as it stands in the journal.

    Attributes
    ----------
    entries
        The journal's lines, in order.
    before
        The number of the last decision before it, whose state of the agent is the one
        that it met.
    after
        The number of the first decision that was made under it.
    regions, vetoed
        In force before it.
    """

    entries: tuple[Entry, ...]
    before: int
    after: int
    regions: Regions
    vetoed: frozenset[Pixel]


@dataclass(frozen=True, eq=False)
class Timeline:
    """The decisions of a run, and what a human did between them, in order.

    Attributes
    ----------
    retargeted_by_human
        For each time that all measurements got new targets, whether a human was the
        cause.
    """

    decisions: tuple[Decision, ...]
    deeds: tuple[Deed, ...]
    retargeted_by_human: tuple[bool, ...]


@dataclass(eq=False)
class _Raw:
    """A proposal on its way through the journal."""

    proposal: Proposal
    place: int
    attempt: int
    refused_at: int | None = None


_State = tuple[Regions, frozenset[Pixel]]
"""Regions and vetoed pixels."""


def timeline_of(run: StoredRun) -> Timeline:
    """Read the journal of a run once more, for what decisions rested on."""
    entries = list(run.journal)
    raw, states = _decisions(run, entries)
    made_at = [_made_at(each, raw[:number]) for number, each in enumerate(raw)]
    moved = _moves(run, entries)
    decisions = []
    for number, (each, source) in enumerate(zip(raw, made_at, strict=True)):
        pending = tuple(
            earlier
            for earlier, other in enumerate(raw[:number])
            if other.proposal.step >= each.proposal.known
            and (other.refused_at is None or other.refused_at > source.place)
        )
        decisions.append(
            Decision(
                number,
                each.proposal,
                each.attempt,
                *states[source.place],
                moved(source),
                pending,
                each.refused_at is not None,
            )
        )
    places = [source.place for source in made_at]
    deeds = _deeds(entries, raw, places, states)
    return Timeline(tuple(decisions), deeds, _retargetings(entries))


def is_human(who: str) -> bool:
    """Whether an entry's `who` means a person."""
    return who not in _NOT_HUMAN


def _decisions(run: StoredRun, entries: list[Entry]) -> tuple[list[_Raw], list[_State]]:
    """All proposals that came to something, and what held before each line."""
    proposals = iter([x for x in run.history if isinstance(x, Proposal)])
    upcoming = next(proposals, None)
    found: list[_Raw] = []
    open_: dict[int, _Raw] = {}
    attempts = Attempts()
    regions, vetoed = Regions(), frozenset[Pixel]()
    states: list[_State] = []
    for place, entry in enumerate(entries):
        states.append((regions, vetoed))
        match entry["event"]:
            case "regions":
                regions = Regions.from_json(entry["regions"])
            case "finer":
                vetoed |= {(row, column) for row, column in entry["kept_out"]}
            case "veto":
                vetoed |= {(entry["row"], entry["column"])}
            case "resume":
                attempts.resume(entry)
                open_.clear()
            case "proposal" if upcoming is not None and _is(entry, upcoming):
                attempt = attempts[upcoming.step]
                each = _Raw(upcoming, place, attempt)
                found.append(each)
                open_[upcoming.step] = each
                upcoming = next(proposals, None)
            case "refusal" if entry["step"] in open_:
                refused = open_.pop(entry["step"])
                refused.refused_at = place
                attempts.refuse(refused.proposal, entry)
                if entry["keep_out"]:
                    pixel = refused.proposal.row, refused.proposal.column
                    vetoed = vetoed | {pixel}
    return found, states


def _is(entry: Entry, proposal: Proposal) -> bool:
    """Whether a line is that of a proposal; those that came to nothing are skipped."""
    kept = proposal.step, proposal.row, proposal.column, proposal.known
    return (entry["step"], entry["row"], entry["column"], entry["known"]) == kept


def _made_at(decision: _Raw, earlier: list[_Raw]) -> _Raw:
    """The decision at whose line this one was made: with look-ahead, an earlier one."""
    known = decision.proposal.known
    if decision.proposal.is_of_agent and known < decision.proposal.step:
        for other in reversed(earlier):
            if other.proposal.step == known:
                return other
    return decision


def _moves(run: StoredRun, entries: list[Entry]) -> Callable[[_Raw], Moved]:
    """Tells where the sample was taken to be at a decision's line."""
    images = [
        (place, ImageAgain.from_entry(entry))
        for place, entry in enumerate(entries)
        if entry["event"] == "survey_again"
    ]
    if run.survey is None or not images:
        return lambda source: UNMOVED
    exposed_s = [0.0]
    for measurement in run.measurements:
        exposed_s.append(exposed_s[-1] + measurement.spectrum.exposure_s)
    first, pixel_nm = Drift.after(run.survey), max(run.frame.pixel_nm)

    def moved(source: _Raw) -> Moved:
        drift = first
        for place, taken in images:
            if place < source.place:
                drift = taken.added_to(drift)
        drift = drift.waited(entries[source.place].get("waited_s", 0.0))
        time_s = exposed_s[source.proposal.step] + drift.scanned_s
        return drift.at(time_s), drift.margin_nm(time_s, pixel_nm)

    return moved


def _deeds(
    entries: list[Entry], raw: list[_Raw], made_at: list[int], states: list[_State]
) -> tuple[Deed, ...]:
    """What a human did in mid-run, in groups that met the same decision first."""
    groups: dict[int, list[tuple[int, Entry]]] = {}
    for place, entry in enumerate(entries):
        if not (raw and place > raw[0].place and _is_of_a_human(entry)):
            continue
        after = next((n for n, made in enumerate(made_at) if made > place), None)
        if after is not None:
            groups.setdefault(after, []).append((place, entry))
    deeds = []
    for after, group in groups.items():
        first = group[0][0]
        before = max(n for n, each in enumerate(raw) if each.place < first)
        lines = tuple(entry for _, entry in group)
        deeds.append(Deed(lines, before, after, *states[first]))
    return tuple(deeds)


def _retargetings(entries: list[Entry]) -> tuple[bool, ...]:
    """Whether a human was the cause of each line with new targets.

    The cause stands in the line before; none does where an older format was read.
    """
    return tuple(
        _is_of_a_human(entries[place - 1])
        for place, entry in enumerate(entries)
        if entry["event"] == "targets"
    )


def _is_of_a_human(entry: Entry) -> bool:
    if entry["event"] == "refusal":
        return "who" in entry or str(entry["reason"]).startswith(_VETOED)
    if entry["event"] in _OF_THE_RUN:
        return False
    return is_human(str(entry.get("who", "human")))


def settings_changes(run: StoredRun) -> list[SettingsChange]:
    """The changes of settings in the order in which the agent hears of them."""
    return [x for x in run.history if isinstance(x, SettingsChange)]
