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
             words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw, features, out, channels,
             ADD: tl.constexpr, BLOCK: tl.constexpr, CHANNELS: tl.constexpr):  # fmt: skip
    """Rows of `out` (N, C) from the rows of features with the same voxel; zero if there is none.

    With ADD they are added to what is there. One direction and the other of pruning and of the
    union, and their gradients, are all this.
    """
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = n < rows
    b, i, j, k = voxel_of(places, n, there, y_i, y_j, y_w, y_ni, y_nj, y_nw)
    seen, row = look(words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw, b, i, j, k, there, 1)
    from_row = features + row.to(tl.int64) * channels
    for first in range(0, channels, CHANNELS):
        c = first + tl.arange(0, CHANNELS)[None, :]
        mask = (seen != 0)[:, None] & (c < channels)
        value = tl.load(from_row[:, None] + c, mask=mask, other=0)
        to = out + n[:, None] * channels + c
        if ADD:
            tl.store(to, tl.load(to, mask=mask, other=0) + value, mask=mask)
        else:
            tl.store(to, value, mask=there[:, None] & (c < channels))


@Kernel
def rectify(features, size, scale, shift, channels, BLOCK: tl.constexpr):
    """max(features * scale + shift, 0) in place: so many values, in rows of so many channels."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < size
    c = at % channels
    value = tl.load(features + at, mask=there, other=0)
    value = value * tl.load(scale + c, mask=there) + tl.load(shift + c, mask=there)
    value = tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)
    tl.store(features + at, value, mask=there)
