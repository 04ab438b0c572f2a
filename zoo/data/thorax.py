"""Procedural chest CTs with labelled organs at risk, for training and testing segmentation.

`tissue_map` depends on its arguments alone: one seed is one body at every resolution. Its
`intensities` are cheap, so that training may draw new ones for every sample.

Frame of the tables: millimetres of an average adult; x right, y anterior, z superior; the origin
lies on the midline in the middle of the chest, at the height of the carina.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zoo.data import solids
from zoo.data.solids import Floats, Noise, Point, Uniform, rounded_uniform
from zoo.errors import VolumeError

Bools = NDArray[np.bool_]
Tissues = NDArray[np.uint8]
Bounds = tuple[float, float]
Box = tuple[slice, slice, slice]
Knot = tuple[float, float, float, float]  # x, y, z and radius

EXTENT = 384.0  # mm: 3 mm voxels at 128
SMALLEST_GRID = 8  # voxels

TISSUES: dict[str, Bounds] = {  # bounds of the mean in HU; a tissue's number is its place
    "air": (-1010, -995),
    "lung": (-880, -780),
    "fat": (-110, -80),
    "muscle": (40, 65),
    "spongy bone": (150, 350),
    "cortical bone": (500, 900),
    "myocardium": (40, 60),
    "heart": (40, 60),
    "aorta": (40, 60),
    "artery": (40, 60),
    "pulmonary vessel": (40, 60),
    "vein": (40, 60),
    "trachea": (-1000, -980),
    "bronchus": (-1000, -970),
    "oesophagus": (30, 50),
    "oesophageal air": (-950, -700),
    "liver": (50, 75),
    "stomach": (20, 60),
    "gas": (-990, -950),
    "spleen": (45, 65),
    "table": (-400, 100),
}
CONTRAST: dict[str, Bounds] = {  # the same after a contrast agent
    "myocardium": (60, 110),
    "heart": (80, 250),
    "aorta": (100, 380),
    "pulmonary vessel": (80, 380),
    "vein": (60, 300),
    "liver": (60, 110),
    "spleen": (70, 110),
}
NUMBER = {name: number for number, name in enumerate(TISSUES)}

LABELS = ("oesophagus", "heart", "trachea", "aorta")  # 1, 2, 3 and 4, as in SegTHOR
PARTS: dict[str, tuple[str, ...]] = {
    "oesophagus": ("oesophagus", "oesophageal air"),
    "heart": ("heart", "myocardium"),
    "trachea": ("trachea",),
    "aorta": ("aorta",),
}

# Tubes in the order they are drawn: tissue, mm of fat that keep the lung away, knots.
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
TRACHEA: tuple[Knot, ...] = (
    (0, 4, 210, 8.5),
    (0, 1, 130, 8.5),
    (0, -4, 90, 8.5),
    (1, -12, 50, 8.5),
    (3, -19, 2, 8.8),
)
BRONCHI: tuple[tuple[Knot, ...], ...] = (  # the parts that count as trachea
    ((4, -19, 3, 7.5), (13, -22, -7, 7.2), (26, -25, -18, 6.4)),
    ((2, -19, 3, 7.2), (-10, -23, -9, 6.6), (-24, -27, -19, 6)),
)
LOBES: tuple[tuple[Knot, ...], ...] = (  # and how they go on in the lungs
    ((26, -25, -18, 6), (36, -27, -34, 5), (46, -34, -58, 4)),
    ((22, -24, -14, 5), (38, -24, -6, 4.5), (52, -26, 12, 3.5)),
    ((-24, -27, -19, 5.6), (-38, -31, -34, 5), (-46, -38, -58, 4)),
    ((-28, -28, -22, 5), (-44, -22, -16, 4), (-54, -16, 2, 3.5)),
)
OESOPHAGUS: tuple[Knot, ...] = (  # radius from front to back
    (-2, -18, 210, 5.2),
    (-2, -17, 130, 5.2),
    (-4, -21, 95, 5.2),
    (-6, -31, 55, 5.2),
    (-6, -38, 15, 5.2),
    (-5, -43, -30, 5.2),
    (-5, -44, -62, 5.2),
    (-9, -38, -100, 5.4),
    (-18, -25, -132, 5.6),
    (-32, -12, -152, 6),
    (-46, -4, -164, 6.5),
)
SPINE: tuple[Bounds, ...] = (  # (z, y) of the vertebral bodies' middles
    *((230, -36), (150, -42), (110, -45), (60, -57), (0, -67)),
    *((-60, -69), (-120, -62), (-180, -51), (-260, -44), (-320, -44)),
)
VERTEBRA = 27.0  # mm from one to the next

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
RIB, RIB_SLOPE = 27.0, 0.5  # mm from one to the next; mm down for every mm forward
BENDS = ((96.0, 9.0), (40.0, 3.5))  # (cell, amplitude) in mm of the bends along each axis
BLUR = 0.35, 0.55  # voxels: standard deviation of a scan's blur
STEPS = 6  # capsules from one knot of a tube to the next


@dataclass(frozen=True)
class ThoraxCase:
    """HU int16 and labels uint8, both (R, R, R), axes RAS; the labels count from 1 as LABELS."""

    hu: NDArray[np.int16]
    labels: Tissues


def thorax_case(seed: int, resolution: int = 64) -> ThoraxCase:
    """One chest CT with its labels; voxels of EXTENT / R mm."""
    tissues = tissue_map(seed, resolution)
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    hu = np.rint(intensities(tissues, EXTENT / resolution, rng))
    return ThoraxCase(np.clip(hu, -1024, 3071).astype(np.int16), labels_of(tissues))


def labels_of(tissues: Tissues) -> Tissues:
    """Labels uint8 of the same shape: 0 elsewhere, then 1 to 4 as in LABELS."""
    table = np.zeros(256, np.uint8)
    for value, label in enumerate(LABELS, 1):
        for tissue in PARTS[label]:
            table[NUMBER[tissue]] = value
    return table[tissues]


def intensities(tissues: Tissues, spacing: float, rng: np.random.Generator) -> Floats:
    """HU float32 of the same shape: a scan of the tissues, with or without a contrast agent.

    Args:
        tissues: (R, R, R), numbers as in TISSUES.
        spacing: voxel size in mm.
        rng: draws the means, a smooth texture, the blur and the noise.
    """
    means, gains = _means(rng)
    texture = Noise.draw(rng, len(tissues) * spacing, 30.0, 1.0)
    half = len(tissues) * spacing / 2
    axis = ((np.arange(len(tissues)) + 0.5) * spacing - half).astype(np.float32)
    hu: Floats = means[tissues]
    hu += gains[tissues] * texture.on_grid(axis, axis, axis)
    hu = ndimage.gaussian_filter(hu, float(rng.uniform(*BLUR)), truncate=2.5)
    noise: Floats = rng.standard_normal(hu.shape, np.float32)
    noise = ndimage.gaussian_filter(noise, float(rng.uniform(0.4, 0.7)), truncate=2.5)
    noise *= float(rng.uniform(8.0, 30.0)) / float(noise.std())
    return hu + noise


def _means(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The mean HU of every tissue in this scan, and by how many HU its texture varies."""
    bounds = dict(TISSUES)
    if rng.random() < 0.6:
        bounds |= CONTRAST
    means = {name: rng.uniform(*bound) for name, bound in bounds.items()}
    means["artery"] = means["aorta"]
    gains = dict.fromkeys(TISSUES, 12.0)
    gains |= {"air": 0.0, "trachea": 0.0, "bronchus": 0.0, "gas": 0.0, "table": 0.0}
    gains |= {"lung": 70.0, "spongy bone": 80.0, "cortical bone": 100.0}
    return (
        np.array([means[name] for name in TISSUES], np.float32),
        np.array([gains[name] for name in TISSUES], np.float32),
    )


def tissue_map(seed: int, resolution: int = 64) -> Tissues:
    """The tissue of each voxel, uint8 (R, R, R), axes RAS, voxels of EXTENT / R mm.

    Raises:
        VolumeError: a resolution below 8 voxels.
    """
    if resolution < SMALLEST_GRID:
        raise VolumeError(f"resolution must be at least {SMALLEST_GRID} voxels, got {resolution}")
    rng = np.random.Generator(np.random.PCG64(seed))
    uniform = rounded_uniform(rng)
    canvas = _Canvas.draw(rng, uniform, resolution)
    cage = _trunk(canvas, rng, uniform)
    domes = _abdomen(canvas, cage, uniform)
    _lungs(canvas, cage, domes, uniform)
    _ribs(canvas, cage, uniform)
    _spine(canvas, uniform)
    _vessels(canvas, uniform)
    _heart(canvas, uniform)
    _great_vessels(canvas, uniform)
    _oesophagus(canvas, uniform)
    _airways(canvas, uniform)
    _lung_vessels(canvas, uniform)
    _surroundings(canvas, uniform)
    return canvas.tissues


@dataclass(frozen=True)
class _Canvas:
    """A grid of tissues to paint on, and where its voxels lie in the frame of the tables."""

    tissues: Tissues
    axis: Floats  # scanner coordinates in mm, alike along x, y and z
    x: Floats  # mm in the body, (R, R, R) like the next two
    y: Floats
    z: Floats
    rotation: tuple[Point, Point, Point]  # rows, from the scanner to the body
    scale: Point
    centre: Point  # mm, where the body's origin lies in the scanner

    @classmethod
    def draw(cls, rng: np.random.Generator, uniform: Uniform, resolution: int) -> _Canvas:
        """Place a body in the scanner: scaled, turned, shifted and bent."""
        size = uniform(0.85, 1.15)
        scale = size * uniform(0.96, 1.04), size * uniform(0.96, 1.04), size * uniform(0.96, 1.04)
        rotation = _rotation(uniform(-0.04, 0.04), uniform(-0.03, 0.03), uniform(-0.05, 0.05))
        # Heights from 130 above to 250 below the carina lie in the middle of the cube.
        centre = uniform(-10, 10), uniform(-8, 12), 60.0 * scale[2] + uniform(-15, 15)
        voxel = EXTENT / resolution
        axis = ((np.arange(resolution) + 0.5) * voxel - EXTENT / 2).astype(np.float32)
        x, y, z = (
            axis[:, None, None] - centre[0],
            axis[None, :, None] - centre[1],
            axis[None, None, :] - centre[2],
        )
        bent: list[Floats] = []
        for row, along in zip(rotation, scale, strict=True):
            straight = row[0] * x + row[1] * y + row[2] * z
            bends = [
                Noise.draw(rng, EXTENT, cell, amplitude).on_grid(axis, axis, axis)
                for cell, amplitude in BENDS
            ]
            bent.append((straight + reduce(np.add, bends)) / along)
        tissues = np.zeros((resolution,) * 3, np.uint8)
        return cls(tissues, axis, bent[0], bent[1], bent[2], rotation, scale, centre)

    def box(self, low: Point, high: Point) -> Box:
        """The voxels that may lie between two corners given in the body's frame."""
        slack = sum(amplitude for _, amplitude in BENDS)
        pairs = list(zip(low, high, self.scale, strict=True))
        middle = [(a + b) / 2 * s for a, b, s in pairs]
        half = [(b - a) / 2 * s + slack for a, b, s in pairs]
        slices = []
        for column in range(3):
            share = [row[column] for row in self.rotation]
            at = self.centre[column] + sum(m * r for m, r in zip(middle, share, strict=True))
            reach = sum(h * abs(r) for h, r in zip(half, share, strict=True))
            first, last = np.searchsorted(self.axis, (at - reach, at + reach))
            slices.append(slice(int(first), int(last)))
        return slices[0], slices[1], slices[2]

    def at(self, box: Box) -> tuple[Floats, Floats, Floats]:
        """The coordinates of a box's voxels."""
        return self.x[box], self.y[box], self.z[box]

    def tube(self, knots: list[Knot], flatness: float = 1.0) -> tuple[Box, Floats]:
        """Distance in mm to a chain of capsules, far from it infinite; `flatness` widens it."""
        reach = max(knot[3] for knot in knots) + 6.0
        box = self.box(*_corners(knots, reach * flatness))
        distance = np.full(self.tissues[box].shape, np.inf, np.float32)
        for start, end in pairwise(knots):
            inner = self.box(*_corners([start, end], reach * flatness))
            x, y, z = self.at(inner)
            first, last = ((k[0] / flatness, k[1], k[2]) for k in (start, end))
            capsule = solids.cone(x / flatness, y, z, first, last, start[3], end[3])
            part = distance[
                tuple(
                    slice(i.start - o.start, i.stop - o.start)
                    for i, o in zip(inner, box, strict=True)
                )
            ]
            np.minimum(part, capsule, out=part)
        return box, distance

    def paint(self, box: Box, where: Bools, tissue: str, over: str = "") -> None:
        """Set voxels of a box to a tissue, those of one other tissue only if `over` names it."""
        tissues = self.tissues[box]
        if over:
            where = where & (tissues == NUMBER[over])
        tissues[where] = NUMBER[tissue]

    def paint_tube(self, knots: list[Knot], tissue: str, halo: float) -> None:
        """Draw a tube and the fat that keeps the lung away from it."""
        box, distance = self.tube(knots)
        self.paint(box, distance < halo, "fat", over="lung")
        self.paint(box, distance < 0, tissue)


def _trunk(canvas: _Canvas, rng: np.random.Generator, uniform: Uniform) -> Floats:
    """Paint fat, muscle and the fat inside the rib cage; return the distance to the rib cage."""
    x, y, z = canvas.x, canvas.y, canvas.z
    everywhere = canvas.box((-900, -900, -900), (900, 900, 900))
    radii = uniform(126, 146), uniform(86, 100), uniform(196, 212)
    above: Floats = np.maximum(z - CAGE_MIDDLE, 0.0)
    leaning = y + CAGE_LEAN * (above + CAGE_MIDDLE + 60.0)
    cage = _rounded_ellipsoid(x, leaning, above, radii, uniform(0.1, 0.5))
    lateral: Floats = np.sqrt(x * x + 1.0)
    muscle: Floats = cage - uniform(12, 20)
    bulk = uniform(0.8, 1.2)
    for start, end, first, last in MUSCLES:
        box = canvas.box((-260, *_low(start, end, 75)), (260, *_high(start, end, 75)))
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


def _abdomen(canvas: _Canvas, cage: Floats, uniform: Uniform) -> tuple[Box, Floats]:
    """Paint the diaphragm and what lies below; return the distance to its domes, in their box."""
    box = canvas.box((-200, -150, -400), (200, 150, -60))
    x, y, z = canvas.at(box)
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


def _lungs(canvas: _Canvas, cage: Floats, domes: tuple[Box, Floats], uniform: Uniform) -> None:
    """Paint both lungs: the rib cage without the mediastinum and what the diaphragm holds."""
    x, y, z = canvas.x, canvas.y, canvas.z
    radius = uniform(23, 30)
    u, v = (x + 1.0) / radius, (y - 12.0) / 80.0
    slab = u * u + v * v
    lungs = (cage < -3) & (slab > 1.0) & (z > uniform(-180, -160) + 0.2 * y)
    below, distance = domes
    lungs[below] &= distance > 0
    canvas.tissues[lungs] = NUMBER["lung"]


def _ribs(canvas: _Canvas, cage: Floats, uniform: Uniform) -> None:
    """Paint ribs as oblique rings around the cage, the sternum, clavicles, shoulder blades."""
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
        collar = _curve([(side * 20, 46, 58, 7), (side * 75, 40, 76, 5), (side * 140, -8, 96, 6)])
        _bone(canvas, *canvas.tube(collar))
        arm = _curve(
            [(side * 150, -28, 88, 20), (side * 162, -26, 110, 13), (side * 178, -8, 260, 12)]
        )
        _bone(canvas, *canvas.tube(arm))


def _bone(canvas: _Canvas, box: Box, distance: Floats) -> None:
    """Paint a bone: a cortical shell about a spongy inside."""
    canvas.paint(box, distance < 0, "cortical bone")
    canvas.paint(box, distance < -2.5, "spongy bone")


def _spine(canvas: _Canvas, uniform: Uniform) -> None:
    """Paint vertebrae from below to above the scan, with discs, canal and processes."""
    width, depth = uniform(17, 20), uniform(13.5, 16)
    middle = -300.0 + uniform(0, VERTEBRA)
    while middle < 200:
        y_low, y_high = (_spine_y(middle + s * VERTEBRA / 2) for s in (-1, 1))
        size = 1.0 if middle < 40 else max(0.7, 1.0 - (middle - 40) / 200)
        _vertebra(canvas, middle, (y_low, y_high), (width * size, depth * size))
        middle += VERTEBRA


def _vertebra(canvas: _Canvas, middle: float, ys: Bounds, radii: Bounds) -> None:
    """Paint one vertebra and the disc above it; `ys` are its body's lower and upper middle."""
    height, y_middle = VERTEBRA / 2, (ys[0] + ys[1]) / 2
    box = canvas.box(
        (-46, y_middle - 72, middle - height - 24), (46, y_middle + 24, middle + height)
    )
    x, y, z = canvas.at(box)
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


def _vessels(canvas: _Canvas, uniform: Uniform) -> None:
    """Paint the veins and arteries that are no label's, each of its own width."""
    for tissue, halo, knots in TUBES.values():
        canvas.paint_tube(_curve(_varied(knots, uniform, uniform(0.85, 1.15))), tissue, halo)


def _heart(canvas: _Canvas, uniform: Uniform) -> None:
    """Paint the heart: blended chambers, each within its wall, and the fat around."""
    box = canvas.box((-110, -60, -155), (90, 110, -5))
    x, y, z = canvas.at(box)
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


def _great_vessels(canvas: _Canvas, uniform: Uniform) -> None:
    """Paint the pulmonary trunk, and the aorta over it, 11 to 16 mm in radius."""
    size = sum(canvas.scale) / 3
    canvas.paint_tube(_curve(_varied(TRUNK, uniform)), "pulmonary vessel", 3)
    width = uniform(11.0, 15.5) / (14.0 * size)
    canvas.paint_tube(_curve(_varied(AORTA, uniform, width)), "aorta", 3)


def _oesophagus(canvas: _Canvas, uniform: Uniform) -> None:
    """Paint the oesophagus, wider than deep, wandering, here and there with air inside."""
    size = sum(canvas.scale) / 3
    knots = _curve(_varied(OESOPHAGUS, uniform, uniform(0.85, 1.12) / size, wander=2.2))
    flatness = uniform(1.25, 1.7)
    box, distance = canvas.tube(knots, flatness)
    canvas.paint(box, distance < 3, "fat", over="lung")
    stomach = (canvas.tissues[box] == NUMBER["stomach"]) | (canvas.tissues[box] == NUMBER["gas"])
    canvas.paint(box, (distance < 0) & ~stomach, "oesophagus")
    for _ in range(3):
        low, length, filled = uniform(-130, 130), uniform(15, 70), uniform(0, 1) < 0.5
        z = canvas.z[box]
        if filled:
            core = (distance < -3.0 / size) & (z > low) & (z < low + length)
            canvas.paint(box, core, "oesophageal air", over="oesophagus")


def _airways(canvas: _Canvas, uniform: Uniform) -> None:
    """Paint the bronchi of the lobes, then the trachea with its first branches in a wall."""
    width = uniform(7.0, 9.8) * 3 / (8.5 * sum(canvas.scale))
    for lobe in LOBES:
        box, distance = canvas.tube(_curve(_varied(lobe, uniform, wander=0.5)))
        canvas.paint(box, distance < 1.5, "muscle")
        canvas.paint(box, distance < 0, "bronchus")
    lumen = [canvas.tube(_curve(_scaled(TRACHEA, width)))]
    lumen += [canvas.tube(_curve(_scaled(branch, width))) for branch in BRONCHI]
    for box, distance in lumen:
        outside = canvas.tissues[box] != NUMBER["bronchus"]
        canvas.paint(box, (distance < 2.5) & outside, "muscle")
    for box, distance in lumen:
        canvas.paint(box, distance < 0, "trachea")


def _lung_vessels(canvas: _Canvas, uniform: Uniform) -> None:
    """Paint branching vessels from the hila into the lungs."""
    trees, generations = LUNG_VESSELS
    for hilum in HILA:
        outwards = 1.0 if hilum[0] > 0 else -1.0
        for _ in range(trees):
            heading = outwards * uniform(0.3, 1), uniform(-0.9, 0.9), uniform(-1.2, 0.9)
            _branch(canvas, uniform, hilum, heading, generations)


def _branch(
    canvas: _Canvas, uniform: Uniform, start: Point, heading: Point, generations: int
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


def _surroundings(canvas: _Canvas, uniform: Uniform) -> None:
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


def _rotation(pitch: float, roll: float, yaw: float) -> tuple[Point, Point, Point]:
    """Rows of a small rotation about x, y and z; arguments are tangents of half the angles."""
    (cp, sp), (cr, sr), (cy, sy) = (
        ((1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)) for t in (pitch, roll, yaw)
    )
    return (
        (cy * cr, cy * sr * sp - sy * cp, cy * sr * cp + sy * sp),
        (sy * cr, sy * sr * sp + cy * cp, sy * sr * cp - cy * sp),
        (-sr, cr * sp, cr * cp),
    )


def _curve(knots: list[Knot]) -> list[Knot]:
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


def _varied(
    knots: tuple[Knot, ...], uniform: Uniform, width: float = 1.0, wander: float = 1.2
) -> list[Knot]:
    """Knots moved by up to `wander` mm in the plane, their radii scaled by `width`."""
    return [
        (x + uniform(-wander, wander), y + uniform(-wander, wander) * 0.6, z, r * width)
        for x, y, z, r in knots
    ]


def _scaled(knots: tuple[Knot, ...], width: float) -> list[Knot]:
    return [(x, y, z, radius * width) for x, y, z, radius in knots]


def _spine_y(z: float) -> float:
    """How far to the front the middle of the vertebral column lies at a height."""
    for (above, y_above), (below, y_below) in pairwise(SPINE):
        if z >= below:
            share = (z - below) / (above - below)
            return y_below + share * (y_above - y_below)
    return SPINE[-1][1]


def _corners(knots: list[Knot], reach: float) -> tuple[Point, Point]:
    xs, ys, zs, _ = zip(*knots, strict=True)
    return (
        (min(xs) - reach, min(ys) - reach, min(zs) - reach),
        (max(xs) + reach, max(ys) + reach, max(zs) + reach),
    )


def _low(start: Point, end: Point, reach: float) -> tuple[float, float]:
    return min(start[1], end[1]) - reach, min(start[2], end[2]) - reach


def _high(start: Point, end: Point, reach: float) -> tuple[float, float]:
    return max(start[1], end[1]) + reach, max(start[2], end[2]) + reach


def _moved(point: Point, shift: Point, size: float) -> Point:
    """A point of the heart, away from the heart's middle by `size` and then shifted."""
    middle = (-8.0, 18.0, -72.0)
    x, y, z = (m + (p - m) * size + s for p, m, s in zip(point, middle, shift, strict=True))
    return x, y, z
