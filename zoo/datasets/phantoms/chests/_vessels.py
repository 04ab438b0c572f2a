"""The heart and the vessels."""

from __future__ import annotations

import numpy as np

from zoo.datasets.phantoms import solids
from zoo.datasets.phantoms.chests._curves import Knot, curve, varied
from zoo.datasets.phantoms.chests.canvas import Canvas
from zoo.datasets.phantoms.solids import Floats, Point, Uniform

# Tubes in the order they are painted: tissue, mm of fat that keep the lung away, knots.
TUBES: dict[str, tuple[str, float, tuple[Knot, ...]]] = {
    "superior vena cava": (
        "vein",
        3,
        ((28, 8, 52, 7), (29, 7, 25, 8), (30, 9, -10, 8.5), (31, 11, -50, 9)),
    ),
    "right brachiocephalic vein": ("vein", 2, ((28, 8, 52, 7), (32, 2, 80, 6), (42, -4, 150, 6))),
    "left brachiocephalic vein": (
        "vein",
        2,
        ((28, 9, 50, 6), (2, 24, 60, 6), (-28, 14, 74, 6), (-42, -4, 150, 6)),
    ),
    "inferior vena cava": (
        "vein",
        3,
        ((29, 6, -92, 12), (28, -6, -130, 12), (22, -18, -190, 12), (18, -26, -280, 12)),
    ),
    "right pulmonary artery": (
        "pulmonary vessel",
        3,
        ((-14, 10, -12, 12), (8, -1, -17, 10.5), (28, -9, -20, 10), (46, -16, -26, 8)),
    ),
    "left pulmonary artery": (
        "pulmonary vessel",
        3,
        ((-16, 14, -8, 12), (-27, -4, -4, 10.5), (-40, -20, -8, 9), (-48, -28, -20, 7)),
    ),
    "right pulmonary vein": (
        "pulmonary vessel",
        3,
        ((22, -14, -46, 8), (36, -12, -42, 7), (50, -10, -40, 6)),
    ),
    "left pulmonary vein": (
        "pulmonary vessel",
        3,
        ((-22, -16, -44, 8), (-36, -18, -38, 7), (-48, -18, -34, 6)),
    ),
    "brachiocephalic trunk": (
        "artery",
        2,
        ((0, 17, 32, 7), (9, 8, 58, 6.5), (17, -2, 84, 6), (27, -8, 190, 4)),
    ),
    "left carotid artery": (
        "artery",
        2,
        ((-11, 8, 38, 5), (-15, 0, 62, 4.5), (-18, -6, 90, 4), (-27, -8, 190, 4)),
    ),
    "left subclavian artery": (
        "artery",
        2,
        ((-23, -10, 38, 5.5), (-25, -16, 60, 5), (-32, -22, 80, 4.5), (-75, -20, 88, 4.5)),
    ),
}
TRUNK: tuple[Knot, ...] = ((-12, 38, -44, 14), (-15, 30, -26, 14), (-16, 14, -8, 13))
AORTA: tuple[Knot, ...] = (
    (-3, 14, -46, 14.5),
    (5, 24, -26, 14.5),
    (9, 27, -4, 14.5),
    (6, 24, 18, 14.2),
    (-6, 14, 31, 13.8),
    (-18, 0, 35, 13.3),
    (-27, -18, 32, 12.8),
    (-30, -35, 22, 12.4),
    (-29, -47, 2, 12),
    (-27, -51, -30, 11.8),
    (-25, -51, -70, 11.4),
    (-19, -45, -120, 11),
    (-10, -29, -170, 10.6),
    (-6, -21, -220, 10),
    (-5, -19, -290, 9.6),
)

# Chambers of the heart: start, end, start radius, end radius.
HEART: dict[str, tuple[Point, Point, float, float]] = {
    "left ventricle": ((-16, 8, -66), (-52, 32, -98), 34, 25),
    "right ventricle": ((14, 38, -68), (-36, 50, -100), 26, 18),
    "outflow": ((2, 40, -70), (-12, 38, -48), 20, 15),
    "right atrium": ((33, 14, -56), (28, 14, -74), 25, 24),
    "left atrium": ((20, -12, -50), (-18, -12, -48), 20, 20),
}
WALL = {"left ventricle": 10.0, "right ventricle": 4.0}  # mm of muscle; 2.5 elsewhere
HILA: tuple[Point, ...] = ((44.0, -18.0, -24.0), (-44.0, -22.0, -22.0))
LUNG_VESSELS = 7, 4  # trees in each lung, generations of each


def paint_vessels(canvas: Canvas, uniform: Uniform) -> None:
    """Paint the veins and arteries that belong to no label, each in a width of its own."""
    for tissue, halo, knots in TUBES.values():
        canvas.paint_tube(curve(varied(knots, uniform, uniform(0.85, 1.15))), tissue, halo)


def paint_heart(canvas: Canvas, uniform: Uniform) -> None:
    """Paint the heart: blended chambers, each within its wall, and the fat around."""
    box = canvas.bounding_box((-110, -60, -155), (90, 110, -5))
    x, y, z = canvas.coordinates(box)
    size, girth = uniform(1.0, 1.1), uniform(1.0, 1.12)
    girth *= 1.5 - sum(canvas.scale) / 6  # the small have hearts that are not quite as small
    shift = uniform(-5, 3), uniform(-2, 4), uniform(-6, 3)
    heart: Floats | None = None
    blood: Floats | None = None
    for name, (start, end, *radii) in HEART.items():
        first, last = (_moved(p, shift, size) for p in (start, end))
        wide = [radius * girth * uniform(0.94, 1.06) for radius in radii]
        chamber = solids.cone(x, y, z, first, last, *wide)
        cavity = chamber + WALL.get(name, 2.5)
        heart = chamber if heart is None else solids.union(heart, chamber, 14.0)
        blood = cavity if blood is None else np.minimum(blood, cavity)
    assert heart is not None and blood is not None
    canvas.paint(box, heart < uniform(4, 9), "fat", over="lung")
    canvas.paint(box, heart < uniform(1, 3), "fat")
    canvas.paint(box, heart < 0, "myocardium")
    canvas.paint(box, (heart < -2) & (blood < 0), "heart")


def _moved(point: Point, shift: Point, size: float) -> Point:
    """A point of the heart, away from the heart's middle by `size` and then shifted."""
    middle = (-8.0, 18.0, -72.0)
    x, y, z = (m + (p - m) * size + s for p, m, s in zip(point, middle, shift, strict=True))
    return x, y, z


def paint_great_vessels(canvas: Canvas, uniform: Uniform) -> None:
    """Paint the pulmonary trunk, and the aorta over it, 11 to 16 mm in radius."""
    size = sum(canvas.scale) / 3
    canvas.paint_tube(curve(varied(TRUNK, uniform)), "pulmonary vessel", 3)
    width = uniform(11.0, 15.5) / (14.0 * size)
    canvas.paint_tube(curve(varied(AORTA, uniform, width)), "aorta", 3)


def paint_lung_vessels(canvas: Canvas, uniform: Uniform) -> None:
    """Paint branching vessels from the hila into the lungs."""
    trees, generations = LUNG_VESSELS
    for hilum in HILA:
        outwards = 1.0 if hilum[0] > 0 else -1.0
        for _ in range(trees):
            heading = outwards * uniform(0.3, 1), uniform(-0.9, 0.9), uniform(-1.2, 0.9)
            _branch(canvas, uniform, hilum, heading, generations)


def _branch(
    canvas: Canvas, uniform: Uniform, start: Point, heading: Point, generations: int
) -> None:
    """Paint a vessel and, at its end, two that are thinner and turn away from it."""
    norm = float(np.sqrt(sum(h * h for h in heading))) + 1e-3
    length, radius = uniform(22, 38), 1.5 + 0.8 * generations
    x, y, z = (s + length * h / norm for s, h in zip(start, heading, strict=True))
    knots: list[Knot] = [(*start, radius), (x, y, z, radius - 0.8)]
    box, distance = canvas.tube(knots)
    canvas.paint(box, distance < 0, "pulmonary vessel", over="lung")
    if generations > 1:
        for _ in range(2):
            a, b, c = (h / norm + uniform(-0.75, 0.75) for h in heading)
            _branch(canvas, uniform, (x, y, z), (a, b, c), generations - 1)
