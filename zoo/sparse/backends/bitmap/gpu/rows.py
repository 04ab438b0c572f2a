"""Operations on rows: membership, moving them from one index to another, scale and ReLU."""

# mypy: ignore-errors
# (Triton infers the types)

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from zoo.sparse.backends.bitmap.gpu.index import BitmapIndex
from zoo.sparse.backends.bitmap.gpu.runtime import Kernel, blocks, power_of_two
from zoo.sparse.backends.bitmap.gpu.windows import look, voxel_of

ROWS = 128
VALUES = 2048
WIDEST = 32  # channels at once


def contains(index: BitmapIndex, other: BitmapIndex) -> Tensor:
    """(N,) bool: which voxels of `index` occur in `other`."""
    found = torch.empty(len(index), dtype=torch.int8, device=index.words.device)
    grid = (blocks(len(index), ROWS),)
    find_rows[grid](*index.as_target, *other.as_source, found, BLOCK=ROWS)
    return found.view(torch.bool)


def transfer(
    features: Tensor, source: BitmapIndex, target: BitmapIndex, onto: Tensor | None = None
) -> Tensor:
    """Features (N, C) on the source -> (N', C) on the target, zero where the source has none.

    With `onto` they are added to that tensor, in place.
    """
    channels = features.shape[1]
    out = features.new_empty(len(target), channels) if onto is None else onto
    move_rows[(blocks(len(target), ROWS),)](
        *target.as_target,
        *source.as_source,
        features.contiguous(),
        out,
        CHANNELS=channels,
        TILE=power_of_two(channels, 1, WIDEST),
        ADD=onto is not None,
        BLOCK=ROWS,
    )
    return out


def rectify(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """max(features (N, C) * scale (C,) + shift (C,), 0), in place."""
    rows, channels = features.shape
    tile = power_of_two(channels, 1, WIDEST)
    block = VALUES // tile
    rectify_rows[(blocks(rows, block), blocks(channels, tile))](
        features, rows, scale, shift, CHANNELS=channels, TILE=tile, BLOCK=block
    )
    return features


@Kernel
def find_rows(positions, rows, y_i, y_j, y_w, y_ni, y_nj, y_nw,
             words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw, found,
             BLOCK: tl.constexpr):  # fmt: skip
    """found (N,), bytes: whether the voxel of each row of y occurs in x."""
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = n < rows
    b, i, j, k = voxel_of(positions, n, there, y_i, y_j, y_w, y_ni, y_nj, y_nw)
    seen, _ = look(words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw, b, i, j, k, there, 1)
    tl.store(found + n, seen.to(tl.int8), mask=there)


@Kernel
def move_rows(positions, rows, y_i, y_j, y_w, y_ni, y_nj, y_nw,
             words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw, features, out,
             CHANNELS: tl.constexpr, TILE: tl.constexpr, ADD: tl.constexpr,
             BLOCK: tl.constexpr):  # fmt: skip
    """Rows of `out` (N, C) from the rows of features with the same voxel; zero if there is none.

    With ADD they are added to what is there. One direction and the other of pruning and of the
    union, and their gradients, are all this.
    """
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = n < rows
    b, i, j, k = voxel_of(positions, n, there, y_i, y_j, y_w, y_ni, y_nj, y_nw)
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
def rectify_rows(features, rows, scale, shift,
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
