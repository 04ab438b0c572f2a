"""Compiled convolution for very few channels: a vector of neighbouring voxels at once.

Along k a level is nearly dense where it has anything: about half of the 16 neighbours of an
occupied voxel are occupied, too. So the source lines in sight are spread out, a plane for each
channel, and sums are made for LANES target voxels at a time, of which the occupied ones are kept.
Weights are packed as (parity of i and j, block of outputs, line, position in the window, C_in,
OUTPUTS, LANES).
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

from zoo.sparse.backends.bitmap.cpu.bits import peek
from zoo.sparse.backends.bitmap.cpu.lanes import Lanes, aligned
from zoo.sparse.backends.bitmap.cpu.narrow import split_outputs
from zoo.sparse.backends.bitmap.cpu.parts import bare, inline, part
from zoo.sparse.backends.bitmap.cpu.runtime import jit
from zoo.sparse.backends.bitmap.cpu.spreading import MARGIN, gather, line_length, spread, wipe
from zoo.sparse.backends.bitmap.cpu.windows import enter_line, is_empty, new_view

U = np.uint64
OUTPUTS = 2
GROUPS = 2


def planes_kernel(outputs: int, groups: int) -> Any:
    """A product over steps, for `groups` vectors of neighbouring voxels and `outputs` at once."""

    @intrinsic
    def multiply_planes(
        context, out, at, length, planes, steps, count, weights, matrix, positions, first
    ):
        """Sum over steps of planes * weights, for the vectors at positions[first + group].

        out is `outputs` planes of `length` from `at` on. steps (count, 2) holds positions in
        planes, to which the vector's is added, and in weights (outputs, LANES), counted from
        `matrix` on.
        """

        def generate(context, builder, signature, arguments):
            out, at, length, planes, steps, count, weights, matrix, positions, first = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0])
            kernel = lanes.pointer(kinds[6], weights, matrix)
            first_position = lanes.pointer(kinds[8], positions, first)
            positions = [
                builder.load(builder.gep(first_position, [count.type(n)])) for n in range(groups)
            ]
            starts = [lanes.pointer(kinds[3], planes, position) for position in positions]
            sums = [lanes.variables([lanes.zero] * outputs) for _ in range(groups)]
            with cgutils.for_range(builder, count) as loop:
                step = lanes.pointer(kinds[4], steps, builder.shl(loop.index, count.type(1)))
                source = builder.load(step)
                row = builder.gep(kernel, [builder.load(builder.gep(step, [count.type(1)]))])
                factors = [lanes.load(lanes.row(row, count.type(o))) for o in range(outputs)]
                for start, totals in zip(starts, sums, strict=True):
                    x = lanes.load(builder.gep(start, [source]))
                    for factor, total in zip(factors, totals, strict=True):
                        lanes.multiply_add(x, factor, total)
            for position, totals in zip(positions, sums, strict=True):
                for o, total in enumerate(totals):
                    column = builder.add(at, builder.mul(length, length.type(o)))
                    to = lanes.pointer(kinds[0], out, builder.add(column, position))
                    lanes.store(builder.load(total), to)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, n, planes, steps, n, weights, n, positions, n), generate

    return multiply_planes


def outer_kernel(outputs: int) -> Any:
    """A sum over vectors of neighbouring voxels that stays in registers, for one step."""

    @intrinsic
    def add_planes(context, out, at, planes, start, gradient, first, length, positions, count):
        """out (outputs, LANES) from `at` on += sum over positions of planes * gradient.

        planes is read at start + position; gradient is `outputs` planes of `length` from `first`
        on, read at position.
        """

        def generate(context, builder, signature, arguments):
            out, at, planes, start, gradient, first, length, positions, count = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0])
            to = lanes.pointer(kinds[0], out, at)
            left = lanes.pointer(kinds[2], planes, start)
            right = lanes.pointer(kinds[4], gradient, first)
            offsets = lanes.pointer(kinds[7], positions, count.type(0))
            rows = [lanes.row(to, count.type(n)) for n in range(outputs)]
            sums = lanes.variables([lanes.load(row) for row in rows])
            with cgutils.for_range(builder, count) as loop:
                position = builder.load(builder.gep(offsets, [loop.index]))
                x = lanes.load(builder.gep(left, [position]))
                for n, total in enumerate(sums):
                    column = builder.add(position, builder.mul(length, count.type(n)))
                    lanes.multiply_add(x, lanes.load(builder.gep(right, [column])), total)
            for total, row in zip(sums, rows, strict=True):
                lanes.store(builder.load(total), row)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, planes, n, gradient, n, n, positions, n), generate

    return add_planes


multiply_groups = planes_kernel(OUTPUTS, GROUPS)
add_groups = outer_kernel(OUTPUTS)


def pack(kernel: torch.Tensor, rows: torch.Tensor, width: int, lanes: int) -> torch.Tensor:
    """Kernel (K, C_in, C_out) as the compiled code has it, zero beyond C_out."""
    along_k = 2 if len(kernel) > width**3 else 1
    shape = -1, along_k, width * width, width
    matrices = split_outputs(kernel, OUTPUTS)[rows].unflatten(0, shape)
    # "parity of i and j, of k, line, position, channel, block, output -> ..."
    ordered = matrices.permute(0, 5, 2, 3, 4, 6, 1)
    return ordered.tile(lanes // along_k).contiguous()


def unpack(packed: torch.Tensor, c_in: int, c_out: int) -> torch.Tensor:
    """The adjoint of `pack`, but for the order of rows: sums over what it repeats."""
    along_k = 2 if len(packed) > 1 else 1
    matrices = packed.unflatten(-1, (-1, along_k)).sum(-2).permute(0, 6, 2, 3, 4, 1, 5)
    return matrices.flatten(-2)[..., :c_out]


class Planes(NamedTuple):
    """Source lines spread out, as a target line meets them.

    Attributes:
        values: (slots, C_in, length): slots for source lines, planes for their channels.
        held: (slots,) which source line a slot holds, -1 for none.
        steps: (steps, 2) positions in `values` and in the weights of all that is to be multiplied.
        groups: (groups,) position of every vector of target voxels that has occupied ones.
    """

    values: NDArray[np.floating]
    held: NDArray[np.int64]
    steps: NDArray[np.int64]
    groups: NDArray[np.int64]


@part
def new_planes(target, relation, channels, like):
    lines, length = relation.width * relation.width, line_length(target)
    values = aligned(lines * channels * length, like)
    return Planes(
        values.reshape(lines, channels, length),
        np.full(lines, -1),
        np.empty((lines * relation.width * channels, 2), np.int64),
        np.empty(length, np.int64),
    )


@inline
def list_steps(planes, view, source, target, relation, x, stride, lanes):
    """Spread the source lines of the line entered and list the steps; returns how many."""
    twice, width = np.int64(relation.scale < 0), relation.width
    _, channels, length = planes.values.shape
    count = 0
    for a in range(width * width):
        line = view.lines[a]
        if line < 0 or is_empty(source, line):
            continue
        slot = a - a % width + line % width  # the next target line needs most of them again
        held, first = planes.held[slot], slot * channels * length
        if held != line:
            start, to = 64 * target.w - MARGIN, planes.values
            if held >= 0:
                wipe(to, first, length, channels, source, held, twice, start, lanes)
            spread(to, first, length, x, channels, source, line, twice, start, lanes)
            planes.held[slot] = line
        for position in range(width):
            shift = (relation.first + position) << twice
            for c in range(channels):
                planes.steps[count, 0] = first + c * length + shift
                planes.steps[count, 1] = ((a * width + position) * channels + c) * stride
                count += 1
    return count


@inline
def list_groups(planes, target, line, lanes):
    """List the vectors of a line that have occupied voxels; returns how many."""
    depth, count = target.words.shape[3], 0
    some = (U(1) << U(lanes)) - U(1)
    for w in range(depth):
        word, at = peek(target.words, line * depth + w), MARGIN + 64 * w
        while word:
            if word & some:
                planes.groups[count] = at
                count += 1
            word >>= U(lanes)
            at += lanes
    for n in range(count, count + GROUPS - 1):  # fill up the last tile
        planes.groups[n] = planes.groups[max(count - 1, 0)]
    return count


@inline
def enter(planes, view, source, target, relation, line, x, lanes):
    """Make ready for a target line; returns its parity of i and j, the steps and the groups."""
    parity = enter_line(view, source, target, relation, line) >> 1
    count = list_steps(planes, view, source, target, relation, x, OUTPUTS * lanes, lanes)
    return parity, count, list_groups(planes, target, line, lanes)


@jit
def convolve(_, begin, end, target, source, relation, features, weights, out):
    """out[p] = sum over the relation of features[q] @ weights, for a span of target lines."""
    _, blocks, lines, _, channels, _, _ = weights.shape
    view, planes = new_view(lines), new_planes(target, relation, channels, features)
    sums = aligned(blocks * OUTPUTS * line_length(target), features)
    convolve_span(begin, end, target, source, relation, features, weights, out, view, planes, sums)


@bare
def convolve_span(begin, end, target, source, relation, x, weights, out, view, planes, sums):
    _, blocks, lines, width, channels, _, lanes = weights.shape
    size, length = lines * width * channels * OUTPUTS * lanes, line_length(target)
    last = np.int64(target.rank[end * target.words.shape[3]]) * out.shape[1]
    for line in range(begin, end):
        if is_empty(target, line):
            continue
        parity, count, groups = enter(planes, view, source, target, relation, line, x, lanes)
        for block in range(blocks):
            at, matrix = block * OUTPUTS * length, (parity * blocks + block) * size
            for n in range(0, groups, GROUPS):
                multiply_groups(
                    sums, at, length, planes.values, planes.steps, count,
                    weights, matrix, planes.groups, n,
                )  # fmt: skip
        gather(out, last, sums, length, target, line, lanes)


@jit
def correlate(number, begin, end, target, source, relation, features, gradient, out):
    """Add the gradient of `convolve` with respect to its weights, of a span, to out[number]."""
    part = out[number]
    _, blocks, lines, _, channels, _, _ = part.shape
    view, planes = new_view(lines), new_planes(target, relation, channels, features)
    here = aligned(blocks * OUTPUTS * line_length(target), features)
    correlate_span(
        begin, end, target, source, relation, features, gradient, part, view, planes, here
    )


@bare
def correlate_span(begin, end, target, source, relation, x, gradient, out, view, planes, here):
    _, blocks, lines, width, channels, _, lanes = out.shape
    size, length = lines * width * channels * OUTPUTS * lanes, line_length(target)
    start, outputs = 64 * target.w - MARGIN, gradient.shape[1]
    for line in range(begin, end):
        if is_empty(target, line):
            continue
        parity, count, groups = enter(planes, view, source, target, relation, line, x, lanes)
        spread(here, 0, length, gradient, outputs, target, line, 0, start, lanes)
        for block in range(blocks):
            matrix = (parity * blocks + block) * size
            for n in range(count):
                at = matrix + planes.steps[n, 1]
                add_groups(
                    out, at, planes.values, planes.steps[n, 0],
                    here, block * OUTPUTS * length, length, planes.groups, groups,
                )  # fmt: skip
        wipe(here, 0, length, outputs, target, line, 0, start, lanes)
