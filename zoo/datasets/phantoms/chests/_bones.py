"""The bones of a chest: ribs, sternum, clavicles, shoulders and spine."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from zoo.datasets.phantoms import solids
from zoo.datasets.phantoms.chests._curves import Knot, curve
from zoo.datasets.phantoms.chests.canvas import BoundingBox, Canvas
from zoo.datasets.phantoms.chests.tissues import NUMBER, Bounds
from zoo.datasets.phantoms.solids import Floats, Uniform

SPINE: tuple[Bounds, ...] = (  # (z, y) of the vertebral bodies' middles
    *((230, -36), (150, -42), (110, -45), (60, -57), (0, -67)),
    *((-60, -69), (-120, -62), (-180, -51), (-260, -44), (-320, -44)),
)
VERTEBRA = 27.0  # mm from one to the next
RIB, RIB_SLOPE = 27.0, 0.5  # mm from one to the next; mm down for every mm forward


def paint_ribs(canvas: Canvas, cage: Floats, uniform: Uniform) -> None:
    """Paint ribs as oblique rings around the cage, sternum, clavicles and shoulder blades."""
    shell = np.nonzero((cage > -1) & (cage < 19))
    x, y, z, depth = canvas.x[shell], canvas.y[shell], canvas.z[shell], cage[shell]
    lateral: Floats = np.sqrt(x * x + 1.0)
    height = z + RIB_SLOPE * y
    offset = height + uniform(0, RIB)
    off_axis = (offset - RIB * np.floor(offset / RIB)) - RIB / 2
    u, v = (depth - 4.0) / uniform(3.6, 4.6), off_axis / uniform(5.5, 7.0)
    rib = u * u + v * v
    # In front the ribs end as cartilage, which looks like muscle.
    there = (height < 40) & (height > -215) & ((y < 20) | (lateral > 62 - 0.1 * z)) & (lateral > 16)
    flat = solids.ellipsoid(lateral, y, z, (88.0, -60.0, 2.0), (40.0, 48.0, 66.0))
    blade = (flat < 0) & (np.abs(depth - 14.0) < 2.6)
    kinds = canvas.tissues[shell]
    kinds[there & (rib < 1)] = NUMBER["cortical bone"]
    kinds[there & (rib < 0.4)] = NUMBER["spongy bone"]
    kinds[blade & (kinds == NUMBER["muscle"])] = NUMBER["cortical bone"]
    canvas.tissues[shell] = kinds
    sternum: list[Knot] = [
        (0, 52, 52, 6.5),
        (0, 66, 24, 6),
        (0, 80, -4, 5.5),
        (0, 95, -50, 5.5),
        (0, 101, -92, 4.5),
    ]
    _bone(canvas, *canvas.tube(sternum, uniform(2.2, 2.9)))
    for side in (-1.0, 1.0):
        collar = curve([(side * 20, 46, 58, 7), (side * 75, 40, 76, 5), (side * 140, -8, 96, 6)])
        _bone(canvas, *canvas.tube(collar))
        arm = curve(
            [(side * 150, -28, 88, 20), (side * 162, -26, 110, 13), (side * 178, -8, 260, 12)]
        )
        _bone(canvas, *canvas.tube(arm))


def paint_spine(canvas: Canvas, uniform: Uniform) -> None:
    """Paint vertebrae from below to above the scan, with discs, canal and processes."""
    width, depth = uniform(17, 20), uniform(13.5, 16)
    middle = -300.0 + uniform(0, VERTEBRA)
    while middle < 200:
        y_low, y_high = (_spine_y(middle + s * VERTEBRA / 2) for s in (-1, 1))
        size = 1.0 if middle < 40 else max(0.7, 1.0 - (middle - 40) / 200)
        _vertebra(canvas, middle, (y_low, y_high), (width * size, depth * size))
        middle += VERTEBRA


def _spine_y(z: float) -> float:
    """How far to the front the middle of the vertebral column lies at a height."""
    for (above, y_above), (below, y_below) in pairwise(SPINE):
        if z >= below:
            share = (z - below) / (above - below)
            return y_below + share * (y_above - y_below)
    return SPINE[-1][1]


def _vertebra(canvas: Canvas, middle: float, ys: Bounds, radii: Bounds) -> None:
    """Paint one vertebra and the disc above it; `ys` are its body's lower and upper middle."""
    height, y_middle = VERTEBRA / 2, (ys[0] + ys[1]) / 2
    box = canvas.bounding_box(
        (-46, y_middle - 72, middle - height - 24), (46, y_middle + 24, middle + height)
    )
    x, y, z = canvas.coordinates(box)
    lateral: Floats = np.sqrt(x * x + 1.0)
    up: Floats = z - middle
    back: Floats = y - y_middle - up * ((ys[1] - ys[0]) / VERTEBRA)
    ours = np.abs(up) <= height
    waist = 1.0 - 0.12 * (1.0 - up * up / (height * height))
    radius = np.sqrt((x / radii[0]) ** 2 + (back / radii[1]) ** 2)
    body = (radius - waist) * radii[1]
    ends = np.maximum(body, np.abs(up + 2.0) - (height - 3.0))
    canal: Floats = np.sqrt(x * x * 0.7 + (back + radii[1] + 8.0) ** 2)
    canal = canal - 7.5
    wings = solids.cone(
        lateral, back, up, (10.0, -radii[1] - 9.0, 0.0), (34.0, -radii[1] - 20.0, 3.0), 5.5, 4.0
    )
    spine = solids.cone(
        x, back, up, (0.0, -radii[1] - 20.0, -2.0), (0.0, -radii[1] - 38.0, -22.0), 4.5, 3.5
    )
    arch: Floats = np.maximum(canal - 5.0, np.abs(up + 3.0) - 9.0)
    canvas.paint(box, ours & (body < 4), "fat", over="lung")
    canvas.paint(box, ours & (body < 0), "muscle")
    _bone(canvas, box, np.minimum(np.minimum(wings, spine), arch))
    _bone(canvas, box, ends)
    canvas.paint(box, ours & (canal < 0), "muscle")


def _bone(canvas: Canvas, box: BoundingBox, distance: Floats) -> None:
    """Paint a bone: a cortical shell about a spongy inside."""
    canvas.paint(box, distance < 0, "cortical bone")
    canvas.paint(box, distance < -2.5, "spongy bone")
