"""The simulated sample: particles, modes, noise, drift, damage and ground truth."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hae.coordinates import FieldFrame
from napari_hae.instruments.nanoparticles import Shape, scatter_particles
from napari_hae.instruments.simulated import SimulatedSettings
from napari_hae.instruments.simulated_sample import (
    ENERGY,
    ground_truth,
    sample_of,
    truth_spectrum_image,
)
from napari_hae.types import ProbePosition
from simulated_eels import BANDS_EV, MIDDLE, band, connected, expose, strongest


@pytest.mark.parametrize("exposure_s", [0.01, 1.0])
def test_counts_scatter_about_the_ground_truth_as_poisson_noise(exposure_s):
    simulated = SimulatedSettings()
    microscope = connected()
    position = strongest(simulated)
    counts = [band(expose(microscope, position, exposure_s)) for _ in range(200)]

    truth = ground_truth(simulated, simulated.shape, *BANDS_EV["corner"]).max()
    expected = float(truth) * simulated.current_pa * exposure_s
    assert np.mean(counts) == pytest.approx(expected, abs=5 * (expected / 200) ** 0.5)
    assert np.var(counts) == pytest.approx(expected, rel=0.5)


def test_without_counting_noise_a_spectrum_is_the_expected_one():
    simulated = SimulatedSettings(shape=(32, 48), counting_noise=False)
    spectrum = expose(connected(**simulated.model_dump()), strongest(simulated))

    truth = truth_spectrum_image(simulated, simulated.shape)
    frame = FieldFrame(simulated.shape, simulated.field_nm)
    expected = truth[frame.pixel(spectrum.position)] * simulated.current_pa * 0.1
    np.testing.assert_allclose(spectrum.counts, expected, rtol=1e-4)


@given(
    seed=st.integers(0, 2**32),
    number=st.integers(1, 60),
    touching=st.booleans(),
    height=st.floats(0.1, 10),
)
@settings(max_examples=12, deadline=None)
def test_particles_lie_in_the_field_and_do_not_overlap(seed, number, touching, height):
    fov_nm = (100 * height, 100.0)
    rng = np.random.default_rng(seed)
    particles = scatter_particles(fov_nm, number, touching, rng)
    samples = rng.uniform(0, fov_nm, (2000, 2))
    distances = np.array([particle.signed_distance(samples) for particle in particles])

    assert len(particles) == number
    assert ((distances < -1e-3 * min(fov_nm)).sum(axis=0) <= 1).all()
    for particle in particles:
        assert (particle.centre_nm > particle.radius_nm).all()
        assert (fov_nm - particle.centre_nm > particle.radius_nm).all()


def test_samples_hold_every_shape_and_touching_particles():
    particles = sample_of(SimulatedSettings(particles=40)).particles
    gaps = []
    for index in range(3, 40, 4):
        outline = particles[index].corners_nm
        others = [*particles[:index], *particles[index + 1 :]]
        if len(outline):
            gaps += [min(abs(p.signed_distance(outline)).min() for p in others)]

    assert {particle.shape for particle in particles} == set(Shape)
    assert min(gaps) < 0.1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (96, 160)])
def test_the_strongest_corner_pixels_lie_at_corners(seed, shape):
    simulated = SimulatedSettings(seed=seed, shape=shape)
    truth = ground_truth(simulated, shape, *BANDS_EV["corner"])
    frame = FieldFrame(shape, simulated.field_nm)
    particles = sample_of(simulated).particles
    corners = np.concatenate([particle.corners_nm for particle in particles])
    reach_nm = max(particle.radius_nm for particle in particles) / 4

    for row, column in np.argwhere(truth >= np.quantile(truth, 0.99)):
        place_nm = np.array(frame.nm(frame.position(row, column)))
        nearest_nm = np.hypot(*(corners - place_nm).T).min()
        assert nearest_nm < reach_nm + max(frame.pixel_nm)


def test_the_corner_band_is_a_sparse_reward_that_the_zero_loss_does_not_hide():
    simulated = SimulatedSettings()
    truth = ground_truth(simulated, simulated.shape, *BANDS_EV["corner"])

    assert truth.max() > 10 * np.median(truth)
    assert (truth > truth.max() / 2).mean() < 0.02


def test_edge_modes_follow_the_outline_and_face_modes_stay_inside():
    simulated = SimulatedSettings(shape=(128, 128), particles=6, particles_touch=False)
    sample = sample_of(simulated)
    frame = FieldFrame(simulated.shape, simulated.field_nm)
    depth = {}
    for name in ("edge", "face"):
        place_nm = np.array([frame.nm(strongest(simulated, name))])
        depth[name] = max(
            -particle.signed_distance(place_nm)[0] / particle.radius_nm
            for particle in sample.particles
        )

    assert abs(depth["edge"]) < 0.1
    assert depth["face"] > 0.3


def test_the_modes_peak_in_their_bands():
    simulated = SimulatedSettings(counting_noise=False)
    microscope = connected(counting_noise=False)
    for name, (low_ev, high_ev) in BANDS_EV.items():
        counts = expose(microscope, strongest(simulated, name)).counts
        near = ENERGY.channels(low_ev - 0.1, high_ev + 0.1)
        peak_ev = ENERGY.energies_ev[near][counts[near].argmax()]
        assert low_ev < peak_ev < high_ev


def test_the_zero_loss_peak_is_at_zero():
    counts = expose(connected(), MIDDLE).counts

    assert abs(ENERGY.energies_ev[counts.argmax()]) < 0.01


def test_steady_drift_moves_the_sample():
    still = connected(counting_noise=False, line_jitter_nm=0)
    pixel_nm = 200 / 64
    drifting = connected(
        counting_noise=False, line_jitter_nm=0, drift_x_nm_per_s=5 * pixel_nm
    )
    expose(drifting, MIDDLE, 1.0)
    before = still.acquire_survey(("HAADF",), (64, 64), 1e-7).data[0]
    after = drifting.acquire_survey(("HAADF",), (64, 64), 1e-7).data[0]

    np.testing.assert_allclose(after[:, 5:], before[:, :-5], rtol=0.02, atol=0.05)
    assert abs(after - before).max() > before.max() / 2


def test_a_random_walk_moves_the_sample_at_random():
    def spectrum(noise_seed):
        microscope = connected(
            counting_noise=False, random_walk_nm=20, noise_seed=noise_seed
        )
        expose(microscope, MIDDLE, 1.0)
        return band(expose(microscope, MIDDLE), "face")

    assert len({round(spectrum(seed), 3) for seed in range(6)}) > 1


def test_damage_lowers_the_modes_where_the_beam_was():
    simulated = SimulatedSettings(damage_dose_e_per_nm2=1e6, counting_noise=False)
    microscope = connected(**simulated.model_dump())
    corner, elsewhere = strongest(simulated), strongest(simulated, "face")
    untouched = band(expose(connected(counting_noise=False), elsewhere), "face")
    counts = [band(expose(microscope, corner)) for _ in range(10)]

    assert (np.diff(counts) < 0).all()
    assert counts[-1] < counts[0] / 2
    assert band(expose(microscope, elsewhere), "face") == pytest.approx(untouched)


def test_contamination_raises_the_background():
    microscope = connected(contamination_dose_e_per_nm2=1e6, counting_noise=False)
    background = ENERGY.channels(0.5, 0.6)
    empty = ProbePosition(0.01, 0.99)
    counts = [expose(microscope, empty).counts[background].sum() for _ in range(5)]

    assert (np.diff(counts) > 0).all()


def test_blanked_exposures_do_no_damage():
    microscope = connected(damage_dose_e_per_nm2=1e5, counting_noise=False)
    position = strongest(SimulatedSettings())
    microscope.place_beam(position)
    for _ in range(10):
        microscope.acquire_spectrum("EELS", 1.0)
    fresh = connected(counting_noise=False)

    assert band(expose(microscope, position)) == band(expose(fresh, position))


def test_a_megapixel_field_never_holds_its_spectrum_image():
    simulated = SimulatedSettings(shape=(1024, 1024))
    tracemalloc.start()
    microscope = connected(**simulated.model_dump())
    image = microscope.acquire_survey(("HAADF", "BF"), (1024, 1024), 1e-6)
    spectrum = expose(microscope, MIDDLE)
    ground_truth(simulated, (256, 1024), 0.30, 0.40)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    cube_bytes = image.data[0].size * spectrum.counts.nbytes
    assert peak_bytes < cube_bytes / 8
