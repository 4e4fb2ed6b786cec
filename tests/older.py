"""Lines of a journal as version 0.1.0 wrote them, in format 2."""

from __future__ import annotations

from napari_hae.experiment.journal_format_2 import _REASONS

SENTENCES = {reason: sentence for sentence, reason in _REASONS.items()}


def as_format_2(entry: dict) -> dict:
    """A line of format 3, decoded, as one of format 2, which need not have a number."""
    old = {name: value for name, value in entry.items() if name != "n"}
    match entry["event"]:
        case "start":
            old["format"] = 2
        case "resume":
            old["counts_on"] = True
        case "refusal":
            reason, detail = entry["reason"], old.pop("detail")
            old["reason"] = SENTENCES.get(reason, detail or "vetoed by you")
            old["keep_out"] = reason in ("vetoed", "local_dose")
        case "booked":
            old["why"] = old.pop("detail") or old["reason"]
            del old["reason"]
    return old
