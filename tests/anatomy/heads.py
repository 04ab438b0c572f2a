"""CTs of heads that are made of balls and boxes, with what a scanner sees beside a skull."""

import numpy as np

from zoo import Volume
from zoo.anatomy import Implant

SPACING = 2.0  # mm
SHAPE = (110, 130, 120)
MIDDLE = np.array([110.0, 125.0, 150.0])  # mm from the first corner
AIR, SOFT, BONE = -1000, 40, 900


def places(shape=SHAPE, spacing=SPACING):
    """Where every voxel's centre is, mm from the first corner (3, I, J, K)."""
    return (np.indices(shape) + 0.5) * spacing


def shell(inner=66.0, outer=73.0):
    """A skull, bool: a ball's shell with a foramen magnum of 30 mm."""
    x, y, z = places() - MIDDLE.reshape(3, 1, 1, 1)
    radius = np.sqrt(x**2 + y**2 + z**2)
    opening = (np.hypot(x, y) < 15) & (z < 0)
    return (radius > inner) & (radius < outer) & ~opening


def spine():
    """Vertebrae, bool: rings of 8 mm below the foramen, the first of which touches the skull."""
    x, y, z = places() - MIDDLE.reshape(3, 1, 1, 1)
    ring = np.hypot(x, y)
    return (ring > 12) & (ring < 24) & (z < -66)


def headrest():
    """A plate behind the head, bool, with a gap to the scalp."""
    x, y, z = places()
    return (y > 30) & (y < 35) & (x > 40) & (x < 180) & (z > 60) & (z < 220)


def hole(radius=25.0, direction=(1.0, 0.0, 0.6)):
    """A defect, bool, to be cut into the shell: a ball where a ray from the middle meets it."""
    ray = np.array(direction) / np.linalg.norm(direction)
    centre = MIDDLE + 70 * ray
    return np.linalg.norm(places() - centre.reshape(3, 1, 1, 1), axis=0) < radius


def scan(bone, others=None):
    """A CT in Hounsfield units: soft tissue, bone, and other dense things."""
    x, y, z = places() - MIDDLE.reshape(3, 1, 1, 1)
    head = (x**2 + y**2 + z**2 < 78**2) | ((np.hypot(x, y) < 55) & (z < 0))
    values = np.where(head, SOFT, AIR).astype(np.int16)
    rng = np.random.default_rng(0)
    values += rng.normal(0, 12, values.shape).astype(np.int16)
    if others is not None:
        values[others] = 1100
    values[bone] = BONE
    return Volume(values, np.diag([SPACING, SPACING, SPACING, 1.0]))


def cap(spacing):
    """A piece of a ball's shell, 6 mm thick, cut out of it, with voxels of any size."""
    shape = np.ceil(np.divide((80, 80, 60), spacing)).astype(int)
    x, y, z = (np.indices(shape) + 0.5) * np.reshape(spacing, (3, 1, 1, 1))
    radius = np.sqrt((x - 40) ** 2 + (y - 40) ** 2 + z**2)
    whole, cut = (radius > 44) & (radius < 50), np.hypot(x - 40, y - 40) < 20
    i, j, k = (slice(0, n) for n in shape)
    level = (3 - abs(radius - 47)).astype(np.float32)
    return Implant((i, j, k), whole & cut, whole & ~cut, spacing, level)
