"""The other half of a head: a shape, mirrored in the plane about which it is most symmetric.

Where a hole is on one side, the bone of the other side lies in it then.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.anatomy import is_shape, mirroring
from zoo.sparse import SparseTensor
from zoo.volumes import STEPS

Floats = NDArray[np.float64]

WIDEST = 512  # voxels along an axis that a shape may have
MARGIN = 8  # voxels beyond the shape, in which its mirror image is kept
LEAST = 0.02  # coverage that is kept of it
ROWS = 1 << 18  # that are counted at a time
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

    def image(low: NDArray[np.int64], sums: Floats) -> tuple[torch.Tensor, torch.Tensor]:
        found, covered = _image((sums / (STEPS * edge**3)).astype(np.float32))
        return torch.from_numpy((found + low) * edge), torch.from_numpy(covered[:, None])

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        images = list(pool.map(image, *zip(*_coarse(x, level), strict=True)))
    device, dtype = x.features.device, x.features.dtype
    return SparseTensor.from_coordinates(
        [points.to(device) for points, _ in images],
        [covered.to(device, dtype) for _, covered in images],
        backend=x.index.backend,
        stride=edge,
    )


def _coarse(x: SparseTensor, level: int) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """The first voxel (3,) of each shape on a level, and its coverage there, (I, J, K).

    It is counted in steps of 1/255 of a voxel of x, in integers, whose sums do not depend on their
    order or on how a device rounds; and a part of the rows at a time, which takes less memory.
    """
    rows = x.coordinates.cpu().numpy()
    values = x.features[:, 0].float().cpu().numpy()
    for item in range(x.index.batch_size):
        parts = []
        for n in range(0, len(rows), ROWS):
            part = rows[n : n + ROWS]
            among = part[:, 0] == item
            if among.any():
                own = slice(None) if among.all() else among  # a slice copies nothing
                parts.append((part[own, 1:], values[n : n + ROWS][own]))
        if not parts:
            yield NOTHING
            continue
        low = np.min([points.min(axis=0) for points, _ in parts], axis=0) >> level
        size = (np.max([points.max(axis=0) for points, _ in parts], axis=0) >> level) + 1 - low
        if size.max() > WIDEST:
            yield NOTHING
            continue
        i, j, k = size.tolist()
        sums = np.zeros(i * j * k)
        for points, covered in parts:
            at_i, at_j, at_k = (points.T >> level) - low[:, None]
            flat = (at_i * j + at_j) * k + at_k
            start = int(flat.min())  # rows that are together lie together
            found = np.bincount(flat - start, np.rint(covered * np.float32(STEPS)))
            sums[start : start + len(found)] += found
        yield low, sums.reshape(i, j, k)


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
