"""Families of simulated samples, for learning across experiments.

A sample is a stack of structure fields: where which matter is, how thick, how far from
its border, what else a spectrum may depend on. One image is made of some of them, one
target of others, so that what can be learned across experiments is how targets depend
on structure as such: on borders, corners, thickness, matter. Contrast, rotation, scale
and noise are drawn for each experiment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    distance_transform_edt,
    gaussian_filter,
    gaussian_gradient_magnitude,
)

from napari_hae.instruments.nanoparticles import scatter_particles

Array = NDArray[np.float64]
Rng = np.random.Generator
Family = Callable[[int, Rng], Array]


@dataclass(frozen=True, eq=False)
class Experiment:
    """One simulated experiment.

    Attributes
    ----------
    image
        The survey image, shape `(size, size)`.
    target
        What a scalarizer would give without noise, standardised, same shape.
    noise_std
        Standard deviation of the noise of one measurement, at each pixel.
    """

    image: Array
    target: Array
    noise_std: Array


def particles(size: int, rng: Rng) -> Array:
    """Nanoparticles with corner, edge and face modes, like the simulated microscope."""
    fov = (float(size), float(size))
    scattered = scatter_particles(
        fov, int(rng.integers(2, 16)), bool(rng.random() < 0.5), rng
    )
    y, x = np.indices((size, size)).reshape(2, -1) + 0.5
    points = np.stack([y, x], axis=1)
    modes, thickness = np.zeros((size * size, 3)), np.zeros(size * size)
    inside = np.zeros(size * size)
    for particle in scattered:
        distance = particle.signed_distance(points)
        near = distance < 2 * particle.radius_nm
        modes[near] += particle.mode_strengths(points[near], distance[near])
        thickness += particle.thickness(distance) / 20
        inside = np.maximum(inside, 1 / (1 + np.exp(2 * distance)))
    planes = [*modes.T, thickness, inside]
    return np.stack([plane.reshape(size, size) for plane in planes])


def grains(size: int, rng: Rng) -> Array:
    """A polycrystal: each grain of its own, segregation at the boundaries."""
    number = int(rng.integers(4, 60))
    seeds = rng.uniform(0, size, (number, 2))
    places = np.indices((size, size)).reshape(2, -1).T
    distances = np.hypot(*(places[:, None] - seeds[None]).transpose(2, 0, 1))
    order = np.argsort(distances, axis=1)
    nearest, second = np.take_along_axis(distances, order[:, :2], axis=1).T
    third = np.take_along_axis(distances, order[:, 2:3], axis=1)[:, 0]
    width = rng.uniform(0.8, 3)
    boundary = np.exp(-(((second - nearest) / 2 / width) ** 2))
    junction = np.exp(-(((third - nearest) / 2 / width) ** 2))
    orientation, composition = rng.random((2, number))
    planes = [
        orientation[order[:, 0]],
        composition[order[:, 0]],
        boundary,
        junction,
        np.minimum((second - nearest) / size * 8, 2),
    ]
    return np.stack([plane.reshape(size, size) for plane in planes])


def phases(size: int, rng: Rng) -> Array:
    """Two or three phases as they demix, with what gathers at their interfaces."""
    field = _smooth_field(size, rng.uniform(1.5, 7), rng)
    return np.stack([*parted(field, rng), field])


def parted(field: Array, rng: Rng) -> list[Array]:
    """What lies above one or two levels of a standardised field, and how far in."""
    levels = np.sort(rng.uniform(-1, 1, rng.integers(1, 3)))
    planes = []
    for level in levels:
        phase = field > level
        distance = _signed_distance(phase)
        width = rng.uniform(0.7, 2.5)
        planes += [
            gaussian_filter(phase.astype(float), 0.6),
            np.exp(-((distance / width) ** 2)),
            np.clip(distance / 5, -1, 1),
        ]
    return planes


def inclusions(size: int, rng: Rng) -> Array:
    """Inclusions of several kinds of matter in a matrix, some seen and some not."""
    kinds = np.zeros((3, size, size))
    rims = np.zeros((3, size, size))
    y, x = np.indices((size, size))
    for _ in range(int(rng.integers(3, 30))):
        centre, angle = rng.uniform(0, size, 2), rng.uniform(0, np.pi)
        long, short = rng.uniform(1.0, size / 6), rng.uniform(0.4, 1)
        dy, dx = y - centre[0], x - centre[1]
        along = np.cos(angle) * dx + np.sin(angle) * dy
        across = (np.cos(angle) * dy - np.sin(angle) * dx) / short
        ripple = 1 + 0.2 * np.sin(rng.integers(2, 6) * np.arctan2(across, along))
        outside = (np.hypot(along, across) - long * ripple) / rng.uniform(0.4, 1.2)
        kind = rng.integers(3)
        body = 1 / (1 + np.exp(np.clip(2 * outside, -30, 30)))
        kinds[kind] = np.maximum(kinds[kind], body)
        rims[kind] = np.maximum(rims[kind], np.exp(-((outside / 2) ** 2)))
    slope = _smooth_field(size, size / 4, rng)
    return np.stack([*kinds, *rims, slope])


def columns(size: int, rng: Rng) -> Array:
    """Atomic columns with vacancies, dopants and strain."""
    pitch, angle = rng.uniform(4, 9), rng.uniform(0, np.pi)
    strain = 0.15 * pitch * _smooth_field(size, size / 6, rng)
    grid = np.arange(-size, size) // 1
    i, j = np.meshgrid(grid, grid)
    shear = rng.choice([0, 0.5])
    u, v = pitch * (i + shear * j).ravel(), pitch * j.ravel()
    y = size / 2 + u * np.sin(angle) + v * np.cos(angle)
    x = size / 2 + u * np.cos(angle) - v * np.sin(angle)
    seen = (np.abs(y - size / 2) < size) & (np.abs(x - size / 2) < size)
    seen &= (y > -pitch) & (y < size + pitch) & (x > -pitch) & (x < size + pitch)
    y, x = y[seen], x[seen]
    kind = rng.choice(3, len(y), p=[0.85, 0.07, 0.08])
    rows, cols = np.indices((size, size))
    planes = np.zeros((3, size, size))
    for place_y, place_x, this in zip(y, x, kind, strict=True):
        r, c = np.clip([int(place_y), int(place_x)], 0, size - 1)
        near = slice(max(0, r - 12), r + 13), slice(max(0, c - 12), c + 13)
        squared = (rows[near] - place_y - strain[r, c]) ** 2
        squared = squared + (cols[near] - place_x) ** 2
        planes[this][near] += np.exp(-squared / (0.2 * pitch) ** 2 / 2)
        if this:
            planes[2 if this == 1 else 1][near] -= 0.0
    vacancy = gaussian_filter(planes[1], pitch / 2)
    dopant = gaussian_filter(planes[2], pitch / 2)
    visible = planes[0] + rng.uniform(1.2, 2) * planes[2]
    return np.stack([visible, vacancy * 8, dopant * 8, planes[2], strain / pitch * 7])


def layers(size: int, rng: Rng) -> Array:
    """A stack of films with rough interfaces, on a wedge."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.indices((size, size)) - size / 2
    depth = y * np.cos(angle) + x * np.sin(angle)
    depth = depth + rng.uniform(0, 4) * _smooth_field(size, size / 8, rng)
    borders = np.sort(rng.uniform(-size / 2, size / 2, rng.integers(1, 7)))
    which = np.searchsorted(borders, depth)
    seen, hidden = rng.random((2, len(borders) + 1))
    away = np.abs(depth[..., None] - borders).min(axis=-1)
    interface = np.exp(-((away / rng.uniform(0.8, 3)) ** 2))
    thickness = 1 + (x * np.sin(angle) - y * np.cos(angle)) / size
    return np.stack([seen[which], hidden[which], interface, thickness])


def textures(size: int, rng: Rng) -> Array:
    """Smooth random fields and what random filters make of them."""
    field = _smooth_field(size, rng.uniform(0.8, 5), rng)
    planes = [field]
    for _ in range(4):
        width = rng.uniform(0.7, 4)
        source = planes[rng.integers(len(planes))]
        kind = rng.integers(3)
        if kind == 0:
            made = gaussian_filter(source, width) - gaussian_filter(source, 1.6 * width)
        elif kind == 1:
            made = gaussian_gradient_magnitude(source, width)
        else:
            made = np.tanh(rng.normal(1.5, 0.5) * source + rng.normal())
        planes.append(_standardised(made))
    return np.stack(planes)


FAMILIES: dict[str, Family] = {
    "particles": particles,
    "grains": grains,
    "phases": phases,
    "inclusions": inclusions,
    "columns": columns,
    "layers": layers,
    "textures": textures,
}


def draw_experiment(family: str, size: int, rng: Rng) -> Experiment:
    """A random experiment on a random sample of a family.

    The sample is made larger or smaller than needed and cut, so that structures have
    many sizes in pixels.
    """
    fields = _scaled(FAMILIES[family](size, rng))
    fields = np.rot90(fields, rng.integers(4), axes=(1, 2))
    image = _survey_image(fields, rng)
    return experiment_on(np.ascontiguousarray(image), fields, rng)


def experiment_on(image: Array, fields: Array, rng: Rng) -> Experiment:
    """An image with a random target, made of some of the fields `(n, size, size)`."""
    target = _target(fields, rng)
    level = np.exp(rng.uniform(np.log(0.03), np.log(1.2)))
    # Counts fluctuate with the square root of what is counted.
    brightness = target - target.min() + 0.2
    counting = np.sqrt(brightness / brightness.mean())
    noise = level * (counting if rng.random() < 0.6 else np.ones_like(target))
    return Experiment(image, target, noise)


def _survey_image(fields: Array, rng: Rng) -> Array:
    image = _mixed(fields, 0.5, rng)
    image = gaussian_filter(image, rng.uniform(0, 0.9))
    image = image - image.min()
    image = (image / max(image.max(), 1e-9)) ** np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.3:
        image = image.max() - image
    if rng.random() < 0.3:
        image = image + 0.3 * _smooth_field(len(image), len(image) / 3, rng)
    counts = np.exp(rng.uniform(np.log(10), np.log(2000)))
    noisy = rng.poisson(counts * (image - image.min() + 0.1)) / counts
    return np.asarray(noisy, dtype=float)


def _target(fields: Array, rng: Rng) -> Array:
    target = _mixed(fields, 0.35, rng)
    if rng.random() < 0.3:
        target = target * (_standardised(_mixed(fields, 0.35, rng)) + 1.5)
    if rng.random() < 0.4:
        target = gaussian_filter(target, rng.uniform(0.5, 2))
    if rng.random() < 0.3:
        low, high = np.percentile(target, [1, 99])
        share = np.clip((target - low) / max(high - low, 1e-9), 0, 1)
        target = share ** np.exp(rng.normal(0, 0.6))
    if rng.random() < 0.25:
        # What the image does not show at all: damage, bending, another thickness.
        hidden = _smooth_field(len(target), rng.uniform(4, 20), rng)
        target = _standardised(target) + rng.uniform(0.1, 0.7) * hidden
    return _standardised(target)


def _mixed(fields: Array, kept: float, rng: Rng) -> Array:
    """A sum of some of the fields, with random weights, mostly positive ones."""
    chosen = rng.random(len(fields)) < kept
    chosen[rng.integers(len(fields))] = True
    weights = chosen * np.abs(rng.normal(0, 1, len(fields)))
    weights = weights * np.where(rng.random(len(fields)) < 0.2, -1, 1)
    result: Array = np.tensordot(weights, fields, axes=1)
    return result


def _scaled(fields: Array) -> Array:
    spread = fields.std(axis=(1, 2), keepdims=True)
    result: Array = fields / np.maximum(spread, 1e-3)
    return result


def _smooth_field(size: int, width: float, rng: Rng) -> Array:
    noise = rng.standard_normal((size, size))
    return _standardised(gaussian_filter(noise, width, mode="reflect"))


def _signed_distance(inside: NDArray[np.bool_]) -> Array:
    result: Array = distance_transform_edt(inside) - distance_transform_edt(~inside)
    return np.clip(result, -len(inside), len(inside))


def _standardised(values: Array) -> Array:
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 1e-9 else 1.0)
