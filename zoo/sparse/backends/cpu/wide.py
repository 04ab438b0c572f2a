"""Compiled convolution for many channels: for some hundred rows at a time, offset by offset.

The pairs (target row, source row) of every kernel offset are listed for a batch of target rows that
fits into the cache. Then each matrix of weights is loaded once a batch, and each of its rows serves
several pairs in registers. Weights are packed as (matrix, block of outputs, C_in, LANES), a matrix
being (parity, line, place in the window); there are one or two registers of LANES.
"""

# mypy: ignore-errors
# (Numba infers the types)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.sparse.backends.cpu.bits import lowest, popcount
from zoo.sparse.backends.cpu.lanes import REGISTER_BYTES, aligned
from zoo.sparse.backends.cpu.lanes_wide import pairs_kernel, rows_kernel
from zoo.sparse.backends.cpu.narrow import split_outputs
from zoo.sparse.backends.cpu.runtime import bare, inline, jit
from zoo.sparse.backends.cpu.windows import (
    enter_line,
    is_empty,
    look,
    new_view,
    pieces_per_word,
    shifted,
    voxels,
    window,
)

U = np.uint64
BATCH = 256
EIGHT, FOUR = 8, 4
eight_rows, four_rows = rows_kernel(EIGHT, 1), rows_kernel(FOUR, 2)
four_channels, one_channel = pairs_kernel(FOUR, 2), pairs_kernel(1, 2)
four_narrow, one_narrow = pairs_kernel(FOUR, 1), pairs_kernel(1, 1)


def pack(kernel: torch.Tensor, rows: torch.Tensor, width: int, lanes: int) -> torch.Tensor:
    """Kernel (K, C_in, C_out) as the compiled code has it, zero beyond C_out."""
    return split_outputs(kernel, lanes).movedim(-2, 1).index_select(0, rows)


def unpack(packed: torch.Tensor, c_in: int, c_out: int) -> torch.Tensor:
    """The inverse of `pack`, but for the order of rows."""
    return packed.movedim(1, -2).flatten(-2)[..., :c_out]


class Pairs(NamedTuple):
    """Rows that belong together, for one batch.

    Attributes:
        count: (matrices,) pairs of each matrix of weights.
        near: (matrices, BATCH + EIGHT) source rows.
        here: (matrices, BATCH + EIGHT) target rows, counted from the batch's first.
    """

    count: NDArray[np.int64]
    near: NDArray[np.int32]
    here: NDArray[np.int32]


@jit
def new_pairs(matrices):
    rows = np.zeros((2, matrices, BATCH + EIGHT), np.int32)
    return Pairs(np.zeros(matrices, np.int64), rows[0], rows[1])


@inline
def collect(pairs, view, found, relation, lines, plane, word, row):
    """Add the pairs of a piece, whose first target row is `row`."""
    width = relation.width
    while word:
        k = lowest(word)
        word &= word - U(1)
        parity = plane + (k & 1) if relation.scale < 0 else plane
        for n in range(found):
            bits, near = window(view, n, shifted(k, relation.scale), width)
            matrices = (parity * lines + view.which[n]) * width
            while bits:
                matrix = matrices + lowest(bits)
                at = pairs.count[matrix]
                pairs.near[matrix, at] = near
                pairs.here[matrix, at] = row
                pairs.count[matrix] = at + 1
                bits &= bits - U(1)
                near += 1
        row += 1


@inline
def multiply(pairs, x, channels, weights, sums):
    """Add the products of a batch to sums (BATCH + 1, blocks * LANES); then forget the pairs."""
    _, blocks, _, lanes = weights.shape
    two = lanes * sums.itemsize > REGISTER_BYTES
    rows = FOUR if two else EIGHT
    for matrix in range(len(pairs.count)):
        count = pairs.count[matrix]
        near, here = pairs.near[matrix], pairs.here[matrix]
        for n in range(count, count + rows - 1):  # fill up the last group with a row for nobody
            near[n], here[n] = near[0], BATCH
        for block in range(blocks):
            place = (matrix * blocks + block) * channels * lanes
            at, stride = block * lanes, blocks * lanes
            for n in range(0, count, rows):
                if two:
                    four_rows(sums, at, here, x, near, n, weights, place, channels, stride)
                else:
                    eight_rows(sums, at, here, x, near, n, weights, place, channels, stride)
        pairs.count[matrix] = 0


@inline
def finish_rows(pairs, x, weights, sums, filled, out, first):
    """Write a batch of `filled` rows of out from row `first` on; then forget it."""
    multiply(pairs, x, weights.shape[2], weights, sums)
    for n in range(filled):
        for c in range(out.shape[1]):
            out[first + n, c] = sums[n, c]
    sums[:filled] = 0


@jit
def convolve(_, begin, end, target, source, relation, features, weights, out):
    """out[p] = sum over the relation of features[q] @ weights, for a span of target lines."""
    matrices, blocks, _, lanes = weights.shape
    view, pairs = new_view(relation.width * relation.width), new_pairs(matrices)
    sums = aligned((BATCH + 1) * blocks * lanes, features).reshape(BATCH + 1, blocks * lanes)
    convolve_span(begin, end, target, source, relation, features, weights, out, view, pairs, sums)


@bare
def convolve_span(begin, end, target, source, relation, x, weights, out, view, pairs, sums):
    pieces = target.words.shape[3] * pieces_per_word(relation)
    lines = relation.width * relation.width
    first, filled = np.int64(target.rank[begin * target.words.shape[3]]), 0
    for line in range(begin, end):
        if is_empty(target, line):
            continue
        plane = enter_line(view, source, target, relation, line)
        for piece in range(pieces):
            word, row = voxels(target, relation, line, piece)
            if not word:
                continue
            found = look(view, source, target, relation, piece)
            count = popcount(word)
            if filled + count > BATCH:
                finish_rows(pairs, x, weights, sums, filled, out, first)
                first, filled = row, 0
            collect(pairs, view, found, relation, lines, plane, word, filled)
            filled += count
    finish_rows(pairs, x, weights, sums, filled, out, first)


@inline
def finish_gradient(pairs, x, gradient, y, filled, out, first):
    """Add to out (matrix, block, C_in, LANES) what a batch of target rows gives; then forget it."""
    for n in range(filled):
        for c in range(gradient.shape[1]):
            y[n, c] = gradient[first + n, c]
    matrices, blocks, channels, lanes = out.shape
    stride = blocks * lanes
    two = lanes * y.itemsize > REGISTER_BYTES
    for matrix in range(matrices):
        count = pairs.count[matrix]
        near, here = pairs.near[matrix], pairs.here[matrix]
        pairs.count[matrix] = 0
        for block in range(blocks if count else 0):
            at, c = block * lanes, 0
            while c < channels:
                to = ((matrix * blocks + block) * channels + c) * lanes
                whole = c + FOUR <= channels
                if whole and two:
                    four_channels(out, to, x, near, c, channels, y, here, at, stride, count)
                elif whole:
                    four_narrow(out, to, x, near, c, channels, y, here, at, stride, count)
                elif two:
                    one_channel(out, to, x, near, c, channels, y, here, at, stride, count)
                else:
                    one_narrow(out, to, x, near, c, channels, y, here, at, stride, count)
                c += FOUR if whole else 1


@jit
def correlate(number, begin, end, target, source, relation, features, gradient, out):
    """Add the gradient of `convolve` with respect to its weights, of a span, to out[number]."""
    part = out[number]
    matrices, blocks, _, lanes = part.shape
    view, pairs = new_view(relation.width * relation.width), new_pairs(matrices)
    y = aligned(BATCH * blocks * lanes, features).reshape(BATCH, blocks * lanes)
    correlate_span(begin, end, target, source, relation, features, gradient, part, view, pairs, y)


@bare
def correlate_span(begin, end, target, source, relation, x, gradient, part, view, pairs, y):
    pieces = target.words.shape[3] * pieces_per_word(relation)
    lines = relation.width * relation.width
    first, filled = np.int64(target.rank[begin * target.words.shape[3]]), 0
    for line in range(begin, end):
        if is_empty(target, line):
            continue
        plane = enter_line(view, source, target, relation, line)
        for piece in range(pieces):
            word, row = voxels(target, relation, line, piece)
            if not word:
                continue
            found = look(view, source, target, relation, piece)
            count = popcount(word)
            if filled + count > BATCH:
                finish_gradient(pairs, x, gradient, y, filled, part, first)
                first, filled = row, 0
            collect(pairs, view, found, relation, lines, plane, word, filled)
            filled += count
    finish_gradient(pairs, x, gradient, y, filled, part, first)
