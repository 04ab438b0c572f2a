"""The trunk: chest wall, abdomen and lungs, and what surrounds the patient."""

from __future__ import annotations

import numpy as np

from zoo.datasets.phantoms import solids
from zoo.datasets.phantoms.chests.canvas import EXTENT, BoundingBox, Canvas
from zoo.datasets.phantoms.chests.tissues import NUMBER
from zoo.datasets.phantoms.solids import Floats, Noise, Point, Uniform

# Muscles of the chest wall, shoulders, neck and arms: start and end (|x|, y, z), and radii.
MUSCLES: tuple[tuple[Point, Point, float, float], ...] = (
    ((27, -94, -320), (27, -92, -40), 24, 23),
    ((27, -92, -40), (22, -72, 90), 23, 20),
    ((88, -66, -40), (92, -58, 60), 22, 30),
    ((30, 66, 10), (128, 10, 60), 16, 22),
    ((50, -45, 66), (158, -34, 88), 38, 42),
    ((0, -24, 60), (0, -16, 260), 62, 54),
    ((160, -34, 88), (180, -8, 280), 44, 40),
)
CAGE_MIDDLE = -110.0  # mm: the height below which the rib cage gets no wider
CAGE_LEAN = 0.13  # mm that its middle goes back for every mm upwards


def paint_trunk(canvas: Canvas, rng: np.random.Generator, uniform: Uniform) -> Floats:
    """Paint fat, muscle and the fat inside the rib cage; return the distance to the rib cage."""
    x, y, z = canvas.x, canvas.y, canvas.z
    everywhere = canvas.bounding_box((-900, -900, -900), (900, 900, 900))
    radii = uniform(126, 146), uniform(86, 100), uniform(196, 212)
    above: Floats = np.maximum(z - CAGE_MIDDLE, 0.0)
    leaning = y + CAGE_LEAN * (above + CAGE_MIDDLE + 60.0)
    cage = _rounded_ellipsoid(x, leaning, above, radii, uniform(0.1, 0.5))
    lateral: Floats = np.sqrt(x * x + 1.0)
    muscle: Floats = cage - uniform(12, 20)
    bulk = uniform(0.8, 1.2)
    for start, end, first, last in MUSCLES:
        box = canvas.bounding_box((-260, *_low(start, end, 75)), (260, *_high(start, end, 75)))
        limb = solids.cone(lateral[box], y[box], z[box], start, end, first * bulk, last * bulk)
        muscle[box] = solids.union(muscle[box], limb, 24.0)
    thickness, grid = uniform(4, 30), (canvas.axis,) * 3
    fat = thickness * (1.0 + Noise.draw(rng, EXTENT, 110.0, 0.6).on_grid(*grid))
    skin = muscle - np.maximum(fat, 3.0)
    female, bust = uniform(0, 1) < 0.5, uniform(0.7, 1.2)
    if female:
        breast = solids.ellipsoid(
            lateral, y, z, (72.0, 92.0, -45.0), (58.0 * bust, 48.0 * bust, 55.0 * bust)
        )
        skin = solids.union(skin, breast, 20.0)
    marbling = Noise.draw(rng, EXTENT, 15.0, 1.0).on_grid(*grid)
    canvas.paint(everywhere, skin < 0, "fat")
    canvas.paint(everywhere, (muscle < 0) & (marbling < 0.3), "muscle")
    canvas.paint(everywhere, (cage < 0) & (marbling > -0.35), "fat")
    canvas.paint(everywhere, (cage < 6) & (cage > -3), "muscle")  # between the ribs
    return cage


def paint_abdomen(canvas: Canvas, cage: Floats, uniform: Uniform) -> tuple[BoundingBox, Floats]:
    """Paint the diaphragm and what lies below; return its domes' bounding box and distance."""
    box = canvas.bounding_box((-200, -150, -400), (200, 150, -60))
    x, y, z = canvas.coordinates(box)
    breath = uniform(-12, 12)
    z_dome: Floats = np.maximum(z, -195.0 + breath)  # below the equator the domes are cylinders
    right = solids.ellipsoid(x, y, z_dome, (66, -6, -195 + breath), (76, 90, uniform(86, 98)))
    left = solids.ellipsoid(x, y, z_dome, (-64, -6, -195 + breath), (76, 88, uniform(72, 86)))
    middle = solids.ellipsoid(x, y, z_dome, (-4, 16, -195 + breath), (80, 76, 70))
    domes = solids.union(solids.union(right, left, 14.0), middle, 16.0)
    inside = (domes < 0) & (cage[box] < 0)
    canvas.paint(box, inside, "muscle")
    inside = (domes < -4) & (cage[box] < -5)
    canvas.paint(box, inside, "fat")
    shift = uniform(-8, 8)
    stomach = solids.ellipsoid(x, y, z, (-58 + shift, 18, -176), (44, uniform(38, 56), 44))
    spleen = solids.ellipsoid(x, y, z, (-98, -42 + shift, -176), (30, 40, uniform(36, 50)))
    lobe = solids.ellipsoid(x, y, z, (62, 2, -196), (90, 92, 110))
    lobe = solids.union(lobe, solids.ellipsoid(x, y, z, (0, 46, -160 + shift), (62, 40, 48)), 12.0)
    canvas.paint(box, inside & (stomach < 0), "stomach")
    canvas.paint(box, inside & (stomach < -5) & (y > uniform(5, 60)), "gas")
    canvas.paint(box, inside & (spleen < 0), "spleen")
    canvas.paint(box, inside & (lobe < 0) & (y > -70), "liver")
    return box, domes


def paint_lungs(
    canvas: Canvas, cage: Floats, domes: tuple[BoundingBox, Floats], uniform: Uniform
) -> None:
    """Paint both lungs: the rib cage without the mediastinum and what the diaphragm holds."""
    x, y, z = canvas.x, canvas.y, canvas.z
    radius = uniform(23, 30)
    u, v = (x + 1.0) / radius, (y - 12.0) / 80.0
    slab = u * u + v * v
    lungs = (cage < -3) & (slab > 1.0) & (z > uniform(-180, -160) + 0.2 * y)
    below, distance = domes
    lungs[below] &= distance > 0
    canvas.tissues[lungs] = NUMBER["lung"]


def paint_surroundings(canvas: Canvas, uniform: Uniform) -> None:
    """Paint the scanner's table, and air where the scan ends before the cube does."""
    table, gap, thick = uniform(0, 1) < 0.6, uniform(1, 8), uniform(3, 8)
    body = np.flatnonzero((canvas.tissues > 0).any(axis=(0, 2)))
    back = float(canvas.axis[body[0]]) - gap
    plate = (canvas.axis < back) & (canvas.axis > back - thick)
    if table:
        layer = canvas.tissues[:, plate]
        layer[layer == NUMBER["air"]] = NUMBER["table"]
        canvas.tissues[:, plate] = layer
    end, depth = uniform(0, 1), uniform(0, 36)
    if end < 0.15:
        canvas.tissues[:, :, canvas.axis < depth - EXTENT / 2] = NUMBER["air"]
    elif end < 0.3:
        canvas.tissues[:, :, canvas.axis > EXTENT / 2 - depth] = NUMBER["air"]


def _rounded_ellipsoid(x: Floats, y: Floats, z: Floats, radii: Point, boxiness: float) -> Floats:
    """Distance to an ellipsoid about the origin, mixed with its fourth-power sibling."""
    u, v, w = (along / radius for along, radius in zip((x, y, z), radii, strict=True))
    u, v, w = u * u, v * v, w * w
    radius: Floats = np.sqrt(u + v + w)
    radius += boxiness * (np.sqrt(np.sqrt(u * u + v * v + w * w)) - radius)
    a, b, c = (along * along for along in radii)
    slope: Floats = np.maximum(np.sqrt(u / a + v / b + w / c), solids.LEAST_SLOPE)
    distance: Floats = np.divide(radius * (radius - 1.0), slope)
    return distance


def _low(start: Point, end: Point, reach: float) -> tuple[float, float]:
    return min(start[1], end[1]) - reach, min(start[2], end[2]) - reach


def _high(start: Point, end: Point, reach: float) -> tuple[float, float]:
    return max(start[1], end[1]) + reach, max(start[2], end[2]) + reach
