"""Change of the settings that contains only the changed fields.

Successive changes are merged field by field, so that none restores an old value of a
field that it does not contain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_hae.settings_base import Settings

if TYPE_CHECKING:
    from napari_hae.experiment.settings import ExperimentSettings


@dataclass(frozen=True)
class SettingsPatch:
    """New values of some fields of some sections.

    Parameters
    ----------
    sections
        For each section, its new values by field; or the whole section, if another kind
        was chosen; or the plain value of one without fields, such as the seed.
    """

    sections: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def between(cls, old: ExperimentSettings, new: ExperimentSettings) -> SettingsPatch:
        """Return the fields of the new settings that differ from the old ones."""
        pairs = {name: (getattr(old, name), getattr(new, name)) for name, _ in old}
        return cls(
            {name: _difference(*pair) for name, pair in pairs.items() if _differ(*pair)}
        )

    def __bool__(self) -> bool:
        return bool(self.sections)

    def then(self, later: SettingsPatch) -> SettingsPatch:
        """Return both as one change; the later value of a field applies.

        Raises
        ------
        ValueError
            If their fields are inconsistent.
        """
        both = dict(self.sections)
        for name, new in later.sections.items():
            both[name] = _changed(both[name], new) if name in both else new
        return SettingsPatch(both)

    def without(self, *names: str) -> SettingsPatch:
        """Return the change without some sections."""
        kept = {name: new for name, new in self.sections.items() if name not in names}
        return SettingsPatch(kept)

    def applied_to(self, settings: ExperimentSettings) -> ExperimentSettings:
        """Return the settings with this change.

        Raises
        ------
        ValueError
            If its fields are inconsistent with the unchanged ones.
        """
        changed = {
            name: _changed(getattr(settings, name), new)
            for name, new in self.sections.items()
        }
        return settings.replaced(**changed)


def _differ(before: Any, after: Any) -> bool:
    return type(before) is not type(after) or before != after


def _difference(before: Any, after: Any) -> Any:
    if type(before) is not type(after) or not isinstance(after, Settings):
        return after
    return {name: new for name, new in after if _differ(getattr(before, name), new)}


def _changed(before: Any, new: Any) -> Any:
    """Return a section, or a change of it, after a further change."""
    if not isinstance(new, Mapping):
        return new
    if not isinstance(before, Settings):
        return {**before, **new}
    try:
        return type(before).model_validate({**dict(before), **new})
    except ValidationError as error:
        said = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise ValueError(said) from error
