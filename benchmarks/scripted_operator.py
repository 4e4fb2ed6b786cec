"""A person at the microscope, as a script: sees what the window shows, and steers.

The survey image, spectra, targets and warnings are all it knows. It acts by the
runner's methods alone, and does each thing once in a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.votes import Vote
from napari_hae.regions.regions import AdjustedRegion, MaskRegion, Regions

if TYPE_CHECKING:
    from napari_hae.experiment.runner import Runner
    from napari_hae.types import Measurement, ScanImage

LOOKS, PAINTS, EDGES, VOTES, EXPLORES = HABITS = (
    "measures other objects",
    "paints out",
    "only edges",
    "votes",
    "explores more",
)
"""What it may do."""

_SEEN = 5.0
"""Standard deviations that make a line or an object visible above what lies beside."""
_ENOUGH = 3
"""So many spectra convince it."""
_PATIENCE = 15
"""After so many spectra without a line it thinks again."""
_FEWEST = 4
"""Pixels of an object; fewer are noise."""
_FLANK_EV = 0.1
_EDGES_NM = 8.0
_XI = 3.0


class Operator:
    """Watches a run, and steers it.

    Parameters
    ----------
    runner
        Not started yet.
    band_ev
        Where the line of interest is expected.
    habits
        Which of `HABITS` it has.
    """

    def __init__(
        self,
        runner: Runner,
        band_ev: tuple[float, float],
        habits: tuple[str, ...] = HABITS,
    ) -> None:
        self._runner, self._band_ev = runner, band_ev
        self._habits = set(habits)
        self._regions = Regions()
        self.acts: list[tuple[int, str]] = []
        """What it did, with the number of spectra that it had seen."""
        runner.events.survey_acquired.connect(self._look_at_image)
        runner.events.measured.connect(self._look_at_spectra)
        runner.events.warned.connect(self._hear)

    def _look_at_image(self, survey: ScanImage) -> None:
        """Tell objects from their background, as the eye does."""
        self._frame = FieldFrame.of(survey)
        self._image = ndimage.gaussian_filter(survey.data[0].astype(float), 1)
        background = np.median(self._image)
        darker = self._image[self._image < background]
        noise = 1.48 * np.median(background - darker)
        labels, _ = ndimage.label(self._image > background + _SEEN * noise)
        # Outlines lie at half height.
        tops = ndimage.maximum(self._image, labels, np.arange(labels.max() + 1))
        labels[self._image - background < (tops[labels] - background) / 2] = 0
        sizes = np.bincount(labels.ravel())
        self._objects = np.where(sizes[labels] >= _FEWEST, labels, 0)

    def _look_at_spectra(self, measurement: Measurement) -> None:
        seen = self._runner.measurements
        if len(seen) < self._runner.settings.initial.points:
            return
        self._measure_other_objects(seen)
        self._paint_out(seen)
        self._keep_to_edges(seen)
        self._vote(seen)

    def _hear(self, text: str) -> None:
        """Explore more when stuck."""
        if "found nothing better" in text and self._begins(EXPLORES):
            settings = self._runner.settings
            wider = settings.acquisition.model_copy(update={"xi": _XI})
            self._runner.configure(acquisition=wider, why="stuck")

    def _measure_other_objects(self, seen: tuple[Measurement, ...]) -> None:
        """Click on objects that look least like those measured, up to three."""
        if not self._begins(LOOKS):
            return
        near = ndimage.grey_dilation(self._objects, size=3)
        known = {near[_pixel(m)] for m in seen} - {0}
        numbers = [n for n in np.unique(self._objects) if n]
        looks = {n: self._look_of(n) for n in numbers}
        clicks: list[tuple[int, int]] = []
        while len(clicks) < _ENOUGH and (
            rest := [n for n in numbers if n not in known]
        ):
            unlike = {
                n: min((np.hypot(*(looks[n] - looks[k])) for k in known), default=9.0)
                for n in rest
            }
            most = max(rest, key=unlike.__getitem__)
            clicks.append(self._middle_of(most))
            known.add(most)
        self._runner.measure_next(clicks, why="objects unlike those measured")

    def _look_of(self, number: int) -> np.ndarray:
        """Size and brightness of an object, so that 1 is a clear difference."""
        inside = self._image[self._objects == number]
        return np.array([np.log2(inside.size), 4 * inside.max() / self._image.max()])

    def _middle_of(self, number: int) -> tuple[int, int]:
        inside = np.where(self._objects == number, self._image, -np.inf)
        row, column = np.unravel_index(int(inside.argmax()), inside.shape)
        return int(row), int(column)

    def _paint_out(self, seen: tuple[Measurement, ...]) -> None:
        """Forbid an object that is bright without a line; discard what it gave."""
        usable = [m for m in seen if m.usable]
        best = sorted(usable, key=lambda m: m.target)[-_ENOUGH:]
        numbers = {self._objects[_pixel(m)] for m in best}
        if len(numbers) != 1 or 0 in numbers or max(map(self._line, best)) > _SEEN:
            return
        others = [m for m in usable if self._objects[_pixel(m)] not in numbers]
        if len(best) < _ENOUGH or not others:
            return
        usual = np.median([self._brightness(m) for m in others])
        is_bright = min(map(self._brightness, best)) > 2 * usual
        if not (is_bright and self._begins(PAINTS)):
            return
        area = ndimage.binary_dilation(self._objects == numbers.pop(), iterations=2)
        zone = self._painted("artefact", area)
        self._regions = Regions(self._regions.interest, (zone,))
        self._runner.set_regions(self._regions)
        for measurement in usable:
            if area[_pixel(measurement)]:
                self._runner.discard(measurement.step, why="artefact")

    def _keep_to_edges(self, seen: tuple[Measurement, ...]) -> None:
        """Restrict to the edges of the objects if the line is there, or nowhere yet."""
        is_object = self._objects > 0
        inside = ndimage.binary_erosion(is_object, iterations=2)
        edge = ndimage.binary_dilation(is_object, iterations=2) & ~inside
        at_edges = [self._line(m) for m in seen if edge[_pixel(m)]]
        within = [self._line(m) for m in seen if inside[_pixel(m)]]
        if min(len(at_edges), len(within)) < 2:
            return
        is_there = max(at_edges) > 2 * _SEEN and np.median(at_edges) > 2 * max(within)
        # What is not inside may be on the surface.
        is_nowhere = len(seen) >= _PATIENCE and max(map(self._line, seen)) < _SEEN
        if not ((is_there or is_nowhere) and self._begins(EDGES)):
            return
        objects = self._painted("objects", is_object)
        edges = AdjustedRegion(objects, edges_nm=_EDGES_NM)
        self._regions = Regions((edges,), self._regions.forbidden)
        self._runner.set_regions(self._regions)

    def _vote(self, seen: tuple[Measurement, ...]) -> None:
        """Where a bright spectrum has no line: call it bad, and clear lines good."""
        usable = [m for m in seen if m.usable]
        clear = [m for m in usable if self._line(m) > 2 * _SEEN]
        if not clear:
            return
        usual = np.median([self._brightness(m) for m in clear])
        dull = [m for m in usable if self._line(m) < _SEEN]
        bad = [m for m in dull if self._brightness(m) > usual]
        if not bad or not self._begins(VOTES):
            return
        voted = SimilarityToVotes(weight=0.5)
        self._runner.configure(scalarizer=voted, why="votes")
        for measurement in sorted(clear, key=self._line)[-_ENOUGH:]:
            self._runner.vote(measurement.step, Vote.GOOD, why="a clear line")
        for measurement in bad:
            self._runner.vote(measurement.step, Vote.BAD, why="bright, but no line")

    def _begins(self, habit: str) -> bool:
        """Whether it does that now: if it has the habit, and did not do it before."""
        if habit not in self._habits:
            return False
        self._habits.discard(habit)
        self.acts.append((len(self._runner.measurements), habit))
        return True

    def _line(self, measurement: Measurement) -> float:
        """How far the band stands out from its flanks, in standard deviations."""
        low_ev, high_ev = self._band_ev
        inside = _counts(measurement, low_ev, high_ev)
        below = _counts(measurement, low_ev - _FLANK_EV, low_ev)
        flanks = np.append(below, _counts(measurement, high_ev, high_ev + _FLANK_EV))
        error = np.sqrt(inside.mean() / inside.size + flanks.mean() / flanks.size)
        return float((inside.mean() - flanks.mean()) / max(error, 1e-9))

    def _brightness(self, measurement: Measurement) -> float:
        """Counts in the band."""
        return float(_counts(measurement, *self._band_ev).sum())

    def _painted(self, name: str, mask: np.ndarray) -> MaskRegion:
        (rows, columns), (height_nm, width_nm) = self._frame.shape, self._frame.fov_nm
        scale = [[rows / height_nm, 0, -0.5], [0, columns / width_nm, -0.5]]
        return MaskRegion(name, mask, np.array(scale))


def _pixel(measurement: Measurement) -> tuple[int, int]:
    return measurement.proposal.row, measurement.proposal.column


def _counts(measurement: Measurement, low_ev: float, high_ev: float) -> np.ndarray:
    spectrum = measurement.spectrum
    return spectrum.counts[spectrum.energy.channels(low_ev, high_ev)]
