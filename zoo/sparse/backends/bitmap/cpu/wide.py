"""Compiled convolution for many channels: for some hundred rows at a time, offset by offset.

The pairs (target row, source row) of every kernel offset are listed for a batch of target rows that
fits into the cache. Then each matrix of weights is loaded once a batch, and each of its rows serves
several pairs in registers. Weights are packed as (matrix, block of outputs, C_in, LANES), a matrix
being (parity, line, position in the window); there are one or two registers of LANES.
"""

# mypy: ignore-errors
# (Numba infers the types; LLVM's builders have none)

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic
from numpy.typing import NDArray

from zoo.sparse.backends.bitmap.cpu.bits import lowest, popcount
from zoo.sparse.backends.bitmap.cpu.lanes import REGISTER_BYTES, Lanes, aligned
from zoo.sparse.backends.bitmap.cpu.narrow import split_outputs
from zoo.sparse.backends.bitmap.cpu.parts import bare, inline, part
from zoo.sparse.backends.bitmap.cpu.runtime import jit
from zoo.sparse.backends.bitmap.cpu.windows import (
    chunks_per_word,
    enter_line,
    is_empty,
    look,
    new_view,
    shifted,
    voxels,
    window,
)

U = np.uint64
BATCH = 256


def rows_kernel(rows: int, registers: int) -> Any:
    """A product that uses every weight it loads for several rows."""

    @intrinsic
    def multiply_rows(
        context, out, out_at, to, x, rows_of_x, at, weights, weights_at, channels, stride
    ):
        """out[to[n]] += x[rows_of_x[n]] @ weights (channels, LANES) for `rows` numbers n from `at`.

        to and rows_of_x hold numbers of rows of `stride` and `channels` columns; out is written
        from column out_at on.
        """

        def generate(context, builder, signature, arguments):
            out, out_at, to, x, rows_of_x, at, weights, weights_at, channels, stride = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0], registers)

            def starts(kind, array, kind_of_numbers, row_numbers, columns, column):
                first = lanes.pointer(kind_of_numbers, row_numbers, at)
                for n in range(rows):
                    number = builder.load(builder.gep(first, [at.type(n)]))
                    first_value = builder.mul(builder.sext(number, at.type), columns)
                    yield lanes.pointer(kind, array, builder.add(first_value, column))

            sources = list(starts(kinds[3], x, kinds[4], rows_of_x, channels, at.type(0)))
            targets = list(starts(kinds[0], out, kinds[2], to, stride, out_at))
            weights = lanes.pointer(kinds[6], weights, weights_at)
            sums = lanes.variables([lanes.load(target) for target in targets])
            with cgutils.for_range(builder, channels) as loop:
                row = lanes.load(lanes.row(weights, loop.index))
                for source, total in zip(sources, sums, strict=True):
                    factor = lanes.broadcast(builder.gep(source, [loop.index]))
                    lanes.multiply_add(factor, row, total)
            for total, target in zip(sums, targets, strict=True):
                lanes.store(builder.load(total), target)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, to, x, rows_of_x, n, weights, n, n, n), generate

    return multiply_rows


def pairs_kernel(channels_at_once: int, registers: int) -> Any:
    """A sum of outer products that stays in registers over all pairs of rows."""

    @intrinsic
    def multiply_pairs(
        context, out, out_at, x, rows_of_x, channel, channels, y, rows_of_y, y_at, stride, count
    ):
        """Add the sum over n of outer(x[rows_of_x[n], channel:], y[rows_of_y[n]]) to a tile of out.

        The tile is (channels_at_once, LANES) from out_at on. x and y are flat with `channels` and
        `stride` columns; y is read from column y_at on.
        """

        def generate(context, builder, signature, arguments):
            out, out_at, x, rows_of_x, channel, channels, y, rows_of_y, y_at, stride, count = (
                arguments
            )
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0], registers)
            out = lanes.pointer(kinds[0], out, out_at)
            one = lanes.pointer(kinds[3], rows_of_x, count.type(0))
            other = lanes.pointer(kinds[7], rows_of_y, count.type(0))
            tile = [lanes.row(out, count.type(n)) for n in range(channels_at_once)]
            sums = lanes.variables([lanes.load(row) for row in tile])

            def position(row_numbers, n, columns, column):
                number = builder.sext(builder.load(builder.gep(row_numbers, [n])), count.type)
                return builder.add(builder.mul(number, columns), column)

            with cgutils.for_range(builder, count) as loop:
                left = lanes.pointer(kinds[2], x, position(one, loop.index, channels, channel))
                right = lanes.load(
                    lanes.pointer(kinds[6], y, position(other, loop.index, stride, y_at))
                )
                for n, total in enumerate(sums):
                    factor = lanes.broadcast(builder.gep(left, [count.type(n)]))
                    lanes.multiply_add(factor, right, total)
            for total, row in zip(sums, tile, strict=True):
                lanes.store(builder.load(total), row)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, x, rows_of_x, n, n, y, rows_of_y, n, n, n), generate

    return multiply_pairs


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


@part
def new_pairs(matrices):
    rows = np.zeros((2, matrices, BATCH + EIGHT), np.int32)
    return Pairs(np.zeros(matrices, np.int64), rows[0], rows[1])


@inline
def collect(pairs, view, found, relation, lines, plane, word, row):
    """Add the pairs of a chunk, whose first target row is `row`."""
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
            position = (matrix * blocks + block) * channels * lanes
            at, stride = block * lanes, blocks * lanes
            for n in range(0, count, rows):
                if two:
                    four_rows(sums, at, here, x, near, n, weights, position, channels, stride)
                else:
                    eight_rows(sums, at, here, x, near, n, weights, position, channels, stride)
        pairs.count[matrix] = 0


@inline
def finish_rows(pairs, x, weights, sums, out, first, filled):
    """Write a batch of `filled` rows of out from row `first` on; then forget it."""
    multiply(pairs, x, weights.shape[2], weights, sums)
    for n in range(filled):
        for c in range(out.shape[1]):
            out[first + n, c] = sums[n, c]
    sums[:filled] = 0


@inline
def finish_gradient(pairs, x, out, y, gradient, first, filled):
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


def walk_batches(finish):
    """What goes through a span of target lines and lists the pairs of their voxels, in batches.

    `finish` takes the pairs of a batch: it multiplies source rows, weights (or their gradient) and
    target rows, the last in a buffer that has whole vectors.
    """

    @bare
    def walk(begin, end, target, source, relation, x, weights, rows, view, pairs, buffer):
        chunks = target.words.shape[3] * chunks_per_word(relation)
        lines = relation.width * relation.width
        first, filled = np.int64(target.rank[begin * target.words.shape[3]]), 0
        for line in range(begin, end):
            if is_empty(target, line):
                continue
            plane = enter_line(view, source, target, relation, line)
            for chunk in range(chunks):
                word, row = voxels(target, relation, line, chunk)
                if not word:
                    continue
                found = look(view, source, target, relation, chunk)
                count = popcount(word)
                if filled + count > BATCH:
                    finish(pairs, x, weights, buffer, rows, first, filled)
                    first, filled = row, 0
                collect(pairs, view, found, relation, lines, plane, word, filled)
                filled += count
        finish(pairs, x, weights, buffer, rows, first, filled)

    return walk


walk_forward = walk_batches(finish_rows)
walk_gradient = walk_batches(finish_gradient)


@jit
def convolve(_, begin, end, target, source, relation, features, weights, out):
    """out[p] = sum over the relation of features[q] @ weights, for a span of target lines."""
    matrices, blocks, _, lanes = weights.shape
    view, pairs = new_view(relation.width * relation.width), new_pairs(matrices)
    sums = aligned((BATCH + 1) * blocks * lanes, features).reshape(BATCH + 1, blocks * lanes)
    walk_forward(begin, end, target, source, relation, features, weights, out, view, pairs, sums)


@jit
def correlate(number, begin, end, target, source, relation, features, gradient, out):
    """Add the gradient of `convolve` with respect to its weights, of a span, to out[number]."""
    part = out[number]
    matrices, blocks, _, lanes = part.shape
    view, pairs = new_view(relation.width * relation.width), new_pairs(matrices)
    y = aligned(BATCH * blocks * lanes, features).reshape(BATCH, blocks * lanes)
    walk_gradient(begin, end, target, source, relation, features, part, gradient, view, pairs, y)
