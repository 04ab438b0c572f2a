"""Kernels between two indices at the same stride."""

# mypy: ignore-errors
# (Triton infers the types)

import triton.language as tl

from zoo.sparse.backends.gpu.lookup import look, voxel_of
from zoo.sparse.backends.gpu.runtime import Kernel


@Kernel
def contains(places, rows, y_i, y_j, y_w, y_ni, y_nj, y_nw,
             words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw, found,
             BLOCK: tl.constexpr):  # fmt: skip
    """found (N,), bytes: whether the voxel of each row of y occurs in x."""
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = n < rows
    b, i, j, k = voxel_of(places, n, there, y_i, y_j, y_w, y_ni, y_nj, y_nw)
    seen, _ = look(words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw, b, i, j, k, there, 1)
    tl.store(found + n, seen.to(tl.int8), mask=there)


@Kernel
def transfer(places, rows, y_i, y_j, y_w, y_ni, y_nj, y_nw,
             words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw, features, out,
             CHANNELS: tl.constexpr, TILE: tl.constexpr, ADD: tl.constexpr,
             BLOCK: tl.constexpr):  # fmt: skip
    """Rows of `out` (N, C) from the rows of features with the same voxel; zero if there is none.

    With ADD they are added to what is there. One direction and the other of pruning and of the
    union, and their gradients, are all this.
    """
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = n < rows
    b, i, j, k = voxel_of(places, n, there, y_i, y_j, y_w, y_ni, y_nj, y_nw)
    seen, row = look(words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw, b, i, j, k, there, 1)
    from_row = features + row.to(tl.int64) * CHANNELS
    for first in range(0, CHANNELS, TILE):
        c = first + tl.arange(0, TILE)[None, :]
        mask = (seen != 0)[:, None] & (c < CHANNELS)
        value = tl.load(from_row[:, None] + c, mask=mask, other=0)
        to = out + n[:, None] * CHANNELS + c
        if ADD:
            tl.store(to, tl.load(to, mask=mask, other=0) + value, mask=mask)
        else:
            tl.store(to, value, mask=there[:, None] & (c < CHANNELS))


@Kernel
def rectify(features, rows, scale, shift,
            CHANNELS: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """max(features (N, C) * scale + shift, 0) in place, in float32 at least."""
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)[:, None]
    c = tl.program_id(1) * TILE + tl.arange(0, TILE)[None, :]
    at = features + n * CHANNELS + c
    mask = (n < rows) & (c < CHANNELS)
    value = tl.load(at, mask=mask)
    by = tl.load(scale + c, mask=c < CHANNELS)
    plus = tl.load(shift + c, mask=c < CHANNELS)
    if features.dtype.element_ty != tl.float64:
        value, by, plus = value.to(tl.float32), by.to(tl.float32), plus.to(tl.float32)
    value = tl.maximum(value * by + plus, 0.0, propagate_nan=tl.PropagateNan.ALL)
    tl.store(at, value.to(features.dtype.element_ty), mask=mask)
