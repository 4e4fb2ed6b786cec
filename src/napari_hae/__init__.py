"""Human-in-the-loop automated experiments in electron microscopy, in napari.

The names of `napari_hae.api` are offered here too, loaded when first asked for:
`import napari_hae as hae`.
"""

from __future__ import annotations

from typing import Any

from napari_hae.version import __version__ as __version__


def __getattr__(name: str) -> Any:
    """Return a public name, or a part of the package, loaded now (PEP 562).

    Raises `AttributeError` for any other name.
    """
    from importlib import import_module
    from importlib.util import find_spec

    if not name.startswith("_"):
        # `from napari_hae import plugins` asks too, while that is being loaded which
        # the public names rest on.
        if find_spec(part := f"{__name__}.{name}"):
            return import_module(part)
        api = import_module("napari_hae.api")
        if name in api.__all__:
            return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from importlib import import_module

    return [*globals(), *import_module("napari_hae.api").__all__]
