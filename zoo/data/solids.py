"""Signed distances of simple solids, and smooth noise, as plain array arithmetic.

Distances are in millimetres, negative inside, and approximate: right to first order near the
surface. Arrays are float32 and broadcast against each other. Only operations that IEEE 754 rounds
exactly are used (+ - * / sqrt, comparisons), so that the same numbers come out on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float, float]


def rounded_uniform(rng: np.random.Generator) -> Callable[[float, float], float]:
    """`rng.uniform` to six digits: no trace of how a machine contracts the multiply and add in it."""
    return lambda low, high: round(float(rng.uniform(low, high)), 6)


def ellipsoid(x, y, z, centre: Point, radii: Point) -> np.ndarray:
    """Distance to an axis-aligned ellipsoid (value over gradient of its implicit function)."""
    u, v, w = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1], (z - centre[2]) / radii[2]
    radius = np.sqrt(u * u + v * v + w * w)
    u, v, w = u / radii[0], v / radii[1], w / radii[2]
    slope = np.sqrt(u * u + v * v + w * w)
    return radius * (radius - 1.0) / np.maximum(slope, 1e-6)


def cone(x, y, z, start: Point, end: Point, start_radius: float, end_radius: float) -> np.ndarray:
    """Distance to a capsule whose radius goes linearly from one end to the other."""
    along = [e - s for s, e in zip(start, end)]
    length_squared = sum(a * a for a in along)
    u, v, w = x - start[0], y - start[1], z - start[2]
    share = (u * along[0] + v * along[1] + w * along[2]) / length_squared
    share = np.minimum(np.maximum(share, 0.0), 1.0)
    u, v, w = u - share * along[0], v - share * along[1], w - share * along[2]
    return np.sqrt(u * u + v * v + w * w) - (start_radius + share * (end_radius - start_radius))


def union(a, b, blend: float) -> np.ndarray:
    """Smooth minimum: a fillet of about `blend` mm where the surfaces meet."""
    overlap = np.maximum(blend - np.abs(a - b), 0.0)
    return np.minimum(a, b) - overlap * overlap * (0.25 / blend)


def intersection(a, b, blend: float) -> np.ndarray:
    """Smooth maximum."""
    overlap = np.maximum(blend - np.abs(a - b), 0.0)
    return np.maximum(a, b) + overlap * overlap * (0.25 / blend)


@dataclass(frozen=True)
class Noise:
    """Quadratic B-spline through a cubic lattice of values, on a cube that starts at `origin` mm."""

    values: np.ndarray  # (n, n, n) float32
    origin: float
    cell: float

    @classmethod
    def draw(cls, rng: np.random.Generator, extent: float, cell: float, amplitude: float) -> "Noise":
        """Lattice values uniform within +-amplitude, over the cube [-extent / 2, extent / 2]."""
        count = int(extent / cell) + 5
        values = rng.integers(-127, 128, (count, count, count)).astype(np.float32)
        return cls(values * (amplitude / 127), -extent / 2 - 2 * cell, cell)

    def on_grid(self, xs: np.ndarray, ys: np.ndarray, zs: np.ndarray) -> np.ndarray:
        """Values at the tensor product of three coordinate vectors, shape (len xs, len ys, len zs)."""
        values = self.values
        for axis, coordinates in enumerate((xs, ys, zs)):
            first, weights = self._taps(coordinates)
            values = values[(slice(None),) * axis + (slice(first[0], first[-1] + 3),)]
            shape = [1, 1, 1]
            shape[axis] = -1
            values = sum(values.take(first - first[0] + tap, axis) * weight.reshape(shape)
                         for tap, weight in enumerate(weights))
        return values

    def _taps(self, coordinates):
        position = (coordinates - self.origin) / self.cell
        nearest = np.clip(np.floor(position + 0.5), 1, len(self.values) - 2)
        t = np.clip(position - nearest, -0.5, 0.5).astype(np.float32)
        weights = 0.5 * (0.5 - t) * (0.5 - t), 0.75 - t * t, 0.5 * (0.5 + t) * (0.5 + t)
        return nearest.astype(np.intp) - 1, weights
