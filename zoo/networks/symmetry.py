"""The other half of a head: a shape, mirrored in the plane about which it is most symmetric.

Where a hole is on one side, the bone of the other side lies in it then.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from zoo import sparse
from zoo.anatomy import is_shape, mirroring
from zoo.sparse import SparseTensor
from zoo.volumes import STEPS

Floats = NDArray[np.float64]

WIDEST = 512  # voxels along an axis that a shape may have
MARGIN = 8  # voxels beyond the shape, in which its mirror image is kept
LEAST = 0.02  # coverage that is kept of it
NOTHING = np.zeros(3, np.int64), np.zeros((0, 0, 0))


@torch.no_grad()
def mirror_image(x: SparseTensor, level: int) -> SparseTensor:
    """The mirror image of every shape of a batch, on a coarse level.

        >>> from zoo.sparse import select_backend
        >>> ball = np.linalg.norm(np.indices((17, 17, 17)) - 8, axis=0) < 8
        >>> ball[12:, 5:12, 5:12] = False
        >>> x = SparseTensor.from_grids([ball], backend=select_backend("torch", "cpu"))
        >>> found = mirror_image(x, 0).to_grid((0, 0, 0), ball.shape)
        >>> bool(found[14, 8, 8]), bool(found[2, 8, 8])
        (True, False)

    Args:
        x: coverage (N, 1), at tensor stride 1; the first axis is from left to right.
        level: the level whose voxels the image has; their edge is 2 ** level.

    Returns:
        The coverage (M, 1) of the image at tensor stride 2 ** level; nothing for a shape of fewer
        than 100 voxels there, or of more than WIDEST along an axis, which is no head.
    """
    edge = 2**level

    def image(shape: tuple[NDArray[np.int64], Floats]) -> tuple[torch.Tensor, torch.Tensor]:
        low, sums = shape
        found, covered = _image((sums / (STEPS * edge**3)).astype(np.float32))
        return torch.from_numpy((found + low) * edge), torch.from_numpy(covered[:, None])

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        images = list(pool.map(image, _coarse(x, level)))
    device, dtype = x.features.device, x.features.dtype
    return SparseTensor.from_coordinates(
        [points.to(device) for points, _ in images],
        [covered.to(device, dtype) for _, covered in images],
        backend=x.index.backend,
        stride=edge,
    )


def _coarse(x: SparseTensor, level: int) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """The first voxel (3,) of each shape on a level, and its coverage there, (I, J, K).

    It is counted in steps of 1/255 of a voxel of x, in whole numbers, whose sums do not depend on
    their order: in float32 they are exact up to level 5, unless TF32 is asked for.
    """
    with torch.autocast(x.features.device.type, enabled=False):
        counted = x.with_features(torch.round(x.features.float() * STEPS))
        for _ in range(level):
            counted = sparse.convolution(counted, counted.features.new_ones(8, 1, 1), stride=2)
    rows = counted.coordinates.cpu().numpy()
    sums = counted.features[:, 0].cpu().numpy()
    for item in range(x.index.batch_size):
        own = rows[:, 0] == item
        voxels = rows[own, 1:] // counted.stride
        if not len(voxels) or (size := np.ptp(voxels, axis=0) + 1).max() > WIDEST:
            yield NOTHING
            continue
        low = voxels.min(axis=0)
        grid = np.zeros(size)
        grid[tuple((voxels - low).T)] = sums[own]
        yield low, grid


def _image(covered: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The voxels (M, 3) and the coverage (M,) of the mirror image of coverage (I, J, K)."""
    from scipy import ndimage

    grid = np.pad(covered, MARGIN)
    if not is_shape(grid):
        return np.empty((0, 3), np.int64), np.empty(0, np.float32)
    matrix, offset = mirroring(grid)
    inverse = np.linalg.inv(matrix)
    image = ndimage.affine_transform(grid, inverse, -inverse @ offset, order=1)
    kept = image > LEAST
    return np.argwhere(kept) - MARGIN, image[kept]
