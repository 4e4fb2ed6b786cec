"""The geometry of the simulated sample: nanoparticles lying on a support film.

A particle is a point, a segment or a convex polygon (its spine) grown by a radius, so
that discs, rods and polygons with rounded corners are one thing with one distance
function. All is a function of position, so that any resolution can be sampled.
Positions are `(y, x)` in nm from the top left corner of the field of view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MODE_REACH, MATTER_REACH = 3.0, 1.2
"""Radii from a particle's centre beyond which its modes, its matter, are not felt."""

_CORNER_LENGTH, _EDGE_LENGTH, _FACE_LENGTH, _SLOPE = 0.2, 0.12, 0.2, 0.2
_COVERAGE = 0.25
_LARGEST_RADIUS = 0.2


class Shape(StrEnum):
    """The outline of a particle."""

    DISC = "disc"
    ROD = "rod"
    TRIANGLE = "triangle"
    SQUARE = "square"
    HEXAGON = "hexagon"


_VERTICES_AND_ROUNDING = {
    Shape.DISC: (1, 1.0),
    Shape.ROD: (2, 0.3),
    Shape.TRIANGLE: (3, 0.1),
    Shape.SQUARE: (4, 0.1),
    Shape.HEXAGON: (6, 0.1),
}


@dataclass(frozen=True, slots=True, eq=False)
class Particle:
    """One nanoparticle.

    Attributes
    ----------
    centre_nm
        Shape `(2,)`.
    radius_nm
        Radius of the circle around it.
    spine_nm
        Vertices relative to the centre, shape `(vertices, 2)`.
    rounding_nm
        Radius by which the spine is grown.
    tips_nm
        Where the corner mode sits, relative to the centre, shape `(corners, 2)`; a disc
        has none.
    tip_strength
        Strength of the corner mode at each tip, shape `(corners,)`.
    height_nm
        Thickness of its flat top.
    energies_ev
        Energies of the corner, the edge and the face mode, shape `(3,)`.
    """

    shape: Shape
    centre_nm: Array
    radius_nm: float
    spine_nm: Array
    rounding_nm: float
    tips_nm: Array
    tip_strength: Array
    height_nm: float
    energies_ev: Array

    @property
    def corners_nm(self) -> Array:
        """Its corners in the field of view, shape `(corners, 2)`, in nm."""
        return self.centre_nm + self.tips_nm

    def moved(self, by_nm: Array) -> Particle:
        """Return the same particle at another position."""
        return replace(self, centre_nm=self.centre_nm + by_nm)

    def near(self, points_nm: Array, reach: float) -> NDArray[np.intp]:
        """Return which points `(points, 2)` lie within `reach` radii of the centre."""
        y_nm, x_nm = (points_nm - self.centre_nm).T
        return np.flatnonzero(y_nm**2 + x_nm**2 < (reach * self.radius_nm) ** 2)

    def signed_distance(self, points_nm: Array) -> Array:
        """Distance from the outline, negative inside; `(points, 2)` to `(points,)`."""
        point = points_nm - self.centre_nm
        squared = np.full(len(point), np.inf)
        inside = np.full(len(point), len(self.spine_nm) > 2)
        for start, end in zip(
            self.spine_nm, np.roll(self.spine_nm, -1, axis=0), strict=True
        ):
            edge, from_start = end - start, point - start
            length_squared = max(float(edge @ edge), np.finfo(float).tiny)
            along = np.clip(from_start @ edge / length_squared, 0, 1)
            away = from_start - along[:, None] * edge
            squared = np.minimum(squared, np.einsum("pi,pi->p", away, away))
            inside &= edge[0] * from_start[:, 1] <= edge[1] * from_start[:, 0]
        distance: Array = np.where(inside, -1, 1) * np.sqrt(squared)
        return distance - self.rounding_nm

    def mode_strengths(self, points_nm: Array, distance_nm: Array) -> Array:
        """Return how strongly points excite the corner, edge and face modes.

        Corner modes leak out around the tips, edge modes follow the outline between
        them, face modes stay inside: the patterns mapped by Nelayah et al., Nature
        Physics 3, 348 (2007), simplified.

        Parameters
        ----------
        points_nm
            Shape `(points, 2)`.
        distance_nm
            Their signed distances, shape `(points,)`.

        Returns
        -------
        Shape `(points, 3)`, about 1 where a mode is strongest.
        """
        radius = self.radius_nm
        corner = np.zeros(len(points_nm))
        for tip, strength in zip(self.corners_nm, self.tip_strength, strict=True):
            y, x = (points_nm - tip).T
            corner += strength / np.cosh(np.hypot(y, x) / (_CORNER_LENGTH * radius))
        between_corners = 1 - np.minimum(corner, 1)
        edge = between_corners / np.cosh(distance_nm / (_EDGE_LENGTH * radius))
        depth = np.maximum(-distance_nm, 0)
        face = 1 - np.exp(-depth / (_FACE_LENGTH * radius))
        return np.stack([corner, edge, face], axis=1)

    def thickness(self, distance_nm: Array) -> Array:
        """Thickness in nm at signed distances; it slopes down across the outline."""
        ramp = np.clip(0.5 - distance_nm / (_SLOPE * self.radius_nm), 0, 1)
        return self.height_nm * ramp**2 * (3 - 2 * ramp)


def scatter_particles(
    fov_nm: tuple[float, float], number: int, touching: bool, rng: np.random.Generator
) -> tuple[Particle, ...]:
    """Particles of random shape, size and rotation that lie in the field of view.

    They are sized to cover about a quarter of the field at most and never overlap;
    where `touching`, every fourth one lies against another.
    """
    typical_nm = min(
        np.sqrt(_COVERAGE * fov_nm[0] * fov_nm[1] / (number * np.pi)),
        _LARGEST_RADIUS * min(fov_nm),
    )
    particles: list[Particle] = []
    for index in range(number):
        lies_against = touching and index % 4 == 3
        particle = _place(particles, lies_against, fov_nm, typical_nm, rng)
        particles.append(particle)
    return tuple(particles)


def _place(
    others: list[Particle],
    lies_against: bool,
    fov_nm: tuple[float, float],
    typical_nm: float,
    rng: np.random.Generator,
) -> Particle:
    """Return a new particle that fits, made smaller with each attempt."""
    for attempt in count():
        relative_radius = rng.uniform(0.75, 1.25) * 0.98**attempt
        particle = _random_particle(relative_radius, typical_nm, rng)
        if lies_against:
            partner = others[rng.integers(len(others))]
            particle = _brought_into_contact(particle, partner, rng)
        else:
            particle = particle.moved(rng.uniform(0, fov_nm))
        border_nm = np.minimum(particle.centre_nm, fov_nm - particle.centre_nm).min()
        free = [other for other in others if not lies_against or other is not partner]
        if border_nm > particle.radius_nm and _is_clear_of(particle, free, typical_nm):
            break
    return particle


def _random_particle(
    relative_radius: float, typical_nm: float, rng: np.random.Generator
) -> Particle:
    """Return a particle at the origin; modes of larger ones have lower energies."""
    shape = rng.choice(list(Shape))
    vertices, rounding = _VERTICES_AND_ROUNDING[Shape(shape)]
    radius_nm = relative_radius * typical_nm
    angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(vertices) / vertices
    directions = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    tips = directions[: 0 if vertices == 1 else None]
    energies_ev = np.array([0.35, 0.70, 0.90]) - 0.02 * (relative_radius - 1)
    return Particle(
        shape=Shape(shape),
        centre_nm=np.zeros(2),
        radius_nm=radius_nm,
        spine_nm=(1 - rounding) * radius_nm * directions,
        rounding_nm=rounding * radius_nm,
        tips_nm=radius_nm * tips,
        tip_strength=rng.uniform(0.5, 1, len(tips)),
        height_nm=rng.uniform(15, 30),
        energies_ev=energies_ev + rng.normal(0, 0.004, 3).clip(-0.01, 0.01),
    )


def _is_clear_of(particle: Particle, others: list[Particle], typical_nm: float) -> bool:
    clearance_nm = 0.3 * typical_nm
    for other in others:
        y, x = particle.centre_nm - other.centre_nm
        touching_nm = particle.radius_nm + other.radius_nm + clearance_nm
        if np.hypot(y, x) < touching_nm and _gap(particle, other) < clearance_nm:
            return False
    return True


def _brought_into_contact(
    particle: Particle, partner: Particle, rng: np.random.Generator
) -> Particle:
    """Move a particle at the origin against another, from a random side."""
    angle = rng.uniform(0, 2 * np.pi)
    outward = np.array([np.sin(angle), np.cos(angle)])
    away_nm = particle.radius_nm + partner.radius_nm
    particle = particle.moved(partner.centre_nm + away_nm * outward)
    # Going on by the gap never overlaps, and a few such moves close it.
    for _ in range(12):
        particle = particle.moved(-_gap(particle, partner) * outward)
    return particle


def _gap(first: Particle, second: Particle) -> float:
    """Return the distance in nm between two particles; negative where they overlap."""
    return min(_distance_to_spine(first, second), _distance_to_spine(second, first))


def _distance_to_spine(first: Particle, second: Particle) -> float:
    along = np.linspace(0, 1, 9)[:, None, None]
    ends = np.roll(second.spine_nm, -1, axis=0)
    points = second.spine_nm + along * (ends - second.spine_nm)
    distance = first.signed_distance(points.reshape(-1, 2) + second.centre_nm)
    return float(distance.min()) - second.rounding_nm
