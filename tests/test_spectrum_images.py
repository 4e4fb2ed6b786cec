"""A spectrum image is read from its file, or refused in words."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from measured_files import (
    CHANNELS,
    COLUMNS,
    COUNTS,
    ENERGY,
    ROWS,
    X,
    Y,
    save,
    save_cube,
)
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.instruments import spectrum_images
from napari_hae.instruments.base import InstrumentError, Unsupported
from napari_hae.instruments.spectrum_images import FileChoices, read_spectrum_image

SUM = FileChoices(without_image="sum_of_channels")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file.hspy"


@pytest.fixture
def cube(file):
    return save_cube(file)


@pytest.fixture
def cube_in_blocks(tmp_path):
    return save_cube(tmp_path / "blocks.hspy", chunks=(2, 3, CHANNELS))


@pytest.fixture
def always_lazy(monkeypatch):
    monkeypatch.setattr(spectrum_images, "IN_MEMORY_BYTES", 0)


def refusal(path, survey_path=None):
    with pytest.raises(Unsupported) as caught:
        read_spectrum_image(path, survey_path)
    words = str(caught.value)
    assert "Traceback" not in words
    assert "\n" not in words
    return words


def test_axes_arrive_in_nm_and_ev(cube):
    image = read_spectrum_image(cube, None)

    assert image.shape == (ROWS, COLUMNS)
    assert image.fov_nm == pytest.approx((ROWS * 2, COLUMNS * 3))
    energy = image.energy
    assert (energy.offset_ev, energy.dispersion_ev) == pytest.approx((-200, 10))
    assert energy.size == CHANNELS


@pytest.mark.parametrize(
    ("unit", "nm"),
    [("pm", 1e-3), ("Å", 0.1), ("nm", 1), ("µm", 1e3), ("\u03bcm", 1e3), ("mm", 1e6)],
)
def test_units_of_length_are_understood(file, unit, nm):
    image = read_spectrum_image(save_cube(file, x={**X, "units": unit}), None)

    assert image.fov_nm[1] == pytest.approx(COLUMNS * 3 * nm)


@pytest.mark.parametrize("scale", [{}, {"units": "pix"}, {"units": "nm", "scale": 0}])
def test_pixels_without_a_size_are_taken_as_1_nm_which_is_said(file, caplog, scale):
    y, x = ({"size": size, **scale} for size in (ROWS, COLUMNS))
    image = read_spectrum_image(save_cube(file, y, x), None)

    assert image.fov_nm == (ROWS, COLUMNS)
    assert "1 nm per pixel is taken" in caplog.text


def test_an_energy_axis_without_a_unit_keeps_its_scale_which_is_said(file, caplog):
    bare = {"size": CHANNELS, "scale": 0.3, "offset": 7}
    energy = read_spectrum_image(save_cube(file, energy=bare), None).energy

    assert (energy.offset_ev, energy.dispersion_ev) == (7, 0.3)
    assert "taken to be in eV, from 7 eV in steps of 0.3 eV" in caplog.text


def test_an_energy_axis_without_a_scale_counts_channels_which_is_said(file, caplog):
    energy = read_spectrum_image(
        save_cube(file, energy={"size": CHANNELS}), None
    ).energy

    assert (energy.offset_ev, energy.dispersion_ev) == (0, 1)
    assert "channel numbers" in caplog.text


def test_the_energy_axis_may_lie_first_in_the_file(file):
    axes = [{**ENERGY, "navigate": False}]
    axes += [{**axis, "navigate": True} for axis in (Y, X)]
    signal = hyperspy().signals.BaseSignal(np.moveaxis(COUNTS, -1, 0), axes=axes)
    signal.save(file)
    image = read_spectrum_image(file, None)

    assert image.fov_nm == pytest.approx((ROWS * 2, COLUMNS * 3))
    np.testing.assert_array_equal(image.counts, COUNTS)


def test_the_detector_has_the_name_of_the_kind_of_spectra(tmp_path):
    bare = save_cube(tmp_path / "bare.hspy")
    eels = save_cube(
        tmp_path / "eels.hspy", metadata={"Signal": {"signal_type": "EELS"}}
    )

    assert read_spectrum_image(bare, None).detector == "spectrum"
    assert read_spectrum_image(eels, None).detector == "EELS"


def test_without_a_survey_image_it_is_blank_which_is_said(cube, caplog):
    image = read_spectrum_image(cube, None)

    assert image.survey_detectors == ("blank",)
    assert not image.survey.any()
    assert "the agent goes by positions alone" in caplog.text


def test_the_sum_over_all_channels_is_a_survey_image_if_a_person_wants_it(cube, caplog):
    image = read_spectrum_image(cube, None, SUM)

    assert image.survey_detectors == ("sum of channels",)
    assert image.survey.dtype == np.float32
    np.testing.assert_array_equal(image.survey[0], COUNTS.sum(axis=-1))
    assert "it is computed from the spectra" in caplog.text


def test_a_survey_image_from_another_file_is_used(cube, tmp_path):
    pixels = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    titled = {"General": {"title": "HAADF"}}
    path = tmp_path / "haadf.hspy"
    save(path, pixels, Y, X, signal_dimension=2, metadata=titled)
    image = read_spectrum_image(cube, path)

    assert image.survey_detectors == ("HAADF",)
    np.testing.assert_array_equal(image.survey[0], pixels)


def test_a_large_file_stays_on_disk_and_gives_the_same(cube_in_blocks, always_lazy):
    image = read_spectrum_image(cube_in_blocks, None, SUM)

    assert not isinstance(image.counts, np.ndarray)
    np.testing.assert_array_equal(image.survey[0], COUNTS.sum(axis=-1))
    for row, column in np.ndindex(ROWS, COLUMNS):
        spectrum = image.spectrum(row, column)
        assert spectrum.dtype == np.float32
        np.testing.assert_array_equal(spectrum, COUNTS[row, column])
    image.close()


def test_a_spectrum_that_can_no_longer_be_read_is_an_instrument_error(
    cube_in_blocks, always_lazy
):
    image = read_spectrum_image(cube_in_blocks, None)
    image.close()

    with pytest.raises(InstrumentError, match="row 1, column 2 cannot be read"):
        image.spectrum(1, 2)


def test_what_the_reader_makes_one_block_of_is_held(cube, always_lazy):
    assert hyperspy().load(cube, lazy=True).data.npartitions == 1

    assert isinstance(read_spectrum_image(cube, None).counts, np.ndarray)


def test_a_file_that_was_read_into_memory_is_closed(cube):
    image = read_spectrum_image(cube, None)
    hyperspy().load(cube).save(cube, overwrite=True)

    np.testing.assert_array_equal(image.spectrum(0, 1), COUNTS[0, 1])


def test_formats_that_cannot_be_lazy_are_read_at_once(cube, monkeypatch, caplog):
    load = hyperspy().load

    def load_eagerly(path, lazy, file_format):
        if lazy:
            logging.getLogger("hyperspy.io").error(
                "please report this error to the RosettaSciIO developers"
            )
            raise NotImplementedError("Lazy loading is not supported.")
        return load(path, file_format=file_format)

    monkeypatch.setattr(hyperspy(), "load", load_eagerly)

    np.testing.assert_array_equal(read_spectrum_image(cube, None).counts, COUNTS)
    assert "report this error" not in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("garbage.hspy", b"garbage", "cannot be read: OSError: "),
        ("garbage.bcf", b"garbage", "is not SFS container"),
        ("garbage.dm4", b"garbage" * 99, "cannot be read: "),
        ("empty.emd", b"", "cannot be read: "),
        ("notes.text", b"some text", "no format with the extension .text"),
        ("nothing", b"some text", "no format with the extension (none)"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, caplog, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    said = refusal(path)

    assert words in said
    assert str(path) in said
    assert "report this error" not in caplog.text


def test_a_missing_file_and_a_folder_are_refused(tmp_path, cube):
    assert "there is no file" in refusal(tmp_path / "missing.hspy")
    assert "there is no file" in refusal(cube, tmp_path / "missing.hspy")
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("shape", "signal_dimension", "found"),
    [
        ((CHANNELS,), 1, "0 navigation and 1 signal (16)"),
        ((COLUMNS, CHANNELS), 1, "1 navigation and 1 signal (7 × 16)"),
        ((2, ROWS, COLUMNS, CHANNELS), 1, "3 navigation and 1 signal (2 × 5 × 7 × 16)"),
        ((ROWS, COLUMNS), 2, "0 navigation and 2 signal (5 × 7)"),
        ((3, 4, ROWS, COLUMNS), 2, "2 navigation and 2 signal (3 × 4 × 5 × 7)"),
    ],
)
def test_what_is_no_spectrum_image_is_refused(file, shape, signal_dimension, found):
    axes = [{"size": size} for size in shape]
    said = refusal(save(file, np.ones(shape), *axes, signal_dimension=signal_dimension))

    assert "2 navigation dimensions and 1 signal dimension is needed" in said
    assert found in said


def test_complex_numbers_are_refused(file):
    hyperspy().signals.ComplexSignal1D(COUNTS + 1j).save(file)

    assert "not of real numbers" in refusal(file)


def test_a_survey_image_of_another_shape_is_refused(cube, tmp_path):
    axes = [{"size": ROWS + 1}, {"size": COLUMNS}]
    pixels, path = np.ones((ROWS + 1, COLUMNS)), tmp_path / "other.hspy"
    said = refusal(cube, save(path, pixels, *axes, signal_dimension=2))

    assert "5 × 7 pixels" in said
    assert "(6 × 7)" in said


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ({**ENERGY, "units": "nm"}, "in nm; an energy axis in meV, eV, keV, MeV"),
        ({**ENERGY, "scale": -0.01}, "a step above 0 is needed"),
        ({"axis": np.arange(CHANNELS) ** 2, "units": "keV"}, "is not uniform"),
    ],
)
def test_a_signal_axis_that_is_no_energy_axis_is_refused(file, axis, words):
    assert words in refusal(save_cube(file, energy=axis))


def test_pixels_that_are_not_evenly_spaced_are_refused(file):
    uneven = {"axis": np.arange(COLUMNS) ** 2, "units": "nm", "name": "width"}

    assert "not evenly spaced along width" in refusal(save_cube(file, x=uneven))


def test_brackets_in_the_name_of_a_file_are_no_wildcards(tmp_path):
    path = save_cube(Path(tmp_path / "map [1].hspy"))

    assert read_spectrum_image(path, None).shape == (ROWS, COLUMNS)
