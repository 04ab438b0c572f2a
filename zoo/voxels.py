"""Between dense grids and sparse tensors: conforming to a model's input contract, and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.sparse import Backend, SparseTensor

CELL = 64  # voxels along an edge of the coarsest voxel of a 7-level network


def occupied_coordinates(grid: np.ndarray) -> Tensor:
    """Indices (N, 3) of the non-zero voxels of (I, J, K), in raster order, k fastest."""
    return torch.from_numpy(np.argwhere(grid))


def centring_shift(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The shift (3,) that brings a box [low, high] of voxels to the middle of whole cells.

    With it a network sees a shape in the same place, however its scan was cropped or padded.
    """
    extent = high - low + 1
    cells = -(-extent // CELL)
    shift: np.ndarray = cells * CELL // 2 - (low + high + 1) // 2
    return shift


def sparse_input(items: list[Tensor], backend: Backend, device: torch.device) -> SparseTensor:
    """A batch of binary shapes, (N_b, 3) coordinates each, with a feature of one per voxel."""
    return SparseTensor.from_coordinates([item.to(device) for item in items], backend=backend)


def complete_grid(
    network: torch.nn.Module, grid: np.ndarray, backend: Backend, device: torch.device
) -> np.ndarray:
    """The voxels that a completion network sees in place of bool (I, J, K) `grid`, same shape."""
    i, j, k = centring_shift(*bounds(grid)).tolist()
    x = SparseTensor.from_grids([grid], low=(i, j, k), backend=backend, device=device)
    answer: SparseTensor = network(x).answer
    rows, columns, depth = grid.shape
    return answer.to_grid((i, j, k), (rows, columns, depth))


def bounds(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest index (3,) of a voxel that is not zero."""
    profiles = (grid.any(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
    ends = [np.flatnonzero(profile)[[0, -1]] for profile in profiles]
    low, high = np.array(ends).T
    return low, high
