from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_hae.coordinates import FieldFrame
from napari_hae.gui.layer_data import calibration, survey_data
from napari_hae.types import ProbePosition, ScanImage


@given(st.data())
def test_a_marked_pixel_is_found_again_after_the_whole_circle(data):
    """Pixel → layer → world nm → probe position → pixel, on fields of any shape."""
    from napari.layers import Image

    shape = data.draw(st.tuples(st.integers(2, 40), st.integers(2, 40)))
    fov_nm = data.draw(st.tuples(st.floats(1, 1e5), st.floats(1, 1e5)))
    row = data.draw(st.integers(0, shape[0] - 1))
    column = data.draw(st.integers(0, shape[1] - 1))
    planes = np.zeros((1, *shape), np.float32)
    planes[0, row, column] = 1
    image = ScanImage(planes, ("HAADF",), fov_nm, 1e-5)
    frame = FieldFrame.of(image)
    values, keywords, _ = survey_data(image)[0]
    layer = Image(values, **keywords)
    marked = np.argwhere(layer.data == 1)[0]
    y_nm, x_nm = layer.data_to_world(marked)
    position = frame.position_at(y_nm, x_nm)
    assert frame.pixel(position) == (row, column)
    assert frame.nm(frame.position(row, column)) == pytest.approx((y_nm, x_nm))


def test_x_is_the_column_and_y_the_row():
    frame = FieldFrame((10, 20), (100.0, 400.0))
    assert frame.position(2, 5) == ProbePosition(x=5.5 / 20, y=2.5 / 10)
    assert frame.nm(ProbePosition(x=0.5, y=0.1)) == (10.0, 200.0)
    assert calibration(frame)["scale"] == (10.0, 20.0)


def test_a_position_outside_has_no_pixel():
    with pytest.raises(ValueError, match="outside the image"):
        FieldFrame((4, 4), (1.0, 1.0)).pixel(ProbePosition(1.2, 0.5))
