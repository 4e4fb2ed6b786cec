"""The base of every settings model: frozen, strict about names, ready for a form."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen pydantic model whose fields are both the form and the provenance.

    Every field has a `title` (the label in the form, with its unit) and a `description`
    (the tooltip: effect, unit, default and, for a method, its source).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )
