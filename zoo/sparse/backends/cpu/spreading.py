"""Compiled: rows of voxels to planes of a line, one for each channel, and back.

A plane has a place for every voxel of a target line and margins on either side, and holds zero
where there is no voxel. Voxels come in runs, whose rows are adjacent: so vectors are moved, not
voxels, and what a vector brings too much is zero, or overwritten by the next run.
"""

# mypy: ignore-errors
# (Numba infers the types)

from __future__ import annotations

import numpy as np

from zoo.sparse.backends.cpu.bits import lowest, peek, poke
from zoo.sparse.backends.cpu.lanes import clear
from zoo.sparse.backends.cpu.lanes_planes import gather_kernel, spread_kernel
from zoo.sparse.backends.cpu.runtime import inline

U = np.uint64
MARGIN = 16  # voxels on either side of a plane, as windows look past the ends of a line
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
    """Write a source line to planes (C, length) at `first`; their place 0 is voxel `start`."""
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
def gather_run(out, at, end, planes, place, length, run, channels, lanes):
    """Write a run of voxels to rows, from planes; rows up to `end` may be overwritten after it."""
    while run > 0 and at + lanes * channels <= end and channels in (1, 2, 4):
        if channels == 1:
            gather_1(out, at, planes, place, length)
        elif channels == 2:
            gather_2(out, at, planes, place, length)
        else:
            gather_4(out, at, planes, place, length)
        at += lanes * channels
        place += lanes
        run -= lanes
    while run > 0:
        for c in range(channels):
            poke(out, at + c, peek(planes, place + c * length))
        at += channels
        place += 1
        run -= 1


@inline
def gather(out, end, planes, length, target, line, lanes):
    """Write the occupied voxels of a line to rows, from planes (C, length)."""
    channels, depth = out.shape[1], target.words.shape[3]
    for w in range(depth):
        word, place = peek(target.words, line * depth + w), MARGIN + 64 * w
        row = np.int64(peek(target.rank, line * depth + w))
        while word:
            gap = lowest(word)
            run = lowest(~(word >> U(gap)))
            place += gap
            gather_run(out, row * channels, end, planes, place, length, run, channels, lanes)
            row += run
            place += run
            word = word >> U(gap) >> U(run) if gap + run < 64 else U(0)
