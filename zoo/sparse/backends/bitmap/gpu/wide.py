"""Kernels for many channels: implicit products of matrices, on the GPU's matrix units.

A line of a window at a time: its voxels and their channels are packed into the dimension that the
product sums over, gathered straight from the features. Lines that no row of a block has anything on
are left out. Sums are float32.
"""

# mypy: ignore-errors
# (Triton infers the types)

import triton.language as tl

from zoo.sparse.backends.bitmap.gpu.bits import some
from zoo.sparse.backends.bitmap.gpu.runtime import part, tuned
from zoo.sparse.backends.bitmap.gpu.windows import has, look, look_from, row_in, window_of


@part
def gather(features, seen, row, first, C_IN: tl.constexpr, TILE_IN: tl.constexpr,
           WINDOW: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Channels from `first` on of all voxels of a window: (BLOCK, WINDOW TILE_IN)."""
    a = tl.arange(0, WINDOW)[None, :]
    inputs = first + tl.arange(0, TILE_IN)[None, None, :]
    mask = has(seen[:, None], a)[:, :, None] & (inputs < C_IN)
    at = (row_in(seen[:, None], row[:, None], a) * C_IN)[:, :, None] + inputs
    x = tl.load(features + at, mask=mask, other=0)
    return tl.reshape(x, [BLOCK, WINDOW * TILE_IN])


@tuned((128, 4, 3), (64, 4, 3), (128, 8, 3))
def convolve(positions, rows, y_i, y_j, y_w, y_ni, y_nj, y_nw,
             words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw,
             features, weights, out,
             SCALE: tl.constexpr, FIRST: tl.constexpr, WIDTH: tl.constexpr,
             C_IN: tl.constexpr, C_OUT: tl.constexpr,
             TILE_IN: tl.constexpr, TILE_OUT: tl.constexpr, PRECISION: tl.constexpr,
             BLOCK: tl.constexpr):  # fmt: skip
    """Features (N, C_IN) on x, weights (parity, position, C_IN, C_OUT) -> out (N', C_OUT) on y."""
    WINDOW: tl.constexpr = 4 if WIDTH > 2 else WIDTH
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = n < rows
    kind, b, i, j, k = window_of(positions, n, there, y_i, y_j, y_w, y_ni, y_nj, y_nw, SCALE, FIRST)
    packed = tl.arange(0, WINDOW * TILE_IN)[:, None]
    outputs = tl.program_id(1) * TILE_OUT + tl.arange(0, TILE_OUT)[None, :]
    w_known = (packed // TILE_IN < WIDTH) & (outputs < C_OUT)
    total = tl.zeros([BLOCK, TILE_OUT], tl.float32)
    for parity in range(8 if SCALE < 0 else 1):
        mine = there & (kind == parity)
        if some(mine):
            for line in range(WIDTH * WIDTH):
                seen, row = look(words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw, b,
                                 i + line // WIDTH, j + line % WIDTH, k, mine, WIDTH)  # fmt: skip
                if some(seen):
                    slot = (parity * WIDTH * WIDTH + line) * WIDTH + packed // TILE_IN
                    for first in range(0, C_IN, TILE_IN):
                        x = gather(features, seen, row, first, C_IN, TILE_IN, WINDOW, BLOCK)
                        inputs = first + packed % TILE_IN
                        w_at = (slot * C_IN + inputs) * C_OUT + outputs
                        w = tl.load(weights + w_at, mask=w_known & (inputs < C_IN), other=0)
                        total = tl.dot(x, w, total, input_precision=PRECISION)
    to = out + n[:, None] * C_OUT + outputs
    tl.store(to, total.to(out.dtype.element_ty), mask=there[:, None] & (outputs < C_OUT))


@tuned((64, 4, 3))
def correlate(positions, rows, y_i, y_j, y_w, y_ni, y_nj, y_nw,
              words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw,
              features, gradient, out, length,
              SCALE: tl.constexpr, FIRST: tl.constexpr, WIDTH: tl.constexpr,
              C_IN: tl.constexpr, C_OUT: tl.constexpr,
              TILE_IN: tl.constexpr, TILE_OUT: tl.constexpr, PRECISION: tl.constexpr,
              BLOCK: tl.constexpr):  # fmt: skip
    """Gradients (part, parity and position, C_IN, C_OUT) of weights, from `length` rows each."""
    WINDOW: tl.constexpr = 4 if WIDTH > 2 else WIDTH
    span, number = tl.program_id(0).to(tl.int64), tl.program_id(1)
    parity, line = number // (WIDTH * WIDTH), number % (WIDTH * WIDTH)
    tiles = tl.cdiv(C_OUT, TILE_OUT)
    first = tl.program_id(2) // tiles * TILE_IN
    outputs = tl.program_id(2) % tiles * TILE_OUT + tl.arange(0, TILE_OUT)[None, :]
    total = tl.zeros([WINDOW * TILE_IN, TILE_OUT], tl.float32)
    for begin in range(0, length, BLOCK):
        n = span * length + begin + tl.arange(0, BLOCK)
        there = (n < rows) & (begin + tl.arange(0, BLOCK) < length)
        seen, row = look_from(positions, n, there, y_i, y_j, y_w, y_ni, y_nj, y_nw,
                              words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw,
                              parity, line, SCALE, FIRST, WIDTH)  # fmt: skip
        if some(seen):
            x = gather(features, seen, row, first, C_IN, TILE_IN, WINDOW, BLOCK)
            y_mask = (seen != 0)[:, None] & (outputs < C_OUT)
            y = tl.load(gradient + n[:, None] * C_OUT + outputs, mask=y_mask, other=0)
            total = tl.dot(tl.trans(x), y, total, input_precision=PRECISION)
    packed = tl.arange(0, WINDOW * TILE_IN)[:, None]
    inputs = first + packed % TILE_IN
    slot = (span * tl.num_programs(1) + number) * WIDTH + packed // TILE_IN
    mask = (packed // TILE_IN < WIDTH) & (inputs < C_IN) & (outputs < C_OUT)
    tl.store(out + (slot * C_IN + inputs) * C_OUT + outputs, total, mask=mask)
