"""Compiled: which source voxels a target voxel looks at, by a `Relation`.

A kernel is a set of windows along k, one on each of some source lines. A chunk is a word of a
target line, or half of one, whose windows start within 64 bits of a source line. For each chunk the
bits of every source line are brought into place once; a voxel's window is then a shift and a mask.
"""

# mypy: ignore-errors
# (Numba infers the types)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.sparse.backends.bitmap.cpu.bits import peek, popcount
from zoo.sparse.backends.bitmap.cpu.parts import inline, part

U = np.uint64


class View(NamedTuple):
    """What a chunk sees of the source; `lines` is the number of lines that a kernel has.

    Attributes:
        lines: (lines,) number of each source line, -1 outside the bitmap.
        bits: (lines, 2) of each line with voxels in sight, 128 bits from the first window on.
        rows: (lines,) the row of the first voxel among them.
        which: (lines,) the line's position in the kernel.
    """

    lines: NDArray[np.int64]
    bits: NDArray[np.uint64]
    rows: NDArray[np.int64]
    which: NDArray[np.int64]


@part
def new_view(lines):
    numbers = np.empty((3, lines), np.int64)
    return View(numbers[0], np.empty((lines, 2), np.uint64), numbers[1], numbers[2])


@inline
def shifted(p, scale):
    """Where the windows of a target coordinate start: at p, 2p or p // 2."""
    if scale > 0:
        return 2 * p
    return p >> 1 if scale < 0 else p


@inline
def enter_line(view, source, target, relation, line):
    """Find the source lines of a target line.

    Returns the parity of i and j, which selects the weights where the source is coarser.
    """
    _, lines, columns, _ = target.words.shape
    b, i, j = (
        line // (lines * columns),
        line // columns % lines + target.i,
        line % columns + target.j,
    )
    _, lines, columns, _ = source.words.shape
    a = 0
    for di in range(relation.width):
        for dj in range(relation.width):
            at_i = shifted(i, relation.scale) + relation.first + di - source.i
            at_j = shifted(j, relation.scale) + relation.first + dj - source.j
            inside = 0 <= at_i < lines and 0 <= at_j < columns
            view.lines[a] = (b * lines + at_i) * columns + at_j if inside else -1
            a += 1
    return (i & 1) * 4 + (j & 1) * 2 if relation.scale < 0 else 0


@inline
def is_empty(bitmap, line):
    depth = bitmap.words.shape[3]
    return peek(bitmap.rank, line * depth) == peek(bitmap.rank, (line + 1) * depth)


@inline
def chunks_per_word(relation):
    """A source twice as fine takes two of its words for one of the target's."""
    return 2 if relation.scale > 0 else 1


@inline
def voxels(target, relation, line, chunk):
    """The voxels of a chunk as bits, and the row of the first of them."""
    n = line * target.words.shape[3] + (chunk >> 1 if relation.scale > 0 else chunk)
    word, row = peek(target.words, n), np.int64(peek(target.rank, n))
    if relation.scale <= 0:
        return word, row
    lower = word & U(0xFFFFFFFF)
    if chunk & 1:
        return word >> U(32), row + popcount(lower)
    return lower, row


@inline
def look(view, source, target, relation, chunk):
    """Bring the source into place for a chunk of the line entered; returns the lines in sight."""
    words, depth = source.words, source.words.shape[3]
    k = 64 * target.w + chunk * (64 // chunks_per_word(relation))
    at = shifted(k, relation.scale) + relation.first - 64 * source.w
    w, shift = at >> 6, U(at & 63)
    found = 0
    for a in range(len(view.lines)):
        if view.lines[a] < 0:
            continue
        position = view.lines[a] * depth
        one = peek(words, position + w) if 0 <= w < depth else U(0)
        two = peek(words, position + w + 1) if -1 <= w < depth - 1 else U(0)
        low, high = one, two
        if shift:
            three = peek(words, position + w + 2) if -2 <= w < depth - 2 else U(0)
            low = one >> shift | two << (U(64) - shift)
            high = two >> shift | three << (U(64) - shift)
        if low | high:
            view.bits[found, 0], view.bits[found, 1] = low, high
            before = popcount(one & ((U(1) << shift) - U(1)))
            view.rows[found] = peek(source.rank, position + max(w, 0)) + before
            view.which[found] = a
            found += 1
    return found


@inline
def window(view, line, offset, width):
    """The `width` bits from bit `offset` on of a line in sight, and the row of the first set."""
    low, high = view.bits[line, 0], view.bits[line, 1]
    bits = low >> U(offset) | (high << U(1)) << U(63 - offset)
    before = popcount(low & ((U(1) << U(offset)) - U(1)))
    return bits & ((U(1) << U(width)) - U(1)), view.rows[line] + before
