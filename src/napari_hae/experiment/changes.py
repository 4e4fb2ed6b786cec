"""Description of a change of the settings, by the names shown in the window."""

from __future__ import annotations

import contextlib
from typing import Any

from napari_hae import plugins
from napari_hae.experiment.settings import ExperimentSettings

_GROUPS = {
    "scalarizer": plugins.SCALARIZERS,
    "acquisition": plugins.ACQUISITION_FUNCTIONS,
}
_BAND = ("low_ev", "high_ev")
_SCHEDULE = ("schedule", "until", "over", "since")


def changes(section: str, old: Any, new: Any) -> list[str]:
    """Return a description of the changes in a section of the settings."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [f'changed "{section}" from {in_words(old)} to {in_words(new)}']
    if section == "plan" and new.get("kind") == "objects":
        objects = counted(len(new["pixels"]), "object", "objects")
        return [f"changed the plan to {objects}, {new.get('order', 'as listed')}"]
    model = _model_of(section, new)
    if old.get("kind") != new.get("kind"):
        before, after = (_title(_model_of(section, each), each) for each in (old, new))
        change = f"changed the {section} from {before} to {after}"
        return [change, *_band(old, new), *_schedule(model, {}, new)]
    band, schedule = _band(old, new), _schedule(model, old, new)
    fiducial = _fiducial(old, new)
    told = [*(_BAND if band else ()), *(_SCHEDULE if schedule else ()), "fiducial"]
    parts = [*band, *schedule, *fiducial]
    for name, value in new.items():
        if old.get(name) != value and name not in told and not _is_hidden(model, name):
            before = in_words(old.get(name))
            label = _label(model, name)
            parts.append(f'changed "{label}" from {before} to {in_words(value)}')
    return parts or [f"changed what the {section} goes by"]


def _band(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a change of the band, with the digits needed to tell its limits apart."""
    before, after = ((each.get("low_ev"), each.get("high_ev")) for each in (old, new))
    if before == after or "low_ev" not in new or "low_ev" not in old:
        return []
    if None in after:
        return ["left the band to the program"]
    ends = {end for end in (*before, *after) if end is not None}
    digits = next((n for n in range(2, 9) if _differ(ends, n)), 9)

    def text(band: tuple[Any, Any]) -> str:
        return "–".join(f"{end:.{digits}f}" for end in band)

    if None in before:
        return [f"chose the band {text(after)} eV"]
    return [f"moved the band from {text(before)} to {text(after)} eV"]


def _fiducial(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a change of the fiducial region, without numbers: the image shows it."""
    before, after = old.get("fiducial"), new.get("fiducial")
    if before == after:
        return []
    if after is None:
        return ["left the fiducial region for the whole image"]
    return [
        "chose a fiducial region" if before is None else "moved the fiducial region"
    ]


def _differ(values: set[float], digits: int) -> bool:
    """Return whether this number of digits distinguishes all values."""
    return len({f"{each:.{digits}f}" for each in values}) == len(values)


def _schedule(model: Any, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a change of an exploration parameter's schedule."""
    name = getattr(model, "exploration", None)
    if name is None or all(old.get(each) == new.get(each) for each in _SCHEDULE):
        return []
    if new["schedule"] == "constant":
        went = old.get("schedule", "constant") != "constant"
        return ["ended the schedule of exploration"] if went else []
    begin, end = in_words(new[name]), in_words(new["until"])
    steps = f"{new['over']} steps from step {new['since'] + 1} on"
    return [
        f'let "{_label(model, name)}" go from {begin} to {end} over {steps}, '
        f"by a {new['schedule']} schedule"
    ]


def _model_of(section: str, values: dict[str, Any]) -> Any:
    """Return the settings model of a section; None if it is not installed."""
    if section in _GROUPS:
        with contextlib.suppress(plugins.UnknownPlugin):
            return plugins.load(_GROUPS[section], values["kind"])
        return None
    field = ExperimentSettings.model_fields.get(section)
    return field and field.annotation


def _title(model: Any, values: dict[str, Any]) -> str:
    return str(getattr(model, "title", values["kind"]))


def _label(model: Any, name: str) -> str:
    field = getattr(model, "model_fields", {}).get(name)
    return (field and field.title) or name


def _is_hidden(model: Any, name: str) -> bool:
    """Return whether a field has no control, as for values that the program finds."""
    field = getattr(model, "model_fields", {}).get(name)
    extra = field and field.json_schema_extra
    return isinstance(extra, dict) and extra.get("form") == "hidden"


def in_words(value: Any) -> str:
    """Return a value in readable form."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return " × ".join(in_words(each) for each in value)
    return str(value)


def counted(count: int, one: str, many: str) -> str:
    """Return a number with a noun in the singular or plural."""
    return f"{count} {one if count == 1 else many}"
