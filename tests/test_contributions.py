from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer

from napari_hae.cli import main
from napari_hae.gui.contributions import get_reader, sample_data


@pytest.fixture
def record(tmp_path):
    out = tmp_path / "run.hae"
    size = ["--set", "instrument.shape=[32, 32]"]
    run = ["run", "--instrument", "simulated", *size, "--steps", "12"]
    assert main([*run, "--out", str(out)]) == 0
    return out


def test_a_record_opens_as_the_layers_of_its_run(record):
    layers = [Layer.create(*each) for each in get_reader(str(record))(str(record))]
    assert [layer.name for layer in layers] == [
        "Survey HAADF",
        "Survey BF",
        "Dose",
        "Standard deviation",
        "Acquisition function",
        "Predicted mean",
        "Trajectory",
        "Measured points",
    ]
    assert list(layers[-1].features["step"]) == list(range(12))


def test_what_is_no_record_is_left_to_other_readers(tmp_path):
    assert get_reader(str(tmp_path)) is None


def test_the_sample_is_a_survey_image_with_its_spectrum_image():
    cube, *survey = (Layer.create(*each) for each in sample_data())
    assert cube.data.shape[1:] == survey[0].data.shape
    assert tuple(cube.scale[1:]) == tuple(survey[0].scale)
    assert np.isfinite(cube.data).all()
