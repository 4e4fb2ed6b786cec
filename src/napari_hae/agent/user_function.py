"""A user's own Python function as a scalarizer."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from napari_hae.agent.scalarizers import (
    NO_VALUE,
    Scalarizer,
    ScalarizerError,
    changed_at,
)
from napari_hae.hyperspy_signals import spectra_signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.types import EnergyAxis, Spectrum


class UserFunction(Scalarizer):
    """Calls a function with the spectrum as a HyperSpy signal; it returns a number."""

    title: ClassVar[str] = "Own Python function"
    kind: Literal["user_function"] = "user_function"
    path: str = Field(default="", title="Function")
    """Where the function is: `file.py:function` or `package.module:function`. It is
    given a `hyperspy.signals.Signal1D` with the energy axis in eV, and the exposure in
    s as `metadata.napari_hae.exposure_s`, and returns one number; one that is not
    finite leaves the spectrum out of training."""

    @field_validator("path")
    @classmethod
    def _names_a_function(cls, path: str) -> str:
        place, colon, name = path.rpartition(":")
        if path and not (colon and place and name.isidentifier()):
            raise ValueError(
                f"{path!r} is not of the form file.py:function or "
                "package.module:function"
            )
        return path

    @property
    def outside(self) -> tuple[str, ...]:
        """Name of the function."""
        return (f"the Python code {self.path}",) if self.path else ()

    def check(self, energy: EnergyAxis) -> None:
        """Raise `ValueError` if there is no such function; reread a changed file."""
        self.__dict__.pop("_function", None)
        _ = self._function

    def __call__(self, spectrum: Spectrum) -> float:
        """See `Scalarizer`."""
        function = self._function
        signal = spectra_signal(spectrum.counts.copy(), spectrum.energy)
        signal.metadata.set_item("napari_hae.exposure_s", spectrum.exposure_s)
        # The function is third-party code and may raise anything.
        try:
            value = float(function(signal))
        except Exception as error:
            raise ScalarizerError(
                f"the function {self.path} failed: {type(error).__name__}: {error}"
            ) from error
        return value if math.isfinite(value) else NO_VALUE

    def error(self, spectrum: Spectrum) -> float:
        """Return NaN: a user's function may be too slow for repeated calls."""
        return NO_VALUE

    @cached_property
    def _function(self) -> Callable[[Any], Any]:
        # Cached: a file edited during a run must not change the meaning of targets.
        place = self.path.rpartition(":")[0]
        if not place:
            raise ScalarizerError("own function: say where it is, as file.py:function")
        return _find(self.path, changed_at(Path(place)))


@lru_cache(maxsize=8)
def _find(path: str, changed: int | None) -> Callable[[Any], Any]:
    """Return the function, cached until its file changes; import a module once."""
    place, _, name = path.rpartition(":")
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else None
        module = module or importlib.import_module(place)
        function = getattr(module, name)
    # Importing runs third-party code, which may raise anything.
    except Exception as error:
        raise ScalarizerError(
            f"the function {path} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not callable(function):
        raise ScalarizerError(f"{path} is no function")
    found: Callable[[Any], Any] = function
    return found


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"napari_hae_user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look their module up by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
