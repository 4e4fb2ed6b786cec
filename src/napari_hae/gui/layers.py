"""Creation, lookup and updates of the plugin's layers in a viewer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Layer

from napari_hae.coordinates import FieldFrame
from napari_hae.gui.dose import dose_data, dose_limits, dose_map
from napari_hae.gui.foreign_columns import ForeignColumns
from napari_hae.gui.layer_data import (
    MAP_STYLES,
    METADATA_KEY,
    LayerData,
    Limits,
    Role,
    limits_of,
    map_data,
    maps_data,
    measured_data,
    next_data,
    overview_area,
    overview_metadata,
    pixels,
    runner_up_data,
    selection_data,
    survey_again_data,
    survey_data,
    trajectory_data,
)
from napari_hae.gui.layer_list import find_layer, insert_layer, role_of
from napari_hae.gui.layer_updates import LayerUpdates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Image, Labels, Points, Vectors
    from napari.viewer import Viewer
    from numpy.typing import ArrayLike, NDArray

    from napari_hae.experiment.drift import ImageAgain
    from napari_hae.types import (
        Area,
        Measurement,
        PredictionMaps,
        Proposal,
        ScanImage,
    )

__all__ = ["FieldLayers", "Role", "find_layer", "insert_layer", "role_of"]

Update = Callable[[], object]

RUN_ROLES = (
    Role.SURVEY_AGAIN,
    Role.DOSE,
    *MAP_STYLES,
    Role.TRAJECTORY,
    Role.MEASURED,
    Role.RUNNER_UP,
    Role.NEXT,
)
"""Roles of layers that belong to one run and are removed when the next one starts."""

_ONE_ROW_EACH = {Role.MEASURED: "points", Role.TRAJECTORY: "vectors"}
"""Layers whose features have a row for each measurement; no segment leads to the
first."""


class FieldLayers:
    """Layers of one field of view in one viewer.

    Layers are found by their metadata, never by name: renamed ones are kept, and
    deleted ones are created again with the next data for them. All methods are for Qt's
    main thread.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._frame: FieldFrame | None = None
        self._measurements: list[Measurement] = []
        self._targets: dict[int, float] = {}
        self._limits: dict[Role, Limits] = {}
        self._updates = LayerUpdates()
        self._foreign = {role: ForeignColumns() for role in _ONE_ROW_EACH}

    @property
    def viewer(self) -> Viewer:
        """Viewer that shows them."""
        return self._viewer

    @property
    def frame(self) -> FieldFrame | None:
        """Coordinates of the field of view; None before the first survey image."""
        return self._frame

    @property
    def survey_layers(self) -> list[Image]:
        """Layers of the survey image, one per detector."""
        return [x for x in self._viewer.layers if role_of(x) is Role.SURVEY]

    @property
    def measured_layer(self) -> Points | None:
        """Layer of the measured points."""
        return find_layer(self._viewer, Role.MEASURED, "points")

    @property
    def trajectory_layer(self) -> Vectors | None:
        """Layer of the trajectory."""
        return find_layer(self._viewer, Role.TRAJECTORY, "vectors")

    @property
    def next_layer(self) -> Points | None:
        """Layer of the next position."""
        return find_layer(self._viewer, Role.NEXT, "points")

    @property
    def selection_layer(self) -> Labels | None:
        """Layer of the selected candidates."""
        return find_layer(self._viewer, Role.SELECTION, "labels")

    def map_layer(self, role: Role) -> Image | None:
        """Return the layer of one of the maps."""
        return find_layer(self._viewer, role, "image")

    def show_survey(self, image: ScanImage) -> None:
        """Show a survey image; another field or shape ends run and selection.

        A wider image stays below a finer one of its area, until it is shown again. The
        view is fitted to another field.
        """
        frame = FieldFrame.of(image)
        first, is_other = self._frame is None, frame != self._frame
        if not first and is_other:
            self.clear_run()
            self.clear_selection()
            self._keep_below(frame.area)
        self._frame = frame
        stale = [x for x in self.survey_layers if _detector(x) not in image.detectors]
        for layer in stale:
            self._viewer.layers.remove(layer)
        for new in survey_data(image):
            # Counts change with dwell time and detector gain: new limits each time.
            self._put_image(new, limits_of(new[0]))
        if first:
            self._viewer.canvas.overlays.scale_bar.visible = True
            self._viewer.reset_view()
        elif is_other:
            self._viewer.fit_to_view(layers=self.survey_layers)

    def _keep_below(self, area: Area) -> None:
        """Keep survey images around an area as overviews, and remove all others."""
        assert self._frame is not None
        for layer in self.survey_layers:
            if self._frame.area.covers(area):
                overview = overview_metadata(self._frame.area)
                layer.metadata = {**layer.metadata, **overview}
                layer.name = layer.name.replace("Survey", "Overview")
        for layer in [x for x in self._viewer.layers if role_of(x) is Role.OVERVIEW]:
            if not overview_area(layer.metadata).covers(area):
                self._viewer.layers.remove(layer)

    def show_survey_again(self, image: ScanImage, taken: ImageAgain) -> None:
        """Show a repeated image above the first one, which stays."""
        new = survey_again_data(image, taken)
        layer = find_layer(self._viewer, Role.SURVEY_AGAIN, "image")
        if layer is not None and layer.data.shape != new[0].shape:
            self._viewer.layers.remove(layer)
        self._put_image(new, limits_of(new[0]))

    def show_maps(self, maps: PredictionMaps) -> None:
        """Show new maps; limits of mean and standard deviation are only widened."""
        for update in self.map_updates(maps):
            update()

    def map_updates(self, maps: PredictionMaps) -> list[Update]:
        """Return the steps of `show_maps`: each redraws one layer."""
        frame, before = self._known_frame(), self._limits.get(Role.MEAN)
        updates: list[Update] = []
        for role, array in maps_data(maps).items():
            limits = self._widened(role, array, shrinks=role is Role.ACQUISITION)
            data = map_data(role, array, frame, limits)
            updates.append(partial(self._put_image, data, limits))
        if self._measurements and self._limits.get(Role.MEAN) != before:
            updates.append(self._show_points)
        return updates

    def measurement_updates(self, measurements: Sequence[Measurement]) -> list[Update]:
        """Return updates that add points and extend the trajectory, one per layer.

        They must be called in order.
        """
        if not measurements:
            return []
        self._measurements.extend(measurements)
        self._targets.update({m.step: m.target for m in measurements})
        return self._measured_updates()

    def show_targets(self, targets: Mapping[int, float]) -> None:
        """Show other targets, by step, as after a change of the band.

        Colour limits are reset: another band has other values.
        """
        self._targets.update(targets)
        self._forget_limits()
        if self._measurements:
            self._show_measured()

    def show_run(
        self,
        measurements: Sequence[Measurement],
        maps: PredictionMaps | None,
        proposal: Proposal | None,
    ) -> None:
        """Show all of a run at an earlier step, in place of its current layers."""
        targets = {m.step: m.target for m in measurements}
        shown = [self._targets.get(step, target) for step, target in targets.items()]
        if not np.array_equal(shown, list(targets.values()), equal_nan=True):
            self._forget_limits()
        if (layer := self.measured_layer) is not None:
            # napari keeps removed points selected.
            layer.selected_data &= set(range(len(measurements)))
        self._measurements, self._targets = list(measurements), targets
        self._show_measured()
        if maps is not None:
            self.show_maps(maps)
        else:
            self._blank_maps()
        self.show_next(proposal)

    def show_next(self, proposal: Proposal | None) -> None:
        """Put the ring around the next position; None removes it."""
        if proposal is None and self.next_layer is None:
            return
        self._put(next_data(proposal, self._known_frame()))

    def show_runner_up(self, pixel: tuple[int, int] | None) -> None:
        """Put a ring around a pixel that was not chosen; None removes it."""
        if pixel is not None:
            self._put(runner_up_data(*pixel, self._known_frame()))
        elif layer := find_layer(self._viewer, Role.RUNNER_UP, "points"):
            self._viewer.layers.remove(layer)

    def show_selection(self, mask: NDArray[np.bool_]) -> Labels:
        """Show the selected candidates, `(rows, columns)`."""
        return self._put(selection_data(mask, self._known_frame()))

    def clear_selection(self) -> None:
        """Remove the layer of the selected candidates."""
        if (layer := self.selection_layer) is not None:
            self._viewer.layers.remove(layer)

    def clear_run(self) -> None:
        """Remove all layers of the run; survey image and regions stay."""
        for role in _ONE_ROW_EACH:
            self._read_foreign(role)
        self._measurements.clear()
        self._targets.clear()
        for layer in [x for x in self._viewer.layers if role_of(x) in RUN_ROLES]:
            self._viewer.layers.remove(layer)
        for role in RUN_ROLES:
            self._limits.pop(role, None)

    def _show_measured(self) -> None:
        for update in self._measured_updates():
            update()

    def _measured_updates(self) -> list[Update]:
        self._widened(Role.MEAN, self._shown_targets())
        return [self._show_trajectory, self._show_points, self._show_dose]

    def _show_trajectory(self) -> None:
        frame = self._known_frame()
        points = pixels([m.proposal.position for m in self._measurements], frame)
        new = trajectory_data(points, frame)
        self._put_rows(Role.TRAJECTORY, new, self._measurements[1:])

    def _show_points(self) -> None:
        self._put_rows(Role.MEASURED, self._measured(), self._measurements)

    def _show_dose(self) -> None:
        frame = self._known_frame()
        dose = dose_map(self._measurements, frame)
        if dose is not None:
            self._put_image(dose_data(dose, frame), dose_limits(dose))
        elif layer := self.map_layer(Role.DOSE):
            # A partial dose would be mistaken for the total.
            self._viewer.layers.remove(layer)

    def _blank_maps(self) -> None:
        """Show empty maps; the user's changes to the layers are kept."""
        for role in MAP_STYLES:
            if (layer := self.map_layer(role)) is not None:
                layer.data = np.full(layer.data.shape, np.nan, np.float32)

    def _shown_targets(self) -> NDArray[np.float64]:
        return np.array([self._targets[m.step] for m in self._measurements], float)

    def _measured(self) -> LayerData:
        limits = self._limits.get(Role.MEAN)
        frame = self._known_frame()
        return measured_data(self._measurements, self._shown_targets(), frame, limits)

    def _known_frame(self) -> FieldFrame:
        if self._frame is None:
            raise RuntimeError("show a survey image first: it defines the coordinates")
        return self._frame

    def _widened(
        self, role: Role, values: ArrayLike, *, shrinks: bool = False
    ) -> Limits | None:
        """Return limits that also cover earlier values.

        With `shrinks`, they are narrowed once the values fill less than a third: the
        acquisition function falls by orders of magnitude during a run.
        """
        new, old = limits_of(values), self._limits.get(role)
        if new is None:
            return old
        if old is not None:
            wide = min(new[0], old[0]), max(new[1], old[1])
            too_wide = 3 * (new[1] - new[0]) < wide[1] - wide[0]
            new = new if shrinks and too_wide else wide
        self._limits[role] = new
        return new

    def _forget_limits(self) -> None:
        """Reset limits: other targets have other values, and other deviations."""
        for role in (Role.MEAN, Role.STD):
            self._limits.pop(role, None)

    def _put_image(self, new: LayerData, limits: Limits | None) -> None:
        self._updates.limit(self._put(new), limits)

    def _put(self, new: LayerData) -> Layer:
        """Update the layer in place, or create it."""
        data, keywords, kind = new
        own = keywords["metadata"][METADATA_KEY]
        layer = find_layer(self._viewer, Role(own["role"]), kind, own.get("detector"))
        if layer is not None:
            self._updates.update(layer, new)
            return layer
        layer = Layer.create(data, keywords, kind)
        if kind == "vectors":
            # napari rasterises up to 1024 vectors for the thumbnail at each update, 60
            # ms in the GUI thread; there is no public setting.
            layer._max_vectors_thumbnail = 64  # noqa: SLF001
        insert_layer(self._viewer, layer)
        self._updates.made(layer)
        return layer

    def _put_rows(self, role: Role, new: LayerData, of: Sequence[Measurement]) -> None:
        """Update a layer with one row per measurement; foreign columns are kept."""
        self._read_foreign(role)
        _, keywords, _ = new
        keywords["features"] = self._foreign[role].join(keywords["features"], of)
        self._put(new)

    def _read_foreign(self, role: Role) -> None:
        layer = find_layer(self._viewer, role, _ONE_ROW_EACH[role])
        self._foreign[role].read(layer)


def _detector(layer: Layer) -> str | None:
    return layer.metadata[METADATA_KEY].get("detector")
