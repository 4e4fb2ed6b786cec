"""The journal of a run in sentences, for the window, the command line and reports.

An event of another kind gets its sentence by a function from an entry to words:

    @tells("queue")
    def _queue(entry):
        return f"{who(entry)} asked for {len(entry['places'])} places"

The step, the reason that was given, and the full stop are added to it. An event without
a function is told by its name and values.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from napari_hae.coordinates import place_text
from napari_hae.experiment.changes import changes, counted, in_words
from napari_hae.experiment.ending import Ending
from napari_hae.experiment.events import FinishReason
from napari_hae.instruments.dose import Exposure
from napari_hae.printable import printable_line
from napari_hae.types import WHOLE_FIELD, Area

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.experiment.journal import Entry

    Teller = Callable[[Entry], str]

_TELLERS: dict[str, Teller] = {}
_WHO = {
    "human": "you",
    "automatic": "the program",
    "instrument": "the instrument",
    "resume": "going on with the run",
}
_TOLD_OTHERWISE = ("event", "time", "step", "who", "why", "n")


def tells(event: str) -> Callable[[Teller], Teller]:
    """Register the function that tells an event; without step and full stop."""

    def register(teller: Teller) -> Teller:
        _TELLERS[event] = teller
        return teller

    return register


def sentence(entry: Entry) -> str:
    """One entry of the journal as a sentence. Steps count from 1, as in the window."""
    text = printable_line(_TELLERS.get(entry["event"], _anything)(entry))
    if entry.get("why"):
        text = f"{text.rstrip('.')}, because: {printable_line(entry['why'])}"
    if not text.endswith((".", "!", "?")):
        text += "."
    step = entry.get("step")
    if step is None or text.startswith("Step "):
        return text[:1].upper() + text[1:]
    return f"Step {step + 1}: {text}"


def is_intervention(entry: Entry) -> bool:
    """Whether something was changed in mid-run, so that curves may bend there."""
    return "who" in entry and int(entry.get("step") or 0) > 0


def who(entry: Entry) -> str:
    """Who did it, in words: "you" for a human."""
    name = str(entry.get("who", "the program"))
    return _WHO.get(name, name)


@tells("start")
def _start(entry: Entry) -> str:
    return f"the run began on {entry['instrument']}, napari-hae {entry['version']}"


@tells("resume")
def _resume(entry: Entry) -> str:
    return f"the run was taken up again, napari-hae {entry['version']}"


@tells("survey")
def _survey(entry: Entry) -> str:
    height, width = entry["fov_nm"]
    detectors = ", ".join(entry["detectors"])
    text = f"a survey image ({detectors}) of {height:.4g} × {width:.4g} nm"
    area = Area(*entry.get("area", astuple(WHOLE_FIELD)))
    if area == WHOLE_FIELD:
        return text
    where = place_text(area, (height / area.height, width / area.width))
    return f"{text}, the part {where} of the field"


@tells("survey_again")
def _survey_again(entry: Entry) -> str:
    what = "the fiducial region" if entry["is_fiducial"] else "the survey image"
    text = f"{who(entry)} took {what} again"
    if entry["refusal"]:
        return f"{text}, but the sample was not found: {entry['refusal']}"
    if entry["offset_nm"] is None:
        return text
    down, to_the_right = entry["offset_nm"]
    return f"{text}: the sample has drifted to x {to_the_right:+.3g}, y {down:+.3g} nm"


@tells("proposal")
def _proposal(entry: Entry) -> str:
    text = f"{entry['chosen_by']} chose row {entry['row']}, column {entry['column']}"
    if entry["mean"] is None:
        return text
    return f"{text}, predicted {entry['mean']:.3g} ± {entry['std']:.2g}"


@tells("refusal")
def _refusal(entry: Entry) -> str:
    kept_out = "; its place is kept out" if entry["keep_out"] else ""
    return f"a proposal was not measured: {entry['reason']}{kept_out}"


@tells("veto")
def _veto(entry: Entry) -> str:
    return f"{who(entry)} kept row {entry['row']}, column {entry['column']} out"


@tells("booked")
def _booked(entry: Entry) -> str:
    exposure = Exposure.from_json(entry["exposure"])
    what = "a scan" if isinstance(exposure.where, Area) else "an exposure"
    text = f"{what} of {exposure.beam_on_s:.3g} s"
    if "field_nm" in entry:
        height, width = entry["field_nm"]
        text += f" at {place_text(exposure.where, (height, width))}"
    return f"{text} came to nothing; its dose counts"


@tells("measurement")
def _measurement(entry: Entry) -> str:
    target = entry["target"]
    found = "no target" if target is None else f"a target of {target:.4g}"
    return f"{found} at x {entry['x_nm']:.4g} nm, y {entry['y_nm']:.4g} nm"


@tells("maps")
def _maps(entry: Entry) -> str:
    return f"the maps from {entry['known']} measurements were stored"


@tells("settings")
def _settings(entry: Entry) -> str:
    parts = [
        part
        for section, change in entry["changes"].items()
        for part in changes(section, change["old"], change["new"])
    ]
    return f"{who(entry)} {'; '.join(parts)}"


@tells("targets")
def _targets(entry: Entry) -> str:
    text = counted(len(entry["targets"]), "target was", "targets were") + " recomputed"
    best = entry.get("best_step")
    return text if best is None else f"{text}; the best is now step {best + 1}"


@tells("regions")
def _regions(entry: Entry) -> str:
    text = f"the beam may go {_where(entry['regions'])}"
    old = entry.get("old")
    # Older records do not say what was before; before the first step nothing was.
    if old is None or old == entry["regions"] or _is_first(entry):
        return text
    before = _where(old)
    if f"the beam may go {before}" == text:
        return f"{text}; what is drawn was changed"
    return f"{text}; before: {before}"


def _is_first(entry: Entry) -> bool:
    return entry["step"] == 0 and not any(entry["old"].values())


def _where(drawn: dict[str, Any]) -> str:
    """Where the beam may go, by the names of regions."""
    # Regions that are switched off stay in the journal.
    named = {
        kind: [each for each in regions if each.get("is_on", True)]
        for kind, regions in drawn.items()
    }
    soft = named.get("soft", [])
    parts = [
        f"{words} {', '.join(each['name'] for each in regions)}"
        for words, regions in (
            ("only in", named.get("interest", [])),
            ("not in", named.get("forbidden", [])),
            ("rather in", [each for each in soft if each["weight"] > 0]),
            ("rather not in", [each for each in soft if each["weight"] < 0]),
        )
        if regions
    ]
    if not named.get("interest"):
        parts = ["anywhere", *parts]
    first, *others = parts
    return f"{first}{', but ' if others else ''}{', '.join(others)}"


@tells("queue")
def _queue(entry: Entry) -> str:
    new, old = entry["pixels"], entry.get("old", [])
    if not new:
        return f"{who(entry)} emptied the queue"
    if more := [pixel for pixel in new if pixel not in old]:
        places = counted(len(more), "place", "places")
        wait = f"; {len(new)} wait" if len(new) > len(more) else ""
        return f"{who(entry)} queued {places} to measure next{wait}"
    if gone := len(old) - len(new):
        places = counted(gone, "place", "places")
        return f"{who(entry)} took {places} off the queue; {len(new)} left"
    return f"{who(entry)} put the queue in another order"


@tells("alone")
def _alone(entry: Entry) -> str:
    steps = counted(entry["steps"], "step", "steps")
    return f"{who(entry)} let the agent go alone for {steps}"


@tells("vote")
def _vote(entry: Entry) -> str:
    called = f"called the spectrum of step {entry['of'] + 1} {entry['vote']}"
    before = f", {entry['old']} before" if entry.get("old") else ""
    return f"{who(entry)} {called}{before}"


@tells("discard")
def _discard(entry: Entry) -> str:
    did = "discarded" if entry["is_discarded"] else "took back in"
    return f"{who(entry)} {did} the measurement of step {entry['of'] + 1}"


@tells("branch")
def _branch(entry: Entry) -> str:
    return (
        f"{who(entry)} went back to here; what was before is shared with {entry['of']}"
    )


@tells("wider")
def _wider(entry: Entry) -> str:
    return f"{who(entry)} came back from the finer image of {entry['of']}"


@tells("finer")
def _finer(entry: Entry) -> str:
    taken = counted(len(entry["taken"]), "measurement was", "measurements were")
    return (
        f"{who(entry)} had a finer image taken of the part {Area(*entry['area'])} of "
        f"the field, after step {entry['after']} of {entry['of']}; {taken} taken along"
    )


@tells("warning")
def _warning(entry: Entry) -> str:
    return str(entry["text"])


@tells("warning_over")
def _warning_over(entry: Entry) -> str:
    return f"over since step {entry['since'] + 1}: {entry['text']}"


@tells("end")
def _end(entry: Entry) -> str:
    ending = Ending.from_json(entry)
    was = "" if ending.reason is FinishReason.FAILED else "was "
    return f"the run {was}{ending}"


def _anything(entry: Entry) -> str:
    values = [
        f"{name.replace('_', ' ')} {in_words(value)}"
        for name, value in entry.items()
        if name not in _TOLD_OTHERWISE
    ]
    text = f"{entry['event'].replace('_', ' ')} {', '.join(values)}".strip()
    return f"{who(entry)}: {text}" if "who" in entry else text
