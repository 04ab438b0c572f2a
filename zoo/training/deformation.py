"""Deforms the coverage of shapes: flips, small rotations and scalings, smooth random displacements.

Shapes are float32 (I, J, K) from 0 to 1, axes RAS, with cubic voxels.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch.nn.functional import grid_sample

from zoo.training.augmentation import draw_matrix
from zoo.training.config import AugmentationConfig
from zoo.volumes import pooled

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

LATTICE = 5  # random displacements along each axis, between which a smooth one is interpolated
BLOCK = 8  # voxels from one computed position to the next


def deform(
    shapes: Floats, spacing: float, config: AugmentationConfig, rng: np.random.Generator
) -> Floats:
    """Deform several coverages in the same way.

    Only those blocks of voxels are computed into which something may move.

    Args:
        shapes: float32 (n, I, J, K).
        spacing: edge of a voxel in mm.
        config: what to draw; its `noise` does not apply.
        rng: the generator to draw with.

    Returns:
        float32 (n, I', J', K'), on a grid of whole blocks that fits what was turned or enlarged.
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
    counts = np.ceil(wanted / BLOCK).astype(int)
    nodes = _sources(counts, np.asarray(np.linalg.inv(matrix), dtype=np.float64), offsets)
    corners = sliding_window_view(nodes, (2, 2, 2), (1, 2, 3)).reshape(3, *counts, 8)
    active = _reached(shapes, corners + ((size - 1) / 2)[:, None, None, None, None])
    scaled = (corners[:, *active.T] * (2 / size)[:, None, None])[::-1]  # k, j, i in -1 to 1
    positions = torch.from_numpy(scaled.astype(np.float32)).permute(1, 2, 0)
    within = torch.from_numpy(_corner_weights()) @ positions
    moved = grid_sample(
        torch.from_numpy(np.ascontiguousarray(shapes))[None],
        within.view(1, -1, BLOCK, BLOCK**2, 3),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return _assembled(moved[0].clamp_(max=1).numpy(), active, counts)


def _sources(counts: Ints, inverse: Doubles, offsets: Doubles) -> Doubles:
    """Where the first voxel of every block comes from, and that of the next ones at the far ends.

    Returns:
        (3, ...): voxels from the middle of the input's grid.
    """
    from scipy import ndimage

    axes = [np.arange(count + 1) * BLOCK for count in counts]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float64)
    ends = (counts * BLOCK - 1)[:, None, None, None]
    steps = voxels * (LATTICE - 1) / ends
    moves = [ndimage.map_coordinates(each, steps, order=3, mode="nearest") for each in offsets]
    sources: Doubles = np.tensordot(inverse, voxels - ends / 2, 1) + np.stack(moves)
    return sources


def _reached(shapes: Floats, corners: Doubles) -> Ints:
    """The blocks (M, 3) between whose corners, (3, I, J, K, 8) in voxels, something is covered."""
    size = shapes.shape[1:]
    covered = pooled(np.asarray(shapes.any(axis=0)), BLOCK)
    # Sums of all that lies before a cell, from which that of any box follows.
    sums = np.pad(covered.astype(np.int64), ((1, 0),) * 3).cumsum(0).cumsum(1).cumsum(2)
    ends = np.array(size)[:, None, None, None] - 1
    low = np.clip(np.floor(corners.min(axis=-1)), 0, ends + 1).astype(int) // BLOCK
    high = np.clip(np.ceil(corners.max(axis=-1)), -1, ends).astype(int) // BLOCK + 1
    high = np.maximum(low, high)
    total = np.zeros(low.shape[1:], np.int64)
    for upper in itertools.product((0, 1), repeat=3):
        i, j, k = (high[axis] if end else low[axis] for axis, end in enumerate(upper))
        total += (-1) ** (3 - sum(upper)) * sums[i, j, k]
    return np.argwhere(total)


def _corner_weights() -> Floats:
    """How much of each of the 8 corners, of which the next block begins at the far ones, is in
    each of a block's voxels: (BLOCK ** 3, 8)."""
    far = np.arange(BLOCK, dtype=np.float32) / BLOCK
    along = np.stack([1 - far, far], axis=1)
    weights: Floats = np.kron(np.kron(along, along), along)
    return weights


def _assembled(blocks: Floats, places: Ints, counts: Ints) -> Floats:
    """A grid (n, I, J, K) of so many blocks, these (n, M, ...) at their places (M, 3)."""
    grid = np.zeros((len(blocks), *np.stack([counts, [BLOCK] * 3], axis=1).ravel()), np.float32)
    i, j, k = places.T
    blocks = blocks.reshape(len(blocks), len(places), BLOCK, BLOCK, BLOCK)
    grid[:, i, :, j, :, k, :] = blocks.swapaxes(0, 1)
    return grid.reshape(len(grid), *(counts * BLOCK))
