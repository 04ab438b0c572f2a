"""Signed distances of simple solids, and smooth noise, as plain array arithmetic.

Distances are in millimetres, negative inside, and approximate: right to first order near the
surface. Arrays are float32 and broadcast against each other. Only operations that IEEE 754 rounds
exactly are used (+ - * / sqrt, comparisons), so that the same numbers come out on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Point = tuple[float, float, float]
Uniform = Callable[[float, float], float]  # (low, high) to a number drawn between them

LEAST_SLOPE = 1e-6  # keeps a division finite where a gradient vanishes


def rounded_uniform(rng: np.random.Generator) -> Uniform:
    """`rng.uniform` to six digits: no trace of how a machine contracts its multiply and add."""
    return lambda low, high: round(float(rng.uniform(low, high)), 6)


def ellipsoid(x: Floats, y: Floats, z: Floats, centre: Point, radii: Point) -> Floats:
    """Distance to an axis-aligned ellipsoid (value over gradient of its implicit function)."""
    u, v, w = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1], (z - centre[2]) / radii[2]
    radius: Floats = np.sqrt(u * u + v * v + w * w)
    u, v, w = u / radii[0], v / radii[1], w / radii[2]
    slope: Floats = np.maximum(np.sqrt(u * u + v * v + w * w), LEAST_SLOPE)
    distance: Floats = np.divide(radius * (radius - 1.0), slope)
    return distance


def cone(
    x: Floats,
    y: Floats,
    z: Floats,
    start: Point,
    end: Point,
    start_radius: float,
    end_radius: float,
) -> Floats:
    """Distance to a capsule whose radius goes linearly from one end to the other."""
    along = [e - s for s, e in zip(start, end, strict=True)]
    length_squared = sum(a * a for a in along)
    u, v, w = x - start[0], y - start[1], z - start[2]
    share: Floats = (u * along[0] + v * along[1] + w * along[2]) / length_squared
    share = np.minimum(np.maximum(share, 0.0), 1.0)
    u, v, w = u - share * along[0], v - share * along[1], w - share * along[2]
    off_axis: Floats = np.sqrt(u * u + v * v + w * w)
    return off_axis - (start_radius + share * (end_radius - start_radius))


def union(a: Floats, b: Floats, blend: float) -> Floats:
    """Smooth minimum: a fillet of about `blend` mm where the surfaces meet."""
    overlap: Floats = np.maximum(blend - np.abs(a - b), 0.0)
    sharp: Floats = np.minimum(a, b)
    return sharp - overlap * overlap * (0.25 / blend)  # a parabola that joins both smoothly


def intersection(a: Floats, b: Floats, blend: float) -> Floats:
    """Smooth maximum."""
    overlap: Floats = np.maximum(blend - np.abs(a - b), 0.0)
    sharp: Floats = np.maximum(a, b)
    return sharp + overlap * overlap * (0.25 / blend)


@dataclass(frozen=True)
class Noise:
    """Quadratic B-spline over a cubic lattice of values; its cube starts at `origin`, in mm."""

    values: Floats  # (n, n, n)
    origin: float
    cell: float

    @classmethod
    def draw(
        cls, rng: np.random.Generator, extent: float, cell: float, amplitude: float
    ) -> "Noise":
        """Lattice values uniform within +-amplitude, over the cube [-extent / 2, extent / 2]."""
        count = int(extent / cell) + 5  # two more on each side, for the spline's three taps
        values = rng.integers(-127, 128, (count, count, count)).astype(np.float32)
        # 255 levels, exact in float32: nothing is left to a machine's rounding.
        return cls(values * (amplitude / 127), -extent / 2 - 2 * cell, cell)

    def on_grid(self, xs: Floats, ys: Floats, zs: Floats) -> Floats:
        """Values at the tensor product of coordinate vectors, shape (len xs, len ys, len zs)."""
        values = self.values
        for axis, coordinates in enumerate((xs, ys, zs)):
            first, weights = self._taps(coordinates)
            values = values[(slice(None),) * axis + (slice(first[0], first[-1] + 3),)]
            shape = [1, 1, 1]
            shape[axis] = -1
            terms = [
                values.take(first - first[0] + tap, axis) * weight.reshape(shape)
                for tap, weight in enumerate(weights)
            ]
            values = reduce(np.add, terms)
        return values

    def _taps(self, coordinates: Floats) -> tuple[NDArray[np.intp], tuple[Floats, ...]]:
        """The first of three lattice indices for each coordinate, and the weights of the three."""
        position = (coordinates - self.origin) / self.cell
        nearest = np.clip(np.floor(position + 0.5), 1, len(self.values) - 2)
        t: Floats = np.clip(position - nearest, -0.5, 0.5).astype(np.float32)
        weights = 0.5 * (0.5 - t) * (0.5 - t), 0.75 - t * t, 0.5 * (0.5 + t) * (0.5 + t)
        return nearest.astype(np.intp) - 1, weights
