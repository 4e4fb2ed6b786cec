"""What is remembered of each step of a run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_hae.gui.history import History, ModelView
from napari_hae.types import PredictionMaps

PLANE_BYTES = 16


def view(known: int) -> ModelView:
    plane = np.full((2, 2), known, np.float32)
    return ModelView(PredictionMaps(known, plane, plane, plane), None)


def measurements(count: int, factor: float = 1.0):
    return tuple(SimpleNamespace(step=n, target=factor * n) for n in range(count))


def test_the_maps_of_every_step_are_held_or_the_nearest_before():
    history = History()
    for known in (5, 6, 8):
        history.keep(view(known))
    held = [history.view(known) for known in range(4, 10)]
    assert held[0] is None
    assert [each.maps.known for each in held[1:]] == [5, 6, 6, 8, 8]


def test_the_newest_maps_of_a_step_count():
    history = History()
    history.keep(view(5))
    newer = view(5)
    history.keep(newer)
    assert history.view(5) is newer


@pytest.mark.parametrize("steps", [10, 33, 100])
def test_memory_stays_below_its_limit_and_what_is_held_is_spread_over_the_run(steps):
    most = 12 * 3 * PLANE_BYTES
    history = History(most)
    for known in range(1, steps + 1):
        history.keep(view(known))
    held = {history.view(known) for known in range(steps + 1)} - {None}
    assert sum(each.size_bytes for each in held) <= most
    numbers = sorted(each.maps.known for each in held)
    gaps = set(np.diff(numbers))
    assert len(gaps) == 1
    assert len(held) >= min(steps, 6)
    assert numbers[-1] > steps - gaps.pop()


def test_the_picture_counts_in_memory():
    picture = np.zeros((4, 2), np.float32)
    with_picture = ModelView(view(1).maps, picture)
    assert with_picture.size_bytes == 3 * PLANE_BYTES + picture.nbytes


def test_targets_are_those_of_their_time():
    history = History()
    first = measurements(4)
    history.take(first)
    retargeted = measurements(6, factor=10)
    history.take(retargeted)
    assert history.measurements == retargeted
    assert history.after(3) == first[:3]
    assert history.after(4) == first
    assert history.after(5) == retargeted[:5]
    discarded = (*retargeted[:2], SimpleNamespace(step=2, target=np.nan))
    history.take((*discarded, *retargeted[3:]))
    assert history.after(6) == retargeted
    assert history.after(3) == first[:3]


def test_more_measurements_are_no_change_of_those_before():
    history = History()
    all_of_them = measurements(9)
    for count in range(1, 10):
        history.take(all_of_them[:count])
    assert history._earlier == []
    assert history.after(7) == all_of_them[:7]


def test_size_is_that_of_the_arrays():
    larger = replace(view(1).maps, mean=np.zeros((4, 4), np.float32))
    assert ModelView(larger, None).size_bytes == 64 + 2 * PLANE_BYTES
