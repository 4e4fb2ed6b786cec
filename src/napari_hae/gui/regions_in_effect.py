"""Display of the regions' effect: closed areas are dimmed, soft ones outlined."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from napari_hae.gui.background import Background
from napari_hae.gui.label_color import prepare
from napari_hae.gui.layer_data import METADATA_KEY, Role, calibration
from napari_hae.gui.layers import find_layer, insert_layer
from napari_hae.gui.regions import REGION_COLORS
from napari_hae.regions.regions import RegionKind

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_hae.coordinates import FieldFrame
    from napari_hae.gui.layers import FieldLayers
    from napari_hae.regions.regions import Regions

logger = logging.getLogger(__name__)

NAME = "Regions in effect"
DIMMED = (0, 0, 0, 140)
"""RGBA colour of areas closed to the beam."""
_PAUSE_MS = 60
"""Time to wait for further changes before the layer is drawn again."""


class RegionsInEffect(QObject):
    """Keep the layer *Regions in effect* up to date with the regions.

    It is computed on a separate thread, for the newest regions only, and removed when
    there is nothing to show.
    """

    nothing_open = Signal(bool)
    """Emit `(is_closed: bool)`: True if no position is open."""

    def __init__(
        self, viewer: Viewer, layers: FieldLayers, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._layers = viewer, layers
        self._regions: Regions | None = None
        self._frame: FieldFrame | None = None
        self._background = Background(self)
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE_MS)
        self._timer.timeout.connect(self._draw)
        self._background.idle.connect(self._on_idle)
        # Deferred, as it would delay the creation of the docks. The thread is not
        # needed before there are regions.
        self._preparing = QTimer(self, singleShot=True, interval=0)
        self._preparing.timeout.connect(self._prepare)
        self._preparing.start()

    @property
    def layer(self) -> Image | None:
        """Layer, while there is something to show."""
        return find_layer(self._viewer, Role.IN_EFFECT, "image")

    def show(self, regions: Regions) -> None:
        """Show the effect of these regions, after a short delay."""
        self._regions = regions
        self._timer.start()

    def close(self) -> None:
        """Stop showing, and end the thread."""
        self._timer.stop()
        self._preparing.stop()
        self._background.close()

    def _prepare(self) -> None:
        self._background.do(NAME, prepare, lambda _: None, self._on_failed)

    def _on_idle(self) -> None:
        if self._regions is not None:
            self._timer.start()

    def _draw(self) -> None:
        frame, regions = self._layers.frame, self._regions
        if self._background.is_busy or frame is None or regions is None:
            return
        self._regions = None

        def work() -> tuple[NDArray[np.uint8] | None, bool]:
            return picture(regions, frame), not regions.mask(frame).any()

        def done(result: tuple[NDArray[np.uint8] | None, bool]) -> None:
            data, is_closed = result
            if frame == self._layers.frame:
                self._put(data, frame)
                self.nothing_open.emit(is_closed)

        self._background.do(NAME, work, done, self._on_failed)

    def _on_failed(self, error: Exception) -> None:
        logger.error("the regions in effect cannot be drawn", exc_info=error)

    def _put(self, data: NDArray[np.uint8] | None, frame: FieldFrame) -> None:
        layer = self.layer
        if layer is not None and (data is None or frame != self._frame):
            self._viewer.layers.remove(layer)
            layer = None
        self._frame = frame
        if data is None:
            return
        if layer is not None:
            layer.data = data
            return
        metadata = {METADATA_KEY: {"role": str(Role.IN_EFFECT)}}
        common = calibration(frame)
        new = Image(data, name=NAME, rgb=True, metadata=metadata, **common)
        insert_layer(self._viewer, new)


def picture(regions: Regions, frame: FieldFrame) -> NDArray[np.uint8] | None:
    """Return an RGBA image `(rows, columns, 4)`; None if there is nothing to show."""
    closed = ~regions.mask(frame)
    preference = regions.preference(frame)
    if preference is None and not closed.any():
        return None
    pixels = np.zeros((*frame.shape, 4), dtype=np.uint8)
    pixels[closed] = DIMMED
    if preference is not None:
        pixels[_dots(preference != 0)] = _rgba(REGION_COLORS[RegionKind.SOFT])
    return pixels


def _dots(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a dotted outline within the region, recognisable without colour vision."""
    padded = np.pad(inside, 1, mode="edge")
    whole = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    rows, columns = np.indices(inside.shape)
    return inside & ~whole & ((rows // 2 + columns // 2) % 2 == 0)


def _rgba(color: str) -> tuple[int, ...]:
    return (*bytes.fromhex(color.removeprefix("#")), 255)
