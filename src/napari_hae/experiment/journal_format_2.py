"""Conversion of journal lines of format 2 and older to format 3."""

from __future__ import annotations

from typing import Any

from napari_hae.experiment.journal_events import EVENTS, Actor
from napari_hae.experiment.refusals import LostExposure, RefusalReason

_PERSON = frozenset(
    {"veto", "regions", "queue", "alone", "vote", "discard", "finer", "wider", "branch"}
)
"""Events that came from the user, even if `who` is missing."""
_VETOED = "vetoed by you"
_OTHER_AXIS = "an exposure of step "
_REASONS = {
    "the sample was not found": RefusalReason.SAMPLE_LOST,
    "the time budget is used up": RefusalReason.TIME_OVER,
    "another place was taken": RefusalReason.SUPERSEDED,
    "something was changed while it waited": RefusalReason.CHANGED,
    "the settings were changed": RefusalReason.SETTINGS,
    "it counted on a proposal that was refused": RefusalReason.EARLIER_REFUSED,
    "you chose another place": RefusalReason.PLACE_ASKED_FOR,
    "the plan comes first": RefusalReason.PLAN,
    "the soft regions were changed": RefusalReason.SOFT_REGIONS,
    "a measurement was discarded or taken in again": RefusalReason.DISCARDED,
    "a place was kept out": RefusalReason.KEPT_OUT,
}


def upgraded(values: dict[str, Any], number: int) -> dict[str, Any]:
    """Return one line of format 2 in format 3; `number` is the line's number.

    Fields unknown to all events are left out.
    """
    event = values.get("event")
    kind = EVENTS.get(event) if isinstance(event, str) else None
    if kind is None:
        return values
    new = {"n": number, **values}
    if "who" in new or event in _PERSON:
        new["who"] = _who(new.get("who", Actor.PERSON))
    match event:
        case "resume":
            new.setdefault("counts_on", False)
        case "refusal":
            new |= _refusal(new)
        case "booked":
            new |= _booked(new)
    return {name: value for name, value in new.items() if name in kind.model_fields}


def _who(name: object) -> str:
    """Return the code of the originator; the user if no other is named."""
    if name == "your votes":
        return Actor.VOTES
    if name == "agent":
        return Actor.PROGRAM
    return str(name) if name in tuple(Actor) else Actor.PERSON


def _refusal(values: dict[str, Any]) -> dict[str, Any]:
    """Return reason and detail of a refusal, which were one sentence."""
    sentence, keep_out = values.get("reason"), values.get("keep_out")
    if not (isinstance(sentence, str) and isinstance(keep_out, bool)):
        raise ValueError("refusal: it needs a text as reason, and whether to keep_out")
    if sentence.startswith(_VETOED):
        why = values.get("why") or sentence.removeprefix(_VETOED).lstrip(": ")
        return {"reason": RefusalReason.VETOED, "who": Actor.PERSON, "why": why}
    if reason := _REASONS.get(sentence):
        return {"reason": reason}
    reason = RefusalReason.LOCAL_DOSE if keep_out else RefusalReason.FORBIDDEN
    return {"reason": reason, "detail": sentence}


def _booked(values: dict[str, Any]) -> dict[str, Any]:
    """Return reason and detail of a lost exposure, which were stored as a reason."""
    sentence = values.get("why", "")
    if sentence == "the run ended":
        return {"reason": LostExposure.RUN_ENDED, "why": ""}
    if isinstance(sentence, str) and sentence.startswith(_OTHER_AXIS):
        return {"reason": LostExposure.OTHER_AXIS, "why": ""}
    return {"reason": LostExposure.FAILED, "detail": sentence, "why": ""}
