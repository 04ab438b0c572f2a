"""Compiled: rows of voxels to planes of a line, one for each channel, and back.

A plane has a position for every voxel of a target line and margins on either side, and holds zero
where there is no voxel. Voxels come in runs, whose rows are adjacent: so vectors are moved, not
voxels, and what a vector brings too much is zero, or overwritten by the next run.
"""

# mypy: ignore-errors
# (Numba infers the types; LLVM's builders have none)

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core.extending import intrinsic

from zoo.sparse.backends.bitmap.cpu.bits import lowest, peek, poke
from zoo.sparse.backends.bitmap.cpu.lanes import Lanes, clear
from zoo.sparse.backends.bitmap.cpu.parts import inline

U = np.uint64
MARGIN = 16  # voxels on either side of a plane, as windows look past the ends of a line


def spread_kernel(channels: int, twice: bool) -> Any:
    """Rows to planes: a vector of rows (LANES, channels) becomes a vector in each plane."""

    @intrinsic
    def spread_rows(context, planes, at, length, x, x_at, count):
        """planes[at + c * length + n] = x[x_at + n * channels + c], n < count, and 0 up to LANES.

        With `twice` every voxel is written to two neighbouring positions.
        """

        def generate(context, builder, signature, arguments):
            planes, at, length, x, x_at, count = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0])
            rows = Lanes(context, builder, kinds[3], channels)
            inside = lanes.below(count)
            joined = rows.load(rows.pointer(kinds[3], x, x_at))
            for c in range(channels):
                values = lanes.take(joined, range(c, channels * lanes.width, channels))
                values = builder.select(inside, values, lanes.zero)
                start = builder.add(at, builder.mul(length, length.type(c)))
                if not twice:
                    lanes.store(values, lanes.pointer(kinds[0], planes, start))
                    continue
                for half in range(2):
                    first = half * lanes.width
                    part = lanes.take(values, [(first + n) // 2 for n in range(lanes.width)])
                    to = builder.add(start, start.type(first))
                    lanes.store(part, lanes.pointer(kinds[0], planes, to))
            return context.get_dummy_value()

        n = types.intp
        return types.void(planes, n, n, x, n, n), generate

    return spread_rows


def gather_kernel(channels: int) -> Any:
    """Planes to rows, the inverse."""

    @intrinsic
    def gather_rows(context, out, out_at, planes, at, length):
        """out[out_at + n * channels + c] = planes[at + c * length + n], n < LANES."""

        def generate(context, builder, signature, arguments):
            out, out_at, planes, at, length = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[2])
            rows = Lanes(context, builder, kinds[0], channels)
            starts = [builder.add(at, builder.mul(length, length.type(c))) for c in range(channels)]
            planes = [lanes.load(lanes.pointer(kinds[2], planes, start)) for start in starts]
            order = [c * lanes.width + n for n in range(lanes.width) for c in range(channels)]
            rows.store(lanes.take(lanes.join(planes), order), rows.pointer(kinds[0], out, out_at))
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, planes, n, n), generate

    return gather_rows


spread_1, spread_2, spread_4 = (spread_kernel(channels, False) for channels in (1, 2, 4))
twice_1, twice_2, twice_4 = (spread_kernel(channels, True) for channels in (1, 2, 4))
gather_1, gather_2, gather_4 = (gather_kernel(channels) for channels in (1, 2, 4))


@inline
def line_length(target):
    return 64 * target.words.shape[3] + 4 * MARGIN


@inline
def spread_run(planes, to, length, x, at, run, channels, twice, lanes):
    """Write the rows of a run of voxels to planes, or `twice` each, and some zeros after it."""
    while run > 0 and at + lanes * channels <= x.size and channels in (1, 2, 4):
        if channels == 1:
            if not twice:
                spread_1(planes, to, length, x, at, run)
            else:
                twice_1(planes, to, length, x, at, run)
        elif channels == 2:
            if not twice:
                spread_2(planes, to, length, x, at, run)
            else:
                twice_2(planes, to, length, x, at, run)
        elif not twice:
            spread_4(planes, to, length, x, at, run)
        else:
            twice_4(planes, to, length, x, at, run)
        at += lanes * channels
        to += lanes << twice
        run -= lanes
    while run > 0:
        for c in range(channels):
            for n in range(1 + twice):
                poke(planes, to + n + c * length, peek(x, at + c))
        at += channels
        to += 1 << twice
        run -= 1


@inline
def wipe(planes, first, length, channels, source, line, twice, start, lanes):
    """Write zeros where `spread` wrote a source line."""
    depth = source.words.shape[3]
    for w in range(depth):
        if peek(source.words, line * depth + w):
            to = ((64 * (source.w + w)) << twice) - start
            end = min(to + ((64 + MARGIN) << twice), length)
            to = max(to, 0)
            for c in range(channels):
                clear(planes, first + c * length + to, (end - to) // lanes)


@inline
def spread(planes, first, length, x, channels, source, line, twice, start, lanes):
    """Write a source line to planes (C, length) at `first`; their position 0 is voxel `start`."""
    depth = source.words.shape[3]
    for w in range(depth):
        word = peek(source.words, line * depth + w)
        row = np.int64(peek(source.rank, line * depth + w))
        k = 64 * (source.w + w)
        while word:
            gap = lowest(word)
            run = lowest(~(word >> U(gap)))
            to = ((k + gap) << twice) - start
            before = max(-to, 0) >> twice
            inside = min(run, (length - 2 * MARGIN - to) >> twice) - before
            at, to = (row + before) * channels, first + to + (before << twice)
            spread_run(planes, to, length, x, at, inside, channels, twice, lanes)
            row += run
            k += gap + run
            word = word >> U(gap) >> U(run) if gap + run < 64 else U(0)


@inline
def gather_run(out, at, end, planes, position, length, run, channels, lanes):
    """Write a run of voxels to rows, from planes; rows up to `end` may be overwritten after it."""
    while run > 0 and at + lanes * channels <= end and channels in (1, 2, 4):
        if channels == 1:
            gather_1(out, at, planes, position, length)
        elif channels == 2:
            gather_2(out, at, planes, position, length)
        else:
            gather_4(out, at, planes, position, length)
        at += lanes * channels
        position += lanes
        run -= lanes
    while run > 0:
        for c in range(channels):
            poke(out, at + c, peek(planes, position + c * length))
        at += channels
        position += 1
        run -= 1


@inline
def gather(out, end, planes, length, target, line, lanes):
    """Write the occupied voxels of a line to rows, from planes (C, length)."""
    channels, depth = out.shape[1], target.words.shape[3]
    for w in range(depth):
        word, position = peek(target.words, line * depth + w), MARGIN + 64 * w
        row = np.int64(peek(target.rank, line * depth + w))
        while word:
            gap = lowest(word)
            run = lowest(~(word >> U(gap)))
            position += gap
            gather_run(out, row * channels, end, planes, position, length, run, channels, lanes)
            row += run
            position += run
            word = word >> U(gap) >> U(run) if gap + run < 64 else U(0)
