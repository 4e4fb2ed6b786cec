"""Files as laboratories have them: several readers, axes, units, spectrum images."""

from __future__ import annotations

import shutil
import subprocess
import sys

import h5py
import imageio.v3
import numpy as np
import pytest
import tifffile

from measured_files import (
    CHANNELS,
    COLUMNS,
    COUNTS,
    ENERGY,
    PIXELS,
    ROWS,
    X,
    Y,
    connected,
    cube_signal,
    expose,
    image_signal,
    save_cube,
    save_several,
)
from napari_hae.agent.similarity import SimilarityToTarget
from napari_hae.hyperspy_signals import hyperspy, spectra_signal
from napari_hae.instruments import signal_files
from napari_hae.instruments.base import Unsupported
from napari_hae.instruments.spectrum_images import (
    FileChoices,
    read_spectrum_image,
    spectrum_images_in,
)
from napari_hae.types import EnergyAxis, ProbePosition, Spectrum
from napari_hae.units import ev_per_unit, nm_per_unit

IN_NM = {**ENERGY, "units": "nm"}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file.hspy"


@pytest.fixture
def cube(file):
    return save_cube(file)


def read(path, survey_path=None, **choices):
    return read_spectrum_image(path, survey_path, FileChoices(**choices))


def refusal(path, survey_path=None, **choices):
    with pytest.raises(Unsupported) as caught:
        read(path, survey_path, **choices)
    words = str(caught.value)
    assert "\n" not in words
    return words


@pytest.mark.parametrize("name", ["map.hdf5", "map.h5", "map.HDF5"])
def test_a_file_of_a_general_extension_is_read_by_the_reader_that_can(
    cube, tmp_path, name
):
    path = tmp_path / name
    shutil.copy(cube, path)

    np.testing.assert_array_equal(read(path).counts, COUNTS)


def test_the_reader_can_be_named(cube, tmp_path):
    path = tmp_path / "map.measured"
    shutil.copy(cube, path)

    assert "instrument.reader" in refusal(path)
    np.testing.assert_array_equal(read(path, reader="hspy").counts, COUNTS)
    assert "HyperSpy has: EDAX, " in refusal(path, reader="nobody")


def test_where_all_readers_fail_each_is_heard_in_one_sentence(tmp_path):
    path = tmp_path / "empty.h5"
    with h5py.File(path, "w"):
        pass
    said = refusal(path)

    assert "cannot be read by any reader" in said
    assert "Delmic: " in said
    assert "instrument.reader" in said


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (ModuleNotFoundError("No module named 'numba'", name="numba"), "[formats]"),
        (ModuleNotFoundError("The 'sparse' library was not found."), "[formats]"),
        (ValueError("LZW requires the 'imagecodecs' package"), "[formats]"),
        (ModuleNotFoundError("No module named 'mrcz'", name="mrcz"), "install mrcz"),
    ],
)
def test_what_a_reader_misses_can_be_installed_by_the_command_in_the_message(
    cube, monkeypatch, error, command
):
    def load(path, **_):
        raise error

    monkeypatch.setattr(hyperspy(), "load", load)
    said = refusal(cube)

    assert "pip install" in said
    assert command in said


def test_other_failures_name_no_command(cube, monkeypatch):
    def load(path, **_):
        raise ValueError("The package of 'bits' is torn")

    monkeypatch.setattr(hyperspy(), "load", load)

    assert "pip install" not in refusal(cube)


def test_a_file_without_chunks_is_read_whole(cube, tmp_path):
    path = tmp_path / "unchunked.hspy"
    shutil.copy(cube, path)
    with h5py.File(path, "r+") as opened:
        [experiment] = opened["Experiments"].values()
        attributes = dict(experiment["data"].attrs)
        del experiment["data"]
        experiment.create_dataset("data", data=COUNTS).attrs.update(attributes)

    np.testing.assert_array_equal(read(path).counts, COUNTS)


def test_data_that_fail_only_when_they_are_asked_for_are_read_whole(cube, monkeypatch):
    in_memory = signal_files.in_memory

    def fails_lazily(data):
        if hasattr(data, "compute"):
            raise RuntimeError("not now")
        return in_memory(data)

    monkeypatch.setattr(
        "napari_hae.instruments.spectrum_images.in_memory", fails_lazily
    )

    np.testing.assert_array_equal(read(cube).counts, COUNTS)


# RosettaSciIO leaves such a file for the garbage collector to close.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("extension", ["png", "bmp", "jpeg", "tif"])
def test_a_picture_in_grey_is_a_survey_image(cube, tmp_path, extension):
    path = tmp_path / f"survey.{extension}"
    imageio.v3.imwrite(path, PIXELS.astype(np.uint8))
    survey = read(cube, path).survey

    assert survey.shape == (1, ROWS, COLUMNS)
    np.testing.assert_allclose(survey[0], PIXELS, atol=3)


@pytest.mark.parametrize("extension", ["png", "tif"])
@pytest.mark.parametrize("planes", [3, 4])
def test_a_picture_in_colours_is_taken_as_its_luminance(
    cube, tmp_path, extension, planes
):
    path = tmp_path / f"survey.{extension}"
    colours = np.random.default_rng(1).integers(0, 255, (ROWS, COLUMNS, planes))
    colours = colours.astype(np.uint8)
    imageio.v3.imwrite(path, colours)
    weighted = colours[..., :3] @ [0.2126, 0.7152, 0.0722]

    np.testing.assert_allclose(read(cube, path).survey[0], weighted, atol=1e-3)


def test_planes_of_energy_are_a_spectrum_image(file):
    planes = hyperspy().signals.Signal2D(
        np.moveaxis(COUNTS, -1, 0),
        axes=[
            {**ENERGY, "navigate": True},
            {**Y, "navigate": False},
            {**X, "navigate": False},
        ],
    )
    planes.save(file)
    image = read(file)

    assert image.fov_nm == pytest.approx((ROWS * 2, COLUMNS * 3))
    assert image.energy.offset_ev == pytest.approx(-200)
    np.testing.assert_array_equal(image.counts, COUNTS)


def test_an_energy_axis_in_the_middle_is_found(file):
    axes = [{**axis, "navigate": False} for axis in (Y, ENERGY, X)]
    hyperspy().signals.BaseSignal(np.moveaxis(COUNTS, -1, 1), axes=axes).save(file)

    np.testing.assert_array_equal(read(file).counts, COUNTS)


def test_a_stack_of_planes_without_units_names_the_setting_that_helps(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.moveaxis(COUNTS, -1, 0), photometric="minisblack")
    said = refusal(path)

    assert "instrument.energy_axis" in said
    assert f"1 (1, {CHANNELS}, no unit), 2 (height, {ROWS}, no unit)" in said
    np.testing.assert_array_equal(read(path, energy_axis="1").counts, COUNTS)
    assert "no single axis 'depth'" in refusal(path, energy_axis="depth")


@pytest.mark.parametrize("axis", ["depth", "Depth", "3"])
def test_the_energy_axis_is_named_by_its_name_or_number(file, axis):
    depth = {**ENERGY, "name": "depth", "units": "nm"}
    save_cube(file, Y, X, {**depth, "units": ""})

    np.testing.assert_array_equal(read(file, energy_axis=axis).counts, COUNTS)


def test_a_bare_array_can_be_read_too(tmp_path):
    np.save(tmp_path / "map.npy", COUNTS)
    image = read(tmp_path / "map.npy", energy_axis="3")

    np.testing.assert_array_equal(image.counts, COUNTS)
    assert image.energy == EnergyAxis(0, 1, CHANNELS)


def test_the_setting_reaches_the_instrument(tmp_path):
    np.save(tmp_path / "map.npy", COUNTS)
    replay = connected(tmp_path / "map.npy", energy_axis=3)

    np.testing.assert_array_equal(expose(replay, 2, 3).counts, COUNTS[2, 3])


def test_the_first_that_can_be_used_is_taken_which_is_said(file, caplog):
    save_several(file, cube_signal("CL", IN_NM), cube_signal("EELS", counts=COUNTS + 1))

    np.testing.assert_array_equal(read(file).counts, COUNTS + 1)
    assert "holds 2 spectrum images" in caplog.text
    assert "number 2" in caplog.text
    assert "1: CL (5 × 7 × 16, not usable)" in caplog.text


@pytest.mark.parametrize("name", ["EDS", "eds", "2"])
def test_a_spectrum_image_is_chosen_by_title_or_number(file, name):
    save_several(file, cube_signal("EELS"), cube_signal("EDS", counts=COUNTS + 1))

    np.testing.assert_array_equal(read(file, spectrum_image=name).counts, COUNTS + 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("EDX", "holds no spectrum image 'EDX'"),
        ("EELS", "holds several spectrum images 'EELS'"),
        ("4", "1: EELS (5 × 7, 16 channels, -200 to -50 eV); 2: EELS (5 × 7, "),
        ("3", "is in nm; an energy axis in meV, eV, keV, MeV is needed"),
    ],
)
def test_a_wrong_choice_is_answered_by_what_is_there(file, name, words):
    several = cube_signal("EELS"), cube_signal("EELS"), cube_signal("CL", IN_NM)
    save_several(file, *several)

    assert words in refusal(file, spectrum_image=name)


def test_where_none_can_be_used_it_is_said_of_each(file):
    save_several(file, cube_signal("CL", IN_NM), cube_signal("PL", IN_NM))
    said = refusal(file)

    assert "number 1 (CL)" in said
    assert "number 2 (PL)" in said


def test_what_a_file_holds_can_be_listed(file):
    save_several(file, image_signal("HAADF"), cube_signal("A"), cube_signal("B"))

    assert spectrum_images_in(file, FileChoices()) == [
        ("1", "1: A (5 × 7, 16 channels, -200 to -50 eV)"),
        ("2", "2: B (5 × 7, 16 channels, -200 to -50 eV)"),
    ]


@pytest.mark.parametrize(
    ("unit", "nm"),
    [
        ("micron", 1e3),
        ("Micron", 1e3),
        ("Angstrom", 0.1),
        ("\u212b", 0.1),
        ("nanometer", 1),
        ("$nm$", 1),
        ("\u00b5m", 1e3),
        ("\u03bcm", 1e3),
        ("1/nm", None),
        ("px", None),
        ("points", None),
        ("eV", None),
        ("", None),
        ("(", None),
    ],
)
def test_lengths_are_understood_as_people_write_them(unit, nm):
    assert nm_per_unit(unit.strip("$")) == nm


@pytest.mark.parametrize(
    ("unit", "ev"),
    [("KeV", 1e3), ("keV", 1e3), ("EV", 1), ("meV", 1e-3), ("MeV", 1e6), ("mev", None)],
)
def test_energies_are_understood_as_people_write_them(unit, ev):
    assert ev_per_unit(unit) == ev


def test_units_are_understood_however_others_write_them():
    code = (
        "import pint; registry = pint.get_application_registry(); "
        "registry.formatter.default_format = '~P'; "
        "from napari_hae.units import ev_per_unit, nm_per_unit; "
        "assert (ev_per_unit('keV'), nm_per_unit('micron')) == (1000, 1000)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_units_of_a_file_set_its_axes(file):
    x, y = {**X, "units": "micron"}, {**Y, "units": "Angstrom", "scale": 20}
    image = read(save_cube(file, y, x, {**ENERGY, "units": "KeV"}))

    assert image.fov_nm == pytest.approx((ROWS * 2, COLUMNS * 3000))
    assert image.energy.offset_ev == pytest.approx(-200)


@pytest.mark.parametrize("unit", ["1/nm", "s", "eV/nm"])
def test_a_map_that_is_not_over_lengths_is_refused(file, unit):
    said = refusal(save_cube(file, x={**X, "units": unit}))

    assert f"width of {file} is in {unit}; a length" in said


@pytest.mark.parametrize(
    ("y", "height_nm", "words"),
    [
        ({"name": "height", "size": ROWS, "scale": 0.5}, 0.5, "the unit of width is"),
        ({"name": "height", "size": ROWS}, 3, "square pixels are taken, 3 nm"),
        ({"name": "height", "size": ROWS, "units": "px"}, 3, "square pixels"),
    ],
)
def test_an_axis_without_a_unit_takes_that_of_the_other_which_is_said(
    file, caplog, y, height_nm, words
):
    image = read(save_cube(file, y))

    assert image.fov_nm == pytest.approx((ROWS * height_nm, COLUMNS * 3))
    assert words in caplog.text


def test_a_target_spectrum_may_have_any_of_these_units(tmp_path):
    axis = EnergyAxis(0, 1, CHANNELS)
    counts = COUNTS[1, 1].astype(np.float32)
    signal = spectra_signal(counts, axis)
    signal.axes_manager[0].units = "KeV"
    signal.axes_manager[0].scale = 0.001
    signal.save(tmp_path / "target.hspy")
    measured = Spectrum(counts, axis, "EDS", ProbePosition(0.5, 0.5), 0.1, 1.0)

    similarity = SimilarityToTarget(file=tmp_path / "target.hspy")
    assert similarity(measured) == pytest.approx(1)
