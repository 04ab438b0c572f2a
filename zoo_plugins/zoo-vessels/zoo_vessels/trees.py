"""Vessel trees: tubes that grow, fork, taper, narrow and tangle. Millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]  # (3,)

THINNEST = 0.65  # the radius at which a tree ends
BRANCHES = 60  # of a tree, at most


@dataclass(frozen=True)
class Segment:
    """A piece of a tube: a capsule from one point to the next, mm."""

    start: Vector
    end: Vector
    radii: tuple[float, float]


@dataclass(frozen=True)
class Skull:
    """The ellipsoid that the brain fills: its middle and radii (3,), mm."""

    middle: Vector
    radii: Vector

    def on_surface(self, rng: np.random.Generator) -> Vector:
        return self.middle + self.radii * _unit(rng.standard_normal(3))

    def along(self, point: Vector, direction: Vector, depth: float) -> tuple[Vector, Vector]:
        """A point brought to `depth` mm below the surface, and a direction turned along it."""
        outwards = (point - self.middle) / (self.radii - depth)
        normal = _unit(outwards / (self.radii - depth))
        kept = self.middle + (self.radii - depth) * _unit(outwards)
        return kept, _unit(direction - (direction @ normal) * normal)


def trees(rng: np.random.Generator, skull: Skull, half: Vector) -> dict[str, list[Segment]]:
    """Arteries from within, sinuses and veins along the skull, tangles of arteries and veins."""
    trees: dict[str, list[Segment]] = {"artery": [], "sinus": [], "vein": []}
    for _ in range(rng.integers(6, 14)):
        root = rng.uniform(-0.8, 0.8, 3) * half
        trees["artery"] += _tree(rng, root, rng.uniform(1.2, 3), half)
    for _ in range(rng.integers(1, 4)):
        trees["sinus"] += _tree(rng, skull.on_surface(rng), rng.uniform(2.5, 7), half, skull)
    for _ in range(rng.integers(10, 30)):
        trees["vein"] += _tree(rng, skull.on_surface(rng), rng.uniform(0.8, 2), half, skull)
    for _ in range(rng.integers(3)):
        middle = rng.uniform(-0.7, 0.7, 3) * half
        trees["artery"] += _tangle(rng, middle)
        trees["vein"] += _tangle(rng, middle)
    return trees


def _tree(
    rng: np.random.Generator,
    root: Vector,
    radius: float,
    half: Vector,
    skull: Skull | None = None,
) -> list[Segment]:
    """Branches that fork until they are thin or leave the grid; along the skull if one is given."""
    found: list[Segment] = []
    todo = [(root, _unit(rng.standard_normal(3)), radius)]
    for _ in range(BRANCHES):
        if not todo:
            break
        point, direction, radius = todo.pop(0)
        branch, direction = _branch(rng, point, direction, radius, skull)
        found += branch
        end, radius = branch[-1].end, branch[-1].radii[1]
        if radius < THINNEST or (abs(end) > half + radius).any():
            continue
        share = rng.uniform(0.25, 0.75)  # the cubes of the radii add up to the parent's (Murray)
        for part in (share, 1 - share):
            turned = _unit(direction + rng.uniform(0.3, 0.7) * rng.standard_normal(3))
            todo.append((end, turned, radius * part ** (1 / 3)))
    return found


def _branch(
    rng: np.random.Generator,
    point: Vector,
    direction: Vector,
    radius: float,
    skull: Skull | None,
) -> tuple[list[Segment], Vector]:
    """A curved, tapering tube, perhaps with a stenosis; and the direction that it ends in."""
    step = max(2.0, 0.7 * radius)
    count = int(rng.uniform(10, 45) / step) + 2
    curl, taper = rng.uniform(0.05, 0.3), rng.uniform(0.95, 1.0)
    radii = radius * taper ** np.arange(count)
    if rng.random() < 0.15:
        radii[rng.integers(1, count)] *= rng.uniform(0.4, 0.7)
    points = [point]
    for _ in range(count - 1):
        direction = _unit(direction + curl * rng.standard_normal(3))
        point = point + step * direction
        if skull is not None:
            point, direction = skull.along(point, direction, radius)
        points.append(point)
    return _chain(points, radii), direction


def _tangle(rng: np.random.Generator, middle: Vector) -> list[Segment]:
    """Strands that wind about each other, as in an arteriovenous malformation."""
    size, found = rng.uniform(6, 16), []
    for _ in range(rng.integers(3, 9)):
        radius, direction = rng.uniform(0.7, 2), _unit(rng.standard_normal(3))
        points = [middle + size * rng.uniform(-0.6, 0.6, 3)]
        for _ in range(rng.integers(10, 40)):
            back = (middle - points[-1]) / size
            direction = _unit(direction + 0.6 * rng.standard_normal(3) + 0.5 * back)
            points.append(points[-1] + 1.8 * direction)
        found += _chain(points, np.full(len(points), radius))
    return found


def _chain(points: list[Vector], radii: NDArray[np.floating[Any]]) -> list[Segment]:
    pairs = zip(pairwise(points), pairwise(radii.tolist()), strict=True)
    return [Segment(start, end, both) for (start, end), both in pairs]


def _unit(vector: Vector) -> Vector:
    unit: Vector = vector / np.sqrt(vector @ vector)
    return unit
