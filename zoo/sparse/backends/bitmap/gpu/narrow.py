"""Kernels for few channels, in plain multiply-adds: a voxel to a thread, in registers.

They take any number of channels and any type, in tiles of TILE_IN by TILE_OUT. Blocks are laid out
with the voxels last, so that neighbouring threads have neighbouring rows, and each thread all of
the products of its own.
"""

# mypy: ignore-errors
# (Triton infers the types)

import triton.language as tl

from zoo.sparse.backends.bitmap.gpu.runtime import tuned
from zoo.sparse.backends.bitmap.gpu.windows import has, look, look_from, row_in, window_of


@tuned((128, 4, 1), (256, 4, 1))
def convolve(positions, rows, y_i, y_j, y_w, y_ni, y_nj, y_nw,
             words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw,
             features, weights, out,
             SCALE: tl.constexpr, FIRST: tl.constexpr, WIDTH: tl.constexpr,
             C_IN: tl.constexpr, C_OUT: tl.constexpr,
             TILE_IN: tl.constexpr, TILE_OUT: tl.constexpr, SUM: tl.constexpr,
             BLOCK: tl.constexpr):  # fmt: skip
    """Features (N, C_IN) on x, weights (parity, position, C_OUT, C_IN) -> out (N', C_OUT) on y."""
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = n < rows
    kind, b, i, j, k = window_of(positions, n, there, y_i, y_j, y_w, y_ni, y_nj, y_nw, SCALE, FIRST)
    outputs = tl.program_id(1) * TILE_OUT + tl.arange(0, TILE_OUT)
    total = tl.zeros([TILE_OUT, TILE_IN, BLOCK], SUM)
    for line in range(WIDTH * WIDTH):
        seen, row = look(words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw,
                         b, i + line // WIDTH, j + line % WIDTH, k, there, WIDTH)  # fmt: skip
        for a in tl.static_range(WIDTH):
            from_row = features + row_in(seen, row, a) * C_IN
            slot = line * WIDTH + a
            if SCALE < 0:  # every voxel has weights of its own
                slot = (kind * (WIDTH * WIDTH * WIDTH) + slot)[None, None, :]
            for first in range(0, C_IN, TILE_IN):
                inputs = first + tl.arange(0, TILE_IN)
                x_mask = (inputs < C_IN)[:, None] & has(seen, a)[None, :]
                x = tl.load(from_row[None, :] + inputs[:, None], mask=x_mask, other=0).to(SUM)
                w_mask = ((outputs < C_OUT)[:, None] & (inputs < C_IN)[None, :])[:, :, None]
                w_at = (slot * C_OUT + outputs[:, None, None]) * C_IN + inputs[None, :, None]
                total += x[None, :, :] * tl.load(weights + w_at, mask=w_mask, other=0)
    to = out + n[None, :] * C_OUT + outputs[:, None]
    mask = there[None, :] & (outputs < C_OUT)[:, None]
    tl.store(to, tl.sum(total, axis=1).to(out.dtype.element_ty), mask=mask)


@tuned((128, 4, 3))
def correlate(positions, rows, y_i, y_j, y_w, y_ni, y_nj, y_nw,
              words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw,
              features, gradient, out, length,
              SCALE: tl.constexpr, FIRST: tl.constexpr, WIDTH: tl.constexpr,
              C_IN: tl.constexpr, C_OUT: tl.constexpr,
              TILE_IN: tl.constexpr, TILE_OUT: tl.constexpr, SUM: tl.constexpr,
              BLOCK: tl.constexpr):  # fmt: skip
    """Gradients (part, parity and position, C_IN, C_OUT) of weights, from `length` rows each."""
    span, slot = tl.program_id(0).to(tl.int64), tl.program_id(1)
    parity, line = slot // (WIDTH * WIDTH * WIDTH), slot // WIDTH % (WIDTH * WIDTH)
    a = slot % WIDTH
    tiles = tl.cdiv(C_OUT, TILE_OUT)
    inputs = tl.program_id(2) // tiles * TILE_IN + tl.arange(0, TILE_IN)
    outputs = tl.program_id(2) % tiles * TILE_OUT + tl.arange(0, TILE_OUT)
    total = tl.zeros([TILE_IN, TILE_OUT, BLOCK], SUM)
    for begin in range(0, length, BLOCK):
        n = span * length + begin + tl.arange(0, BLOCK)
        there = (n < rows) & (begin + tl.arange(0, BLOCK) < length)
        seen, row = look_from(positions, n, there, y_i, y_j, y_w, y_ni, y_nj, y_nw,
                              words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw,
                              parity, line, SCALE, FIRST, WIDTH)  # fmt: skip
        there = has(seen, a)
        x_mask = there[None, :] & (inputs < C_IN)[:, None]
        x_at = (row_in(seen, row, a) * C_IN)[None, :] + inputs[:, None]
        x = tl.load(features + x_at, mask=x_mask, other=0).to(SUM)
        y_mask = there[None, :] & (outputs < C_OUT)[:, None]
        y_at = n[None, :] * C_OUT + outputs[:, None]
        y = tl.load(gradient + y_at, mask=y_mask, other=0).to(SUM)
        total += x[:, None, :] * y[None, :, :]
    at = ((span * tl.num_programs(1) + slot) * C_IN + inputs)[:, None] * C_OUT + outputs[None, :]
    mask = (inputs < C_IN)[:, None] & (outputs < C_OUT)[None, :]
    tl.store(out + at, tl.sum(total, axis=2), mask=mask)
