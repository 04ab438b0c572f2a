"""Deforms the coverage of shapes: flips, small rotations and scalings, smooth random displacements.

Shapes are float32 (I, J, K) from 0 to 1, axes RAS, with cubic voxels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample, interpolate

from zoo.training.augmentation import draw_matrix
from zoo.training.config import AugmentationConfig

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

LATTICE = 5  # random displacements along each axis, between which a smooth one is interpolated
COARSE = 8  # voxels from one computed position to the next


def deform(
    shapes: Floats, spacing: float, config: AugmentationConfig, rng: np.random.Generator
) -> Floats:
    """Deform several coverages in the same way.

    Args:
        shapes: float32 (n, I, J, K).
        spacing: edge of a voxel in mm.
        config: what to draw; its `noise` does not apply.
        rng: the generator to draw with.

    Returns:
        float32 (n, I', J', K'), on a grid that fits what was turned or enlarged.
    """
    matrix = draw_matrix(config, rng)
    offsets = rng.normal(0, config.deformation / spacing, (3,) + (LATTICE,) * 3)
    if not config.deformation:
        if (matrix == np.eye(3)).all():
            return shapes
        if (matrix == np.diag([-1, 1, 1])).all():
            return np.ascontiguousarray(shapes[:, ::-1])
    size = np.array(shapes.shape[1:])
    # How far the corners move, and what displacements add.
    wanted = np.abs(matrix) @ size + 2 * 2 * config.deformation / spacing
    shape = tuple(int(n) for n in np.ceil(wanted))
    inverse = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    positions = _positions(shape, size, inverse, offsets)
    moved = grid_sample(
        torch.from_numpy(np.ascontiguousarray(shapes))[None],
        positions[None],
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return np.asarray(moved[0].clamp_(max=1).numpy())


def _positions(
    shape: tuple[int, ...], size: NDArray[np.int_], inverse: Doubles, offsets: Doubles
) -> torch.Tensor:
    """Where (I', J', K', 3) every voxel comes from, as grid_sample wants it: k, j, i in -1 to 1."""
    from scipy import ndimage

    coarse = [max(-(-n // COARSE), 2) for n in shape]
    axes = [np.linspace(-0.5, 0.5, n) for n in coarse]  # corners of the grid, in its own size
    places = np.stack(np.meshgrid(*axes, indexing="ij"))
    steps = np.stack(np.meshgrid(*(np.linspace(0, LATTICE - 1, n) for n in coarse), indexing="ij"))
    moves = np.stack([ndimage.map_coordinates(each, steps, order=3) for each in offsets])
    centred = places * (np.array(shape) - 1)[:, None, None, None]
    sources = np.tensordot(inverse, centred, 1) + moves
    scaled = sources * (2 / size)[:, None, None, None]
    field = torch.from_numpy(scaled[::-1].astype(np.float32).copy())
    fine = interpolate(field[None], size=shape, mode="trilinear", align_corners=True)[0]
    return fine.permute(1, 2, 3, 0)
