"""The command `settings`: every setting with its default and its meaning."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from napari_hae.cli.exit_codes import DONE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

SECTIONS = (
    *("instrument", "goal", "scalarizer", "acquisition", "model", "initial", "moves"),
    *("plan", "loop", "survey", "drift", "measurement", "budget"),
)
"""Names of the sections; listed here so that `--help` need not load all models."""
_WIDTH = 88


def list_settings(options: argparse.Namespace) -> int:
    """Print the settings of one section, or of all of them."""
    from napari_hae.experiment.known_settings import DEFAULT_KINDS, kinds_of
    from napari_hae.experiment.settings import ExperimentSettings

    if options.section not in (None, *SECTIONS):
        raise ValueError(
            f"there is no section {options.section!r}; there are {', '.join(SECTIONS)}"
        )
    for section in (options.section,) if options.section else SECTIONS:
        for kind, model in kinds_of(section).items():
            usual = " (default)" if kind == DEFAULT_KINDS.get(section) else ""
            title = f"[{section}] {_choice(section, kind)}{usual}".rstrip()
            print("\n".join((title, *_lines(section, model), "")))
    if options.section is None:
        print("\n".join(_setting("seed", ExperimentSettings.model_fields["seed"])))
    return DONE


def _choice(section: str, kind: str) -> str:
    if not kind:
        return ""
    return f"--instrument {kind}" if section == "instrument" else f"kind = {kind!r}"


def _lines(section: str, model: type[BaseModel]) -> Iterator[str]:
    fields = {n: f for n, f in model.model_fields.items() if n != "kind"}
    if not fields:
        yield "  no settings"
    for name, field in fields.items():
        yield from _setting(f"{section}.{name}", field)


def _setting(name: str, field: FieldInfo) -> list[str]:
    meaning = " ".join((field.description or "").split())
    if field.title:
        meaning = f"{field.title}. {meaning}"
    wrapped = textwrap.wrap(
        meaning, _WIDTH, initial_indent="      ", subsequent_indent="      "
    )
    return [f"  {name} = {_default(field)}", *wrapped]


def _default(field: FieldInfo) -> str:
    """Return the default as written in TOML, or described if TOML cannot express it."""
    if field.is_required():
        return "… (to be given)"
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        extra = field.json_schema_extra
        empty = extra.get("empty") if isinstance(extra, dict) else None
        return f"({empty or 'automatic'})"
    return json.dumps(value, default=str, ensure_ascii=False)
