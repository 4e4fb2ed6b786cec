"""asyncroscopy over the wire: spectra of all kinds, HDF5 files and a Tiled server."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hae.instruments.base import (
    InstrumentError,
)
from napari_hae.types import EnergyAxis
from tango_devices import CHANNELS
from tango_stack import (
    API_KEY,
    HERE,
    spectrum_at,
)

# Trap 4: spectra of any length, with and without an axis.


@pytest.mark.parametrize("channels", [1, 3, 2048])
def test_a_spectrum_of_any_length_counts_channels(connect, channels):
    microscope, lever = connect("newer")
    lever.pull(channels=channels)

    spectrum = spectrum_at(microscope, HERE)

    assert spectrum.energy == EnergyAxis(0.0, 1.0, channels)
    assert spectrum.counts.shape == (channels,)
    assert microscope.capabilities().spectrum_detector().energy == spectrum.energy


def test_offset_and_dispersion_may_be_entered(connect):
    axis = {"energy_offset_ev": -100.0, "energy_dispersion_ev": 5.0, "channels": 4000}
    microscope, _ = connect("newer", **axis)

    known = microscope.capabilities().spectrum_detector().energy
    assert known == EnergyAxis(-100.0, 5.0, 4000)
    assert spectrum_at(microscope, HERE).energy == EnergyAxis(-100.0, 5.0, CHANNELS)


def test_the_axis_that_comes_with_a_spectrum_holds(connect):
    microscope, lever = connect("newer", energy_dispersion_ev=5.0)
    lever.pull(attributes={"OffsetEnergy": "-955", "Dispersion": "10"})

    assert spectrum_at(microscope, HERE).energy == EnergyAxis(-955.0, 10.0, CHANNELS)


def test_the_older_twin_gives_a_number_per_element(connect):
    microscope, lever = connect("older")
    lever.pull(elements=True)

    np.testing.assert_allclose(spectrum_at(microscope, HERE).counts, [0.75, 0.25])


def test_a_reply_that_is_no_data_is_said(connect):
    microscope, lever = connect("older")
    lever.pull(garbage=True)

    with pytest.raises(InstrumentError, match="no header in JSON with its bytes"):
        spectrum_at(microscope, HERE)


# Where the data are.


def test_a_path_of_another_computer_is_found_in_the_data_folder(
    connect, data_folder, tmp_path
):
    microscope, lever = connect("newer")
    lever.pull(key="D:\\data\\moved.h5")
    with pytest.raises(InstrumentError, match=r"no file on this .*enter the data fold"):
        spectrum_at(microscope, HERE)

    spectrum_at(connect("newer")[0], HERE)
    newest = max(
        data_folder.glob("spectrum_*.h5"), key=lambda file: file.stat().st_mtime
    )
    (tmp_path / "moved.h5").write_bytes(newest.read_bytes())
    microscope, lever = connect("newer", data_folder=str(tmp_path))
    lever.pull(key="D:\\data\\moved.h5")
    assert spectrum_at(microscope, HERE).counts.shape == (CHANNELS,)


def test_files_of_another_kind_are_said(connect, tmp_path):
    microscope, lever = connect("newer")
    lever.pull(as_tiff=True)
    with pytest.raises(InstrumentError, match=r"other files than HDF5: .*haadf\.tiff"):
        microscope.acquire_survey(("haadf",), (32, 32), 1e-6)

    broken = tmp_path / "broken.h5"
    broken.write_bytes(b"nothing")
    lever.pull(key=str(broken))
    with pytest.raises(InstrumentError, match=r"broken\.h5 cannot be read"):
        spectrum_at(microscope, HERE)


def test_tiled_says_what_is_wrong(stack, on_tiled, connect):
    uri = on_tiled["tiled_uri"]
    microscope, lever = connect("tiled", **on_tiled)
    lever.pull(key="spectrum_gone.h5")
    with pytest.raises(InstrumentError, match=r"nothing of the key 'spectrum_gone\."):
        spectrum_at(microscope, HERE)
    with pytest.raises(InstrumentError, match=r"refused connecting: .*enter its API"):
        stack.microscope("tiled", tiled_uri=uri, tiled_api_key="wrong").connect()
    with pytest.raises(InstrumentError, match=r"wants an API key: enter its API key"):
        stack.microscope("tiled", tiled_uri=uri).connect()
    with pytest.raises(InstrumentError, match=r"127\.0\.0\.1:1 does not answer"):
        stack.microscope("tiled", tiled_uri="http://127.0.0.1:1").connect()


def test_the_tiled_address_and_key_may_be_in_the_environment(
    stack, on_tiled, connect, monkeypatch
):
    monkeypatch.setenv("ASYNCROSCOPY_TILED_URI", on_tiled["tiled_uri"])
    monkeypatch.setenv("TILED_API_KEY", API_KEY)
    microscope, _ = connect("tiled")
    stack.lever("tiled")

    image = microscope.acquire_survey(("haadf",), (16, 16), 1e-6)
    assert image.data.max() > 0
    assert spectrum_at(microscope, HERE).counts.max() > 0
