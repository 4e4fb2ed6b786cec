"""Columns that users and other plugins add to the features of the plugin's layers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer

    from napari_hae.types import Measurement, Spectrum

ROW = "step"
"""Own column that identifies a row."""


class ForeignColumns:
    """Foreign columns of one layer, stored by the measurement that a row belongs to.

    A row thus keeps its values, whatever happens to the rows before it and to its step
    number: when a run is rewound, continued from an earlier step or in a finer image,
    or when its record is opened.
    """

    def __init__(self) -> None:
        self._kept = pd.DataFrame()
        self._own: list[str] = []
        self._rows: list[Any] = []
        """Values of `ROW` as shown, one per measurement."""
        self._shown: tuple[Measurement, ...] = ()
        self._known: dict[int, tuple[Spectrum, int]] = {}

    def read(self, layer: Layer | None) -> None:
        """Read the foreign columns from the current state of a layer.

        Columns no longer in the layer are dropped.
        """
        if layer is None or not self._shown:
            return
        features: pd.DataFrame = layer.features
        foreign = [name for name in features.columns if name not in self._own]
        if not foreign or ROW not in features.columns:
            self._kept = pd.DataFrame()
            return
        keys = features[ROW].map(dict(zip(self._rows, self._keys(), strict=True)))
        # Points that the user added or copied do not represent a measurement.
        is_known = (keys.notna() & ~keys.duplicated()).to_numpy()
        read = features.loc[is_known, foreign].set_axis(keys[is_known].astype("int64"))
        gone = self._kept.index.difference(read.index)
        self._kept = _stacked(read, self._kept.loc[gone]) if len(gone) else read

    def join(
        self, own: dict[str, Any], measurements: Sequence[Measurement]
    ) -> dict[str, Any] | pd.DataFrame:
        """Return the plugin's own columns together with the stored foreign ones.

        `own` has one row per measurement. Rows without stored values have missing ones:
        NaN, NaT or None, as pandas defines them for the type of the column.
        """
        self._own, self._rows = list(own), np.asarray(own[ROW]).tolist()
        self._shown = tuple(measurements)
        if self._kept.columns.empty:
            return own
        keys = self._keys()
        if keys and not self._kept.index.isin(keys).any():
            # Another run, to which no columns were added.
            self._kept, self._known = pd.DataFrame(), {}
            return own
        return pd.DataFrame(own).join(self._kept.reindex(keys).reset_index(drop=True))

    def _keys(self) -> list[int]:
        """Identify measurements by place and spectrum, and equal ones by order."""
        seen: Counter[int] = Counter()
        keys = []
        for each in self._shown:
            spectrum = each.spectrum
            if id(spectrum) not in self._known:
                counts = np.asarray(spectrum.counts, np.float32).tobytes()
                place = each.proposal.position
                self._known[id(spectrum)] = spectrum, hash((place.x, place.y, counts))
            same = self._known[id(spectrum)][1]
            keys.append(hash((same, seen[same])))
            seen[same] += 1
        return keys


def _stacked(read: pd.DataFrame, gone: pd.DataFrame) -> pd.DataFrame:
    """Return both, one below the other, with the columns and categories of the first.

    Missing values that fill a column preserve its type where possible.
    """
    columns = {}
    for name, column in read.items():
        parts = [column]
        if name in gone.columns:
            parts.append(gone[name])
        if isinstance(column.dtype, pd.CategoricalDtype):
            values = pd.concat([each.astype(object) for each in parts])
            columns[name] = values.astype(column.dtype)
        else:
            columns[name] = pd.concat(parts)
    return pd.DataFrame(columns, index=read.index.append(gone.index))
