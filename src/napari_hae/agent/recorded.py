"""Scalarizers and acquisition functions as stored in a record.

A part whose package is not installed here, or that uses code or files named in the
record, is kept as raw settings: it can be shown and stored again, but not used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, PrivateAttr, ValidationError, ValidationInfo

from napari_hae import plugins
from napari_hae.agent.acquisition import AcquisitionFunction
from napari_hae.agent.scalarizers import Scalarizer, ScalarizerError
from napari_hae.settings_base import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.agent.posterior import Posterior
    from napari_hae.types import EnergyAxis, Spectrum


@dataclass(frozen=True)
class FromRecord:
    """Validation context of settings from a record.

    Attributes
    ----------
    is_trusted
        Whether the user agreed to use the code and the files named in it.
    packages
        Package and version by part, such as `"scalarizer mine"`: its type and kind.
    """

    is_trusted: bool = False
    packages: Mapping[str, str] = field(default_factory=dict)


class _AsRecorded(Settings):
    """Raw settings of a part, and the reason why it cannot be used."""

    _why: str = PrivateAttr("")
    _outside: tuple[str, ...] = PrivateAttr(())

    @property
    def outside(self) -> tuple[str, ...]:
        """Code and files that it would use."""
        return self._outside

    @property
    def why(self) -> str:
        """Reason why it cannot be used."""
        return self._why

    @property
    def in_words(self) -> str:
        """Raw settings as text."""
        values = self.model_dump(exclude={"kind"})
        return ", ".join(f"{name} = {value}" for name, value in values.items())

    @classmethod
    def of(
        cls, values: dict[str, Any], why: str, outside: tuple[str, ...] = ()
    ) -> Self:
        """Keep raw settings, with the reason and the code and files that they name."""
        part = cls.model_validate(values)
        part.__pydantic_private__ = {"_why": why, "_outside": outside}
        return part


class RecordedScalarizer(_AsRecorded, Scalarizer):
    """A scalarizer that cannot be used here, with its raw settings."""

    model_config = ConfigDict(extra="allow")

    title: ClassVar[str] = "As recorded"

    def check(self, energy: EnergyAxis) -> None:
        """Raise `ScalarizerError` with the reason."""
        raise ScalarizerError(self.why)

    def __call__(self, spectrum: Spectrum) -> float:
        """Raise `ScalarizerError` with the reason."""
        raise ScalarizerError(self.why)


class RecordedAcquisitionFunction(_AsRecorded, AcquisitionFunction):
    """An acquisition function that cannot be used here, with its raw settings."""

    model_config = ConfigDict(extra="allow")

    title: ClassVar[str] = "As recorded"

    def __call__(
        self, posterior: Posterior, best: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Raise `ValueError` with the reason."""
        raise ValueError(self.why)


Recorded = RecordedScalarizer | RecordedAcquisitionFunction
AS_RECORDED = RecordedScalarizer, RecordedAcquisitionFunction
_RECORDED: dict[str, type[Recorded]] = {
    plugins.SCALARIZERS: RecordedScalarizer,
    plugins.ACQUISITION_FUNCTIONS: RecordedAcquisitionFunction,
}
WORDS = {
    plugins.SCALARIZERS: "scalarizer",
    plugins.ACQUISITION_FUNCTIONS: "acquisition function",
    plugins.INSTRUMENTS: "instrument",
}
"""Names of the parts of an entry-point group."""


def part_of(group: str, default: str = "") -> Callable[[Any, ValidationInfo], Any]:
    """Return a validator that turns `{"kind": …}` into the registered model."""

    def resolve(value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        fields = dict(value)
        kind = str(fields.pop("kind", default))
        if isinstance(info.context, FromRecord):
            return _from_record(group, kind, fields, info.context)
        return plugins.load(group, kind).model_validate(fields)

    return resolve


def missing_part(group: str, kind: str, source: FromRecord) -> str:
    """Return the message for a part that is not installed."""
    words = WORDS[group]
    package = source.packages.get(f"{words} {kind}")
    where = f"it is in the package {package}" if package else "its package is not named"
    return (
        f"the {words} {kind!r} of this record is not installed here; {where}: install "
        "that to go on with the run or to analyse it"
    )


def _from_record(
    group: str, kind: str, fields: dict[str, Any], source: FromRecord
) -> Any:
    try:
        part = plugins.load(group, kind).model_validate(fields, context=source)
    except plugins.UnknownPlugin:
        return _raw(group, kind, fields, missing_part(group, kind, source))
    except ValidationError as error:
        if plugins.package_of(group, kind) is None:
            raise
        why = (
            f"{missing_part(group, kind, source)}; what is installed does not take its "
            f"settings ({error.error_count()} mistakes)"
        ).replace("is not installed here", "cannot be used here")
        return _raw(group, kind, fields, why)
    if part.outside and not source.is_trusted:
        return _raw(group, kind, fields, not_trusted(part.outside), part.outside)
    return part


def not_trusted(outside: tuple[str, ...]) -> str:
    """Return the message for code and files in a record that are not trusted."""
    return (
        f"this record names {', '.join(outside)}; that is used only if you trust the "
        "record (--trust on the command line)"
    )


def _raw(
    group: str,
    kind: str,
    fields: dict[str, Any],
    why: str,
    outside: tuple[str, ...] = (),
) -> Recorded:
    return _RECORDED[group].of({**fields, "kind": kind}, why, outside)
