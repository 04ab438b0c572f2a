"""Operations that change which voxels there are: coarsening, refinement, pruning, union."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.sparse.backends.cpu import words
from zoo.sparse.backends.cpu.index import GridIndex
from zoo.sparse.backends.cpu.runtime import run


def coarsen(index: GridIndex) -> GridIndex:
    return index.derive(2 * index.stride, index.box.coarser(), words.coarsen)


def refine(index: GridIndex, size: int) -> GridIndex:
    """Every voxel that a generative transposed kernel of that size reaches."""
    return index.derive(index.stride // 2, index.box.finer(size), words.refine, size)


def unite(a: GridIndex, b: GridIndex) -> GridIndex:
    return a.derive(a.stride, a.box.around(b.box), words.unite, b.grid)


def select(index: GridIndex, keep: Tensor) -> GridIndex:
    """The voxels of the rows that keep (N,) bool names."""
    return index.derive(index.stride, index.box, words.select, keep.numpy())


def contains(index: GridIndex, other: GridIndex) -> Tensor:
    """(N,) bool: which voxels of `index` occur in `other`."""
    found = np.empty(len(index), np.bool_)
    run(words.look_up, index.spans(), index.grid, other.grid, found)
    return torch.from_numpy(found)


def transfer(
    features: Tensor, source: GridIndex, target: GridIndex, onto: Tensor | None = None
) -> Tensor:
    """Features (N, C) on the source -> (N', C) on the target, zero where the source has none.

    With `onto` they are added to that tensor, in place.
    """
    values = features.detach().contiguous().numpy()
    shape = len(target), values.shape[1]
    out = np.zeros(shape, values.dtype) if onto is None else onto.numpy()
    run(words.transfer, target.spans(), source.grid, target.grid, values, out, onto is not None)
    return torch.from_numpy(out) if onto is None else onto
