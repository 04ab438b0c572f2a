"""Compiled convolution for few channels: voxel by voxel, straight from the bitmap.

The voxels that follow each other in a window have adjacent rows, and their weights are adjacent
too: so each run of them is one product of a vector with a matrix. Weights are packed as (parity,
line, block of LANES outputs, position in the window, C_in, LANES).
"""

# mypy: ignore-errors
# (Numba infers the types; LLVM's builders have none)

from __future__ import annotations

import numpy as np
import torch
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from zoo.sparse.backends.bitmap.cpu.bits import lowest, peek, poke
from zoo.sparse.backends.bitmap.cpu.lanes import Lanes, aligned
from zoo.sparse.backends.bitmap.cpu.parts import bare, inline
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
CHAINS = 4  # sums in flight in `accumulate`: one alone would wait four cycles for every product


def pack(kernel: torch.Tensor, rows: torch.Tensor, width: int, lanes: int) -> torch.Tensor:
    """Kernel (K, C_in, C_out) as the compiled code has it, zero beyond C_out."""
    matrices = split_outputs(kernel, lanes)[rows].unflatten(0, (-1, width * width, width))
    return matrices.movedim(-2, 2).contiguous()


def unpack(packed: torch.Tensor, c_in: int, c_out: int) -> torch.Tensor:
    """The inverse of `pack`, but for the order of rows."""
    return packed.movedim(2, -2).flatten(-2)[..., :c_out]


def split_outputs(kernel: torch.Tensor, lanes: int) -> torch.Tensor:
    """(..., C_out) -> (..., blocks, lanes), zero beyond C_out."""
    blocks = -(-kernel.shape[-1] // lanes)
    missing = blocks * lanes - kernel.shape[-1]
    padded = torch.nn.functional.pad(kernel, (0, missing)) if missing else kernel
    return padded.unflatten(-1, (blocks, lanes))


@intrinsic
def accumulate(context, out, out_at, x, x_at, weights, weights_at, count):
    """out[:LANES] += x[:count] @ weights (count, LANES), each array from its own position on."""

    def generate(context, builder, signature, arguments):
        out, out_at, x, x_at, weights, weights_at, count = arguments
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[0])
        out, x = lanes.pointer(kinds[0], out, out_at), lanes.pointer(kinds[2], x, x_at)
        weights = lanes.pointer(kinds[4], weights, weights_at)
        sums = lanes.variables([lanes.load(out)] + [lanes.zero] * (CHAINS - 1))

        def step(total, n):
            factor = lanes.broadcast(builder.gep(x, [n]))
            lanes.multiply_add(factor, lanes.load(lanes.row(weights, n)), total)

        start, one, chains = count.type(0), count.type(1), count.type(CHAINS)
        whole = builder.and_(count, count.type(-CHAINS))
        with cgutils.for_range_slice(builder, start, whole, chains, count.type) as (n, _):
            for chain, total in enumerate(sums):
                step(total, builder.add(n, n.type(chain)))
        with cgutils.for_range_slice(builder, whole, count, one, count.type) as (n, _):
            step(sums[0], n)
        a, b, c, d = [builder.load(total) for total in sums]
        lanes.store(builder.fadd(builder.fadd(a, b), builder.fadd(c, d)), out)
        return context.get_dummy_value()

    n = types.intp
    return types.void(out, n, x, n, weights, n, n), generate


@intrinsic
def accumulate_outer(context, out, out_at, x, x_at, gradient, gradient_at, count):
    """out (count, LANES) += outer(x[:count], gradient[:LANES]), each from its own position on."""

    def generate(context, builder, signature, arguments):
        out, out_at, x, x_at, gradient, gradient_at, count = arguments
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[0])
        out, x = lanes.pointer(kinds[0], out, out_at), lanes.pointer(kinds[2], x, x_at)
        gradient = lanes.load(lanes.pointer(kinds[4], gradient, gradient_at))
        with cgutils.for_range(builder, count) as loop:
            row = lanes.row(out, loop.index)
            (total,) = lanes.variables([lanes.zero])
            builder.store(lanes.load(row), total)
            lanes.multiply_add(lanes.broadcast(builder.gep(x, [loop.index])), gradient, total)
            lanes.store(builder.load(total), row)
        return context.get_dummy_value()

    n = types.intp
    return types.void(out, n, x, n, gradient, n, n), generate


@inline
def clear_row(total, rows, row):
    for c in range(len(total)):
        total[c] = 0


@inline
def read_row(padded, rows, row):
    for c in range(rows.shape[1]):
        poke(padded, c, peek(rows, row * rows.shape[1] + c))


@inline
def write_row(total, rows, row):
    for c in range(rows.shape[1]):
        poke(rows, row * rows.shape[1] + c, peek(total, c))


@inline
def leave_row(padded, rows, row):
    pass


@inline
def multiply_run(total, at, x, from_x, weights, matrix, count):
    accumulate(total, at, x, from_x, weights, matrix, count)


@inline
def multiply_run_outer(padded, at, x, from_x, weights, matrix, count):
    accumulate_outer(weights, matrix, x, from_x, padded, at, count)


def walk_runs(begin_row, meet_run, end_row):
    """What goes through a span of target lines, voxel by voxel, and the runs in their windows.

    `begin_row` and `end_row` move a row of `rows` (N', C_out) to or from `buffer`, which has whole
    vectors; `meet_run` multiplies a run of source rows with that buffer and their weights.
    """

    @bare
    def walk(begin, end, target, source, relation, x, weights, rows, view, buffer):
        _, lines, blocks, width, channels, lanes = weights.shape
        chunks = target.words.shape[3] * chunks_per_word(relation)
        for line in range(begin, end):
            if is_empty(target, line):
                continue
            plane = enter_line(view, source, target, relation, line)
            for chunk in range(chunks):
                word, row = voxels(target, relation, line, chunk)
                if not word:
                    continue
                found = look(view, source, target, relation, chunk)
                while word:
                    k = lowest(word)
                    word &= word - U(1)
                    parity = plane + (k & 1) if relation.scale < 0 else plane
                    begin_row(buffer, rows, row)
                    for n in range(found):
                        bits, near = window(view, n, shifted(k, relation.scale), width)
                        matrices = (parity * lines + view.which[n]) * blocks
                        step = 0
                        while bits:
                            gap = lowest(bits)
                            bits >>= U(gap)
                            run = lowest(~bits)
                            bits >>= U(run)
                            step += gap
                            for block in range(blocks):
                                matrix = (matrices + block) * width + step
                                meet_run(
                                    buffer, block * lanes, x, near * channels,
                                    weights, matrix * channels * lanes, run * channels,
                                )  # fmt: skip
                            step += run
                            near += run
                    end_row(buffer, rows, row)
                    row += 1

    return walk


walk_forward = walk_runs(clear_row, multiply_run, write_row)
walk_gradient = walk_runs(read_row, multiply_run_outer, leave_row)


@jit
def convolve(_, begin, end, target, source, relation, features, weights, out):
    """out[p] = sum over the relation of features[q] @ weights, for a span of target lines."""
    _, lines, blocks, _, _, lanes = weights.shape
    total = aligned(blocks * lanes, features)
    view = new_view(lines)
    walk_forward(begin, end, target, source, relation, features, weights, out, view, total)


@jit
def correlate(number, begin, end, target, source, relation, features, gradient, out):
    """Add the gradient of `convolve` with respect to its weights, of a span, to out[number]."""
    part = out[number]
    _, lines, blocks, _, _, lanes = part.shape
    padded = aligned(blocks * lanes, features)
    view = new_view(lines)
    walk_gradient(begin, end, target, source, relation, features, part, gradient, view, padded)
