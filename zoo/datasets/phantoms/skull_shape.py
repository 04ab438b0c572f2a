"""The shape of a human skull as a signed distance.

Frame: millimetres; x lateral, y anterior, z superior; the origin lies in the middle of the cranial
cavity, z about 38 mm above the Frankfurt plane. The tables give an average adult. The skull is
mirror-symmetric in this frame, hence |x|; asymmetry comes from warping the coordinates.
"""

from dataclasses import dataclass

import numpy as np

from zoo.datasets.phantoms import solids
from zoo.datasets.phantoms.solids import Floats, Point, Uniform

Bounds = tuple[float, float]
Ranges = tuple[Bounds, Bounds, Bounds]  # along x, y and z
Row = tuple[float, Point, Point, float, float]

# Rows: blend, start, end, start radius, end radius. Points are (|x|, y, z).
BONES: dict[str, Row] = {
    "brow": (6, (4, 83, 0), (44, 66, 1), 7.5, 6.5),
    "lateral orbital rim": (5, (48, 63, -2), (50, 60, -36), 5.5, 5.5),
    "cheekbone": (5, (52, 60, -40), (38, 67, -46), 8, 9),
    "lower orbital rim": (5, (46, 67, -42), (17, 77, -41), 4.5, 5),
    "frontal process of the maxilla": (4, (7, 84, -4), (15, 79, -40), 5.5, 5),
    "nasal bones": (4, (3, 86, -4), (3, 91, -25), 4.5, 3.5),
    "maxilla": (6, (24, 62, -44), (21, 60, -62), 14, 13),
    "tuber of the maxilla": (4, (24, 48, -44), (22, 45, -62), 7, 6),
    "front of the maxilla": (5, (10, 78, -58), (24, 68, -60), 8, 9),
    "alveolar arch, front": (3, (0, 86, -66), (20, 77, -66), 6, 5.5),
    "alveolar arch, side": (3, (20, 77, -66), (26, 44, -64), 5.5, 5.5),
    "palate": (3, (0, 76, -58), (0, 42, -57), 5, 3),
    "palate, side": (3, (12, 74, -58), (14, 44, -57), 5, 4),
    "zygomatic arch, front": (4, (54, 58, -42), (64, 38, -41), 5, 4),
    "zygomatic arch": (3, (64, 38, -41), (66, 14, -38), 4, 3.6),
    "zygomatic arch, root": (4, (66, 14, -38), (60, -4, -36), 3.6, 5),
    "lateral orbital wall": (4, (47, 60, -14), (37, 42, -14), 5, 8),
    "lateral orbital wall, lower": (4, (48, 60, -28), (37, 42, -25), 5, 8),
    "ethmoid": (4, (9, 77, -12), (9, 40, -14), 5, 6),
    "greater wing": (6, (40, 44, -10), (30, 38, -28), 8, 9),
    "sphenoid body": (5, (0, 34, -22), (0, 12, -28), 13, 12),
    "clivus": (6, (0, 8, -24), (0, -2, -55), 8, 6),
    "clivus, side": (6, (8, 6, -30), (10, -4, -54), 7, 7),
    "pterygoid process": (3, (13, 28, -34), (15, 34, -66), 5, 3.5),
    "petrous bone": (6, (56, -16, -36), (14, 5, -34), 10, 7),
    "mastoid process": (6, (56, -22, -38), (52, -20, -62), 14, 6),
    "occipital condyle": (4, (15, -14, -60), (10, -2, -62), 6, 5),
    "nuchal crest": (10, (0, -83, -34), (40, -70, -34), 6, 4),
    "ridge above the mastoid": (6, (56, -40, -34), (60, -10, -32), 6, 5),
    "styloid process": (2, (40, -10, -46), (37, -4, -64), 3, 1.8),
}
CROWNS = ((4.2, 87), (12.3, 84), (19, 78.5), (22.5, 71.5), (25, 64), (27, 55), (28, 46))  # (|x|, y)
TEETH: tuple[Row, ...] = tuple((2, (x, y, -70), (x, y, -79), 3.4, 3.0) for x, y in CROWNS)
VOIDS: dict[str, Row] = {
    "orbit": (2, (33, 86, -22), (17, 40, -19), 19, 5),
    "orbit, outer": (2, (37, 90, -21), (29, 52, -20), 16.5, 11),
    "nasal aperture, wide part": (2, (4.5, 98, -49), (6, 26, -46), 7.5, 8),
    "nasal aperture, narrow part": (3, (0, 96, -36), (2, 44, -26), 5.5, 6.5),
    "maxillary sinus": (3, (27, 62, -46), (26, 54, -52), 8, 9),
    "sphenoid sinus": (3, (4, 30, -22), (4, 20, -25), 7, 7),
    "palatal vault": (4, (0, 68, -74), (0, 40, -74), 14, 17),
    "canine fossa": (6, (30, 88, -53), (40, 80, -54), 7, 6),
    "ear canal": (2, (82, -9, -37), (42, -5, -36), 3.5, 2.5),
    "jaw joint": (4, (56, 4, -47), (44, 4, -47), 6, 6),
    "mastoid cells": (2, (55, -20, -42), (53, -20, -52), 6, 3),
    "superior orbital fissure": (1, (16, 42, -18), (21, 26, -20), 3, 4),
    "foramen ovale": (1, (23, 8, -30), (24, 8, -60), 3, 3),
    "jugular foramen": (1, (22, -14, -40), (24, -12, -66), 4, 4),
    "foramen magnum, front": (4, (0, -16, -40), (0, -14, -80), 13, 14),
    "foramen magnum, back": (4, (0, -26, -40), (0, -26, -80), 13, 15),
}
# Ranges of each lobe's centre and radii.
BRAIN: dict[str, tuple[Ranges, Ranges]] = {
    "cerebrum": (((0, 0), (0, 0), (9, 13)), ((62, 66), (80, 84), (58, 62))),
    "forehead": (((0, 0), (27, 33), (8, 13)), ((44, 49), (47, 53), (36, 41))),
    "crown": (((0, 0), (-26, -12), (16, 22)), ((57, 62), (52, 57), (44, 48))),
    "cerebellum": (((0, 0), (-44, -40), (-33, -29)), ((46, 51), (33, 37), (25, 29))),
    "temporal lobe": (((35, 39), (2, 7), (-20, -16)), ((23, 27), (30, 34), (22, 26))),
}
# Ranges in mm: everywhere, more in front, more behind, less at the temples, patterns of chance.
THICKNESS: tuple[Bounds, ...] = (
    (4.2, 6.0),
    (0, 2),
    (0, 2),
    (0.6, 2),
    (-1, 1),
    (-1, 1),
    (-1, 1),
    (-1, 1),
)

LATERAL_JITTER, RADIUS_JITTER = 1.6, 0.1  # mm by which points move, share by which radii do
THINNEST = 3.0  # mm of the vault
FACE_TOP = 25.0  # no bone of the face, and no void in it, reaches above this height in mm


@dataclass(frozen=True)
class Skull:
    """One skull: its proportions, its thickness, and its variants of the tables above."""

    brain: dict[str, tuple[Point, Point]]  # centre and radii of each lobe
    taper: float  # how much narrower per mm towards the front
    boxiness: float  # 0: an ellipsoid, 1: its fourth-power sibling
    thickness: tuple[float, ...]  # as in THICKNESS
    bones: tuple[Row, ...]
    voids: tuple[Row, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Skull":
        """Draw the numbers of one skull; always the same count of draws."""
        uniform = solids.rounded_uniform(rng)
        brain = {
            name: (_within(centre, uniform), _within(radii, uniform))
            for name, (centre, radii) in BRAIN.items()
        }
        taper, boxiness = uniform(0.0012, 0.0024), uniform(0.0, 0.3)
        thickness = tuple(uniform(*bounds) for bounds in THICKNESS)
        bones = tuple(_jitter(row, uniform) for row in (*BONES.values(), *TEETH))
        voids = tuple(_jitter(row, uniform) for row in VOIDS.values())
        return cls(brain, taper, boxiness, thickness, bones, voids)

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Signed distance to bone in mm at points of the skull's frame."""
        lateral: Floats = np.sqrt(x * x + 1.0)  # |x| without a crease along the midline
        cavity = self._cavity(lateral, y, z)
        bone = cavity - self._thickness(x, y, z)
        face = not np.all(z > FACE_TOP)
        if face:
            for blend, start, end, *radii in self.bones:
                bone = solids.union(bone, solids.cone(lateral, y, z, start, end, *radii), blend)
            # The petrous ridge rises into the braincase: it is kept from being hollowed out.
            petrous = solids.cone(lateral, y, z, (58.0, -16.0, -36.0), (16.0, 4.0, -30.0), 9.0, 5.0)
            cavity = solids.intersection(cavity, -petrous, 5.0)
        bone = np.maximum(bone, -cavity)
        if face:
            for blend, start, end, *radii in self.voids:
                void = solids.cone(lateral, y, z, start, end, *radii)
                bone = solids.intersection(bone, -void, blend)
            bone = np.minimum(bone, _septum(x, y, z))
        return bone

    def _cavity(self, lateral: Floats, y: Floats, z: Floats) -> Floats:
        """The inside of the braincase: lobes above a floor that falls backwards from the orbits."""
        narrowed = lateral * (1.0 + self.taper * y)
        cerebrum = _rounded_box(narrowed, y, z, *self.brain["cerebrum"], self.boxiness)
        for lobe in ("forehead", "crown"):
            bulge = solids.ellipsoid(narrowed, y, z, *self.brain[lobe])
            cerebrum = solids.union(cerebrum, bulge, 16.0)
        # The floor's height: level over the orbits, falling behind y = 26, a groove at the midline.
        floor = np.minimum(1.5, 1.5 + 0.55 * (y - 26.0)) - 4.0 / (1.0 + lateral * lateral * 0.02)
        cavity = solids.intersection(cerebrum, floor - z, 8.0)
        for lobe, blend in (("cerebellum", 22.0), ("temporal lobe", 10.0)):
            cavity = solids.union(cavity, solids.ellipsoid(lateral, y, z, *self.brain[lobe]), blend)
        return cavity

    def _thickness(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Bone thickness in mm from the direction: low harmonics, thin temples, thin base."""
        base, front, back, temple, *random = self.thickness
        inverse: Floats = 1.0 / np.sqrt(x * x + y * y + z * z + 25.0)  # 5 mm keeps it finite
        u, v, w = x * inverse, y * inverse, z * inverse
        ahead: Floats = np.maximum(v, 0.0)
        behind: Floats = np.minimum(v, 0.0)
        low: Floats = np.maximum(-w, 0.0)
        pattern = random[0] * u * v + random[1] * u * w + random[2] * v * w + random[3] * u
        thickness: Floats = (
            base
            + front * ahead * ahead
            + back * behind * behind
            - temple * u * u * (1.0 - w)
            - 2.0 * low
            + pattern
        )
        return np.maximum(thickness, THINNEST)


def _rounded_box(
    x: Floats, y: Floats, z: Floats, centre: Point, radii: Point, boxiness: float
) -> Floats:
    """An ellipsoid, mixed with its fourth-power sibling by `boxiness`."""
    u, v, w = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1], (z - centre[2]) / radii[2]
    u, v, w = u * u, v * v, w * w
    radius: Floats = np.sqrt(u + v + w)
    boxy: Floats = np.sqrt(np.sqrt(u * u + v * v + w * w))
    radius = radius + boxiness * (boxy - radius)
    a, b, c = (along * along for along in radii)
    slope: Floats = np.maximum(np.sqrt(u / a + v / b + w / c), solids.LEAST_SLOPE)
    distance: Floats = np.divide(radius * (radius - 1.0), slope)
    return distance


def _septum(x: Floats, y: Floats, z: Floats) -> Floats:
    """The nasal septum, a thin plate that the cavity's void would otherwise take away."""
    outside: Floats = np.maximum(np.maximum(38.0 - y, y - 80.0), np.maximum(-56.0 - z, z + 20.0))
    plate: Floats = np.maximum(np.abs(x) - 0.9, outside)  # 1.8 mm thick
    return plate


def _within(ranges: Ranges, uniform: Uniform) -> Point:
    """A point drawn from ranges along x, y and z."""
    x, y, z = (uniform(*bounds) for bounds in ranges)
    return x, y, z


def _jitter(row: Row, uniform: Uniform) -> Row:
    """A variant of a table's row, its points moved alike, its radii scaled alike."""
    blend, start, end, *radii = row
    shift = [uniform(-LATERAL_JITTER, LATERAL_JITTER) for _ in range(3)]
    scale = uniform(1 - RADIUS_JITTER, 1 + RADIUS_JITTER)
    if start[0] == 0:
        shift[0] = 0.0  # what lies on the midline stays there
    first, last = (radius * scale for radius in radii)
    return float(blend), _moved(start, shift), _moved(end, shift), first, last


def _moved(point: Point, shift: list[float]) -> Point:
    x, y, z = (float(p + s) for p, s in zip(point, shift, strict=True))
    return x, y, z
