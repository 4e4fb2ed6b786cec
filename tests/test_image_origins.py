"""No map that was computed from the spectra ever reaches the agent."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from measured_files import (
    CASES,
    P45,
    PIXELS,
    connected,
    cube_signal,
    image_signal,
    jeol,
    needs_data,
    save_several,
    survey_of,
    velox,
)
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.instruments.base import Unsupported
from napari_hae.instruments.image_origins import Origin, origin_of
from napari_hae.instruments.spectrum_images import FileChoices, read_spectrum_image

VELOX = CASES / "velox_EELS_EDS.zip"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file.hspy"


@pytest.mark.parametrize(
    ("title", "written", "origin"),
    [
        ("HAADF", velox("HAADF", 0), Origin.DETECTOR),
        ("Fe", velox("UltraX"), Origin.SPECTRA),
        ("Fe", velox("UltraX1", 1), Origin.SPECTRA),
        ("Fe-EELS", velox("Zebra"), Origin.SPECTRA),
        ("Composite", velox("ProcessedData"), Origin.SPECTRA),
        ("iDPC", velox("DPC"), Origin.UNKNOWN),
        ("HAADF", velox("HAADF", 9), Origin.UNKNOWN),
        ("IMG1", jeol("View000_0000000.img"), Origin.DETECTOR),
        ("BF", jeol("View000_0000001.map"), Origin.DETECTOR),
        ("BF(frame1)", jeol("View000_0000001.map"), Origin.DETECTOR),
        ("Fe K", jeol("View000_0000001.map"), Origin.SPECTRA),
        ("O K", jeol("View000_0000001.map"), Origin.SPECTRA),
        ("residual", jeol("View000_0000001.map"), Origin.UNKNOWN),
        ("HAADF", {}, Origin.UNKNOWN),
    ],
)
def test_the_file_tells_where_an_image_comes_from(title, written, origin):
    assert origin_of(image_signal(title, written)) is origin


def test_what_was_computed_from_a_file_of_images_is_not_an_image(tmp_path):
    computed = image_signal("HAADF")
    steps = {"0": {"io_plugin": "rsciio.bruker"}, "1": {"io_plugin": "rsciio.hspy"}}
    computed.metadata.add_dictionary({"General": {"FileIO": steps}})

    assert origin_of(computed) is Origin.UNKNOWN


def test_only_images_of_detectors_are_survey_images(file, caplog):
    save_several(
        file,
        image_signal("Fe", velox("UltraX")),
        image_signal("HAADF", velox("HAADF", 0), 2 * PIXELS),
        image_signal("thickness"),
        cube_signal(),
    )
    image = read_spectrum_image(file, None)

    assert image.survey_detectors == ("HAADF",)
    np.testing.assert_array_equal(image.survey, [2 * PIXELS])
    assert "computed from the spectra: Fe" in caplog.text
    assert "of a detector: thickness" in caplog.text


@pytest.mark.parametrize("choices", [{}, {"without_image": "sum_of_channels"}])
def test_a_file_of_maps_alone_shows_none_of_them(file, choices):
    save_several(file, image_signal("Fe", velox("UltraX")), cube_signal())
    image = read_spectrum_image(file, None, FileChoices(**choices))

    assert image.survey_detectors in [("blank",), ("sum of channels",)]
    assert not np.array_equal(image.survey[0], PIXELS)


@pytest.mark.parametrize("name", ["thickness", "Thickness ", "2"])
def test_an_image_of_unknown_origin_is_taken_if_a_person_names_it(file, name):
    maps = image_signal("Fe", velox("UltraX")), image_signal("thickness")
    save_several(file, *maps, cube_signal())
    image = read_spectrum_image(file, None, FileChoices(survey_image=name))

    assert image.survey_detectors == ("thickness",)


@pytest.mark.parametrize("name", ["Fe", "1", "HAADF"])
def test_a_map_is_not_taken_even_if_a_person_names_it(file, name):
    maps = image_signal("Fe", velox("UltraX")), image_signal("thickness")
    save_several(file, *maps, cube_signal())
    with pytest.raises(Unsupported, match=r"there are 2 \(thickness\)"):
        read_spectrum_image(file, None, FileChoices(survey_image=name))


def test_another_file_with_maps_alone_is_refused(file, tmp_path):
    save_several(file, cube_signal())
    maps = tmp_path / "maps.hspy"
    save_several(maps, image_signal("Fe", velox("UltraX")))

    with pytest.raises(Unsupported, match=r"computed from spectra \(Fe\)"):
        read_spectrum_image(file, maps)


def test_the_images_of_a_file_that_a_person_names_are_taken(file):
    save_several(file, image_signal("a"), image_signal("a"), cube_signal())

    assert read_spectrum_image(file, None).survey_detectors == ("blank",)
    assert read_spectrum_image(file, file).survey_detectors == ("a 1", "a 2")


@needs_data
def test_the_images_of_a_bruker_file_are_of_detectors():
    assert connected(P45).capabilities().survey_detectors == ("BSE", "SE")


@pytest.mark.skipif(not VELOX.is_file(), reason=f"there is no {VELOX}")
@pytest.mark.parametrize(
    ("number", "shape", "first_ev", "detector"),
    [
        (1, (16, 20), 800, "DF-S"),
        (2, (16, 20), 480, "DF-S"),
        (3, (16, 20), -21.5026, "DF-S"),
        (4, (128, 128), -200, "a"),
    ],
)
def test_every_spectrum_image_of_a_velox_file_runs_with_its_image_alone(
    tmp_path, number, shape, first_ev, detector
):
    with zipfile.ZipFile(VELOX) as packed:
        [name] = packed.namelist()
        packed.extract(name, tmp_path)
    replay = connected(tmp_path / name, spectrum_image=number)
    able = replay.capabilities()

    assert able.survey_detectors == (detector,)
    assert able.survey_shape == shape
    assert able.spectrum_detectors[0].energy.offset_ev == pytest.approx(first_ev)
    signals = hyperspy().load(tmp_path / name)
    [measured] = [
        each
        for each in signals
        if each.data.shape == shape and each.metadata.General.title == detector
    ]
    np.testing.assert_array_equal(survey_of(replay).data[0], measured.data)
