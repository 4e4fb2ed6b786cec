"""Code, files, hosts and packages that a record names.

A record may come from a stranger. It opens without any of these; continuing a run, and
forensics, need them, and use them only with the user's consent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_origin

from pydantic import ValidationError

from napari_hae import plugins
from napari_hae.agent.recorded import WORDS, FromRecord, missing_part, not_trusted
from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.instruments.catalogue import recorded_settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_hae.experiment.settings import ExperimentSettings

_GROUPS = {
    "scalarizer": plugins.SCALARIZERS,
    "acquisition": plugins.ACQUISITION_FUNCTIONS,
}


class NotTrusted(ValueError):
    """Error for a record that names code, files or hosts not agreed to by the user.

    Attributes
    ----------
    outside
        Descriptions of what would be used.
    """

    def __init__(self, path: Path, outside: tuple[str, ...]) -> None:
        super().__init__(f"{path}: {not_trusted(outside)}")
        self.outside = outside


class MissingPart(ValueError):
    """Error for a plugin that is not installed; the text names it and its package."""


def outside_of(settings: ExperimentSettings, record: Path) -> tuple[str, ...]:
    """Return code and files named by a record's settings, except its own copies."""
    own = f"the file {record.absolute()}"
    return tuple(each for each in settings.outside if not each.startswith(own))


def outside_of_instrument(name: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return hosts, files and other texts that an instrument's settings name.

    Empty if the instrument cannot be created from them: it is not used then.
    """
    try:
        model = recorded_settings_of(name, values)
    except (plugins.UnknownPlugin, ValidationError):
        return ()
    named = list(getattr(model, "outside", ()))
    for field_name, field in type(model).model_fields.items():
        value = getattr(model, field_name)
        is_choice = get_origin(field.annotation) is Literal
        if not isinstance(value, str) or is_choice or value in ("", field.default):
            continue
        if not any(value in each for each in named):
            named.append(f"{value!r} as {field.title or field_name} of {name}")
    return tuple(named)


def why_unusable(settings: ExperimentSettings) -> tuple[str, ...]:
    """Return reasons why parts of the settings of a record cannot be used here."""
    scalarizer, parts = settings.scalarizer, [settings.acquisition]
    parts.append(scalarizer)  # type: ignore[arg-type]
    if isinstance(scalarizer, SimilarityToVotes) and scalarizer.base is not None:
        parts.append(scalarizer.base)  # type: ignore[arg-type]
    return tuple(why for part in parts if (why := getattr(part, "why", "")))


def expect_instrument(name: str, source: FromRecord) -> None:
    """Raise `MissingPart` if the instrument of a record is not installed."""
    if name not in plugins.names(plugins.INSTRUMENTS):
        raise MissingPart(missing_part(plugins.INSTRUMENTS, name, source))


def packages_of(sections: Mapping[str, Any]) -> dict[str, str]:
    """Return package and version of all plugins, by kind and name.

    Sections are dumped settings, with the name of the instrument as `"instrument"`.
    """
    return {
        f"{WORDS[group]} {name}": package
        for group, name in _parts(sections)
        if (package := plugins.package_of(group, name)) is not None
    }


def _parts(sections: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "instrument" in sections:
        yield plugins.INSTRUMENTS, sections["instrument"]
    for section, group in _GROUPS.items():
        values = sections.get(section)
        while isinstance(values, dict) and "kind" in values:
            yield group, str(values["kind"])
            values = values.get("base")
