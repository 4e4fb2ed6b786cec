"""The first stroke of a person does not wait for a compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.gui

FRESH = """
import sys
import numpy as np
from numba.core.event import install_recorder
from napari_hae.coordinates import FieldFrame
from napari_hae.gui.label_color import prepare
from napari_hae.gui.regions import region_layer
from napari_hae.regions.regions import RegionKind

if "prepared" in sys.argv:
    prepare()
frame = FieldFrame((8, 8), (80.0, 80.0))
with install_recorder("numba:compile") as recorder:
    for kind in RegionKind:
        region_layer(kind, np.eye(8, dtype=np.uint8), frame, "painted")
print(len(recorder.buffer))
"""


@pytest.mark.parametrize(("prepared", "compiles"), [(True, False), (False, True)])
def test_a_region_is_coloured_without_compiling_once_prepared(prepared, compiles):
    """In a fresh interpreter: what was compiled once stays so."""
    pytest.importorskip("numba")
    words = [sys.executable, "-c", FRESH, *(["prepared"] if prepared else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 0) is compiles


def test_an_opened_window_prepares_by_itself(cockpit, qtbot, monkeypatch):
    from napari_hae.gui import regions_in_effect

    prepared = []
    monkeypatch.setattr(regions_in_effect, "prepare", lambda: prepared.append(True))
    session = cockpit.session
    again = regions_in_effect.RegionsInEffect(session.viewer, session.layers, session)
    qtbot.waitUntil(lambda: bool(prepared))
    again.close()
