"""All available settings, by section: for error messages and for listing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hae import plugins
from napari_hae.experiment.plans import PLANS
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.settings_base import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

INSTRUMENT = "instrument"
DEFAULT_KINDS = {
    name: str(field.default.kind)
    for name, field in ExperimentSettings.model_fields.items()
    if hasattr(field.default, "kind")
}
"""Default kind of each section."""
_GROUPS = {
    "scalarizer": plugins.SCALARIZERS,
    "acquisition": plugins.ACQUISITION_FUNCTIONS,
}


def sections() -> tuple[str, ...]:
    """Return the names of all sections, that of the instrument first."""
    fields = ExperimentSettings.model_fields.items()
    return (INSTRUMENT, *(name for name, field in fields if _is_section(field.default)))


def kinds_of(section: str) -> dict[str, type[BaseModel]]:
    """Return the settings model of each kind of a section.

    A section without kinds has one model, under the empty name. The kinds of the
    instrument's section are the instruments.

    Raises
    ------
    KeyError
        If there is no such section.
    """
    if section == INSTRUMENT:
        found = plugins.load_all(plugins.INSTRUMENTS).items()
        return {name: instrument.settings_type for name, instrument in found}
    if section in _GROUPS:
        return plugins.load_all(_GROUPS[section])
    if section == "plan":
        return dict(PLANS)
    default = ExperimentSettings.model_fields[section].default
    if not _is_section(default):
        raise KeyError(section)
    return {"": type(default)}


def known_names(section: str, values: Mapping[str, Any], instrument: str) -> list[str]:
    """Return the names of the settings in a section, for the chosen kind."""
    kinds = kinds_of(section)
    kind = instrument if section == INSTRUMENT else values.get("kind")
    chosen = str(kind or DEFAULT_KINDS.get(section, ""))
    model = kinds.get(chosen)
    return list(model.model_fields) if model is not None else ["kind"]


def _is_section(default: Any) -> bool:
    return isinstance(default, Settings)
