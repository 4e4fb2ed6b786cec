"""Files of a stranger are bounded by what they hold before they are loaded."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from napari_hae.agent.embedding import load_network
from napari_hae.agent.experience import load_experience


def member(shape, dtype="<f4", content=b""):
    out = io.BytesIO()
    npy.write_array_header_1_0(
        out, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return out.getvalue() + content


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return path


def bomb(path):
    return archive(path, {"format.npy": member((2**26,), content=bytes(2**28))})


def overstated(path):
    return archive(path, {"format.npy": member((2**40,), content=bytes(8))})


def text(path):
    return archive(path, {"format.npy": b"no array at all"})


def objects(path):
    return archive(path, {"format.npy": member((1,), "|O", b"cos\nsystem\n.")})


def bare(path):
    path.write_bytes(member((2**34,)))
    return path


def other_method(path):
    return archive(path, {"format.npy": member((), content=bytes(4))}, zipfile.ZIP_LZMA)


def flipped(path):
    archive(path, {"format.npy": member((64,), content=bytes(range(256)))})
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("load", [load_experience, load_network])
@pytest.mark.parametrize(
    "make", [bomb, overstated, text, objects, bare, other_method, flipped]
)
def test_no_file_takes_more_memory_than_it_holds(tmp_path, load, make):
    path = make(tmp_path / "given.npz")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"given\.npz holds no ") as raised:
        load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "\n" not in str(raised.value)
    assert peak < 20e6


def test_zeros_that_are_packed_are_read(tmp_path):
    pixels, values = np.arange(4), np.zeros((4, 1))
    image = np.zeros((1, 64, 64), np.float32)
    arrays = {"image_0": image, "pixels_0": pixels, "values_0": values}
    np.savez_compressed(tmp_path / "x.npz", format=1, visits=1, **arrays)
    assert load_experience(tmp_path / "x.npz").measured == 4
