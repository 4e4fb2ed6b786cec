"""What the model sees of the survey image."""

from typing import get_args

import numpy as np
import pytest

import blobs
from napari_hae.agent import embedding
from napari_hae.agent.embedding import (
    embed,
    load_network,
    parts_of,
    structure_features,
)
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.structure_network import FEATURES

PLANE = blobs.image().data[0]
SHAPE = PLANE.shape


def features_of(plane):
    found = structure_features(plane, load_network())
    return found.reshape(*plane.shape, FEATURES)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_or_mirrored_sample_has_the_same_features_turned(turns):
    turned = np.ascontiguousarray(np.rot90(PLANE, turns)[::-1])
    expected = np.rot90(features_of(PLANE), turns)[::-1]
    np.testing.assert_allclose(features_of(turned), expected, atol=2e-3)


def test_contrast_and_brightness_do_not_matter():
    brighter = (300 * PLANE + 4000).astype(np.float32)
    np.testing.assert_allclose(features_of(brighter), features_of(PLANE), atol=5e-3)


@pytest.mark.parametrize("tile_px", [16, 23])
def test_tiles_give_the_same_features_as_the_whole_field(monkeypatch, tile_px):
    whole = features_of(PLANE)
    monkeypatch.setattr(embedding, "_TILE_PX", tile_px)
    np.testing.assert_allclose(features_of(PLANE), whole, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2)])
def test_tiny_fields_and_fields_without_contrast_have_features(shape):
    plane = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert np.isfinite(features_of(plane)).all()
    assert np.isfinite(features_of(np.zeros_like(plane))).all()


def test_every_detector_gives_features_of_its_own():
    both = np.stack([PLANE, PLANE[::-1]])
    assert embed(both, ModelSettings()).shape == (PLANE.size, 2 * FEATURES)
    assert embed(both, ModelSettings(network="none")).shape == (PLANE.size, 8 + 24)


def test_weights_come_from_a_file_if_one_is_given(tmp_path):
    state = {name: 0 * w.numpy() for name, w in load_network().state_dict().items()}
    np.savez(tmp_path / "zero.npz", **state)
    made = embed(PLANE[None], ModelSettings(weights=tmp_path / "zero.npz"))
    np.testing.assert_array_equal(made, 0)


@pytest.mark.parametrize("name", ["weights", "patch_px", "components", "embedding_dim"])
def test_a_setting_is_shown_for_the_networks_where_it_has_an_effect(name, tmp_path):
    state = {key: 0 * w.numpy() for key, w in load_network().state_dict().items()}
    np.savez(tmp_path / "zero.npz", **state)
    other = tmp_path / "zero.npz" if name == "weights" else 4

    def seen(**settings):
        model = ModelSettings(**settings)
        inputs = embed(PLANE[None], model)
        return inputs.tolist(), parts_of(model, inputs.shape[1])

    field = ModelSettings.model_fields[name]
    networks = get_args(ModelSettings.model_fields["network"].annotation)
    with_effect = [
        network
        for network in networks
        if seen(network=network) != seen(network=network, **{name: other})
    ]
    shown = field.json_schema_extra["shown_if"]["network"]
    assert sorted(shown) == sorted(with_effect)


def test_a_file_without_weights_is_refused_by_name(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "text.npz").write_text("no weights")
    for name in ("other.npz", "text.npz", "missing.npz"):
        with pytest.raises(ValueError, match=f"{name} holds no weights"):
            load_network(tmp_path / name)
