"""The surface of a shape as a mesh that a browser draws at once: MZ3, in RAS millimetres."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from zoo.errors import MissingDependency
from zoo.pictures import PADDING, SURFACE, Bools, bounding_box, softened

MOST_TRIANGLES = 150_000  # of one surface
MAGIC, FACES, VERTICES = 0x5A4D, 1, 2  # of MZ3: https://github.com/neurolabusc/surf-ice


def mesh(shape: Bools, affine: NDArray[np.float64], most: int | None = MOST_TRIANGLES) -> bytes:
    """The surface of what is occupied, as the pictures show it.

    Args:
        shape: bool (I, J, K), axes RAS.
        affine: (4, 4), from an index to the RAS millimetres of that voxel's centre.
        most: triangles; a surface of more is decimated. None: all of them.

    Returns:
        An MZ3 file; nothing for a shape without a surface.

    Raises:
        MissingDependency: fast-simplification is needed, and not installed.
    """
    box = bounding_box(shape)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    field = softened(shape[box], spacing)
    if field.max() <= SURFACE:
        return b""
    from skimage.measure import marching_cubes

    points, triangles, *_ = marching_cubes(field, SURFACE, gradient_direction="ascent")
    if most is not None and len(triangles) > most:
        try:
            import fast_simplification
        except ImportError as error:
            raise MissingDependency(
                f"a surface of {len(triangles):,} triangles needs fast_simplification, or --full;"
                " install it: pip install 'sparse-volume-zoo[view]'"
            ) from error
        points, triangles = fast_simplification.simplify(
            points.astype(np.float32), triangles.astype(np.int32), target_count=most
        )
    points = points + [edge.start - PADDING for edge in box]
    return mz3(points @ affine[:3, :3].T + affine[:3, 3], triangles)


def mz3(points: NDArray[np.floating], triangles: NDArray[np.integer]) -> bytes:
    """Points (V, 3) and triangles (T, 3) as an MZ3 file.

    >>> content = mz3(np.eye(3), np.array([[0, 1, 2]]))
    >>> struct.unpack("<2H3I", content[:16]), len(content)
    ((23117, 3, 1, 3, 0), 64)
    """
    header = struct.pack("<2H3I", MAGIC, FACES | VERTICES, len(triangles), len(points), 0)
    return header + triangles.astype("<i4").tobytes() + points.astype("<f4").tobytes()
