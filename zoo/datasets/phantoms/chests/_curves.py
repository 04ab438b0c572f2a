"""Curves of capsules: vessels, airways and long bones, from the knots of a table."""

from __future__ import annotations

from zoo.datasets.phantoms.solids import Uniform

Knot = tuple[float, float, float, float]  # x, y, z and radius

STEPS = 6  # capsules from one knot of a tube to the next


def curve(knots: list[Knot]) -> list[Knot]:
    """A smooth curve (Catmull-Rom) through knots, STEPS points from one to the next."""
    ends = [knots[0], *knots, knots[-1]]
    points: list[Knot] = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        for step in range(STEPS):
            t = step / STEPS
            x, y, z, r = (_spline(*values, t) for values in zip(a, b, c, d, strict=True))
            points.append((x, y, z, r))
    return [*points, knots[-1]]


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    """The Catmull-Rom spline from b (t = 0) to c (t = 1)."""
    bend = 2 * a - 5 * b + 4 * c - d + t * (3 * b - a - 3 * c + d)
    return b + 0.5 * t * (c - a + t * bend)


def varied(
    knots: tuple[Knot, ...], uniform: Uniform, width: float = 1.0, wander: float = 1.2
) -> list[Knot]:
    """Knots moved by up to `wander` mm in the plane, their radii scaled by `width`."""
    return [
        (x + uniform(-wander, wander), y + uniform(-wander, wander) * 0.6, z, r * width)
        for x, y, z, r in knots
    ]


def widened(knots: tuple[Knot, ...], width: float) -> list[Knot]:
    """Knots with their radii scaled by `width`."""
    return [(x, y, z, radius * width) for x, y, z, radius in knots]
