"""Compiled operations on occupancy words: a bit a voxel, 64 of them along k, no coordinate list.

Bitmaps are addressed by the absolute numbers of a line (i, j) and of a word along k. What lies
outside a bitmap reads as empty, so bitmaps with different bounds combine freely.
"""

# mypy: ignore-errors
# (Numba infers the types)

from __future__ import annotations

import numpy as np

from zoo.sparse.backends.bitmap.cpu.bits import lowest, popcount
from zoo.sparse.backends.bitmap.cpu.parts import inline
from zoo.sparse.backends.bitmap.cpu.runtime import jit

U = np.uint64


@inline
def word_at(bitmap, b, i, j, w):
    """The word with that absolute position; 0 outside the bitmap."""
    i -= bitmap.i
    j -= bitmap.j
    w -= bitmap.w
    _, lines, columns, words = bitmap.words.shape
    if 0 <= i < lines and 0 <= j < columns and 0 <= w < words:
        return bitmap.words[b, i, j, w]
    return U(0)


@inline
def line_of(bitmap, line):
    """Batch item and absolute i, j of line number `line`."""
    _, lines, columns, _ = bitmap.words.shape
    return line // (lines * columns), line // columns % lines + bitmap.i, line % columns + bitmap.j


@inline
def squeeze(word):
    """Bit t of the lower half is set where bit 2t or bit 2t + 1 was."""
    word = (word | word >> U(1)) & U(0x5555555555555555)
    word = (word | word >> U(1)) & U(0x3333333333333333)
    word = (word | word >> U(2)) & U(0x0F0F0F0F0F0F0F0F)
    word = (word | word >> U(4)) & U(0x00FF00FF00FF00FF)
    word = (word | word >> U(8)) & U(0x0000FFFF0000FFFF)
    return (word | word >> U(16)) & U(0x00000000FFFFFFFF)


@inline
def stretch(word):
    """Bits 2t and 2t + 1 are set where bit t of the lower half was."""
    word &= U(0x00000000FFFFFFFF)
    word = (word | word << U(16)) & U(0x0000FFFF0000FFFF)
    word = (word | word << U(8)) & U(0x00FF00FF00FF00FF)
    word = (word | word << U(4)) & U(0x0F0F0F0F0F0F0F0F)
    word = (word | word << U(2)) & U(0x3333333333333333)
    word = (word | word << U(1)) & U(0x5555555555555555)
    return word | word << U(1)


@jit
def count(words, rank):
    """rank[n] = bits set before word n; one more entry holds the total, which is returned."""
    total = 0
    for n in range(len(words)):
        rank[n] = total
        total += popcount(words[n])
    rank[len(words)] = total
    return total


@jit
def extent(bitmap, ends):
    """Set ends (3, 2) to the absolute voxels i, j, k of the first and the last that are there."""
    _, _, _, size = bitmap.words.shape
    along = np.zeros(size, np.uint64)
    for line in range(bitmap.words.size // size):
        b, i, j = line_of(bitmap, line)
        found = U(0)
        for w in range(size):
            word = word_at(bitmap, b, i, j, w + bitmap.w)
            along[w] |= word
            found |= word
        if found:
            ends[0, 0], ends[0, 1] = min(ends[0, 0], i), max(ends[0, 1], i)
            ends[1, 0], ends[1, 1] = min(ends[1, 0], j), max(ends[1, 1], j)
    for w in range(size):
        word = along[w]
        while word:
            k = 64 * (w + bitmap.w) + lowest(word)
            ends[2, 0], ends[2, 1] = min(ends[2, 0], k), max(ends[2, 1], k)
            word &= word - U(1)


@jit
def mark(bitmap, coordinates, stride):
    """Set the bits of coordinates (N, 4), multiples of the stride."""
    for n in range(len(coordinates)):
        b, i, j, k = coordinates[n]
        i, j, k = i // stride - bitmap.i, j // stride - bitmap.j, k // stride - 64 * bitmap.w
        bitmap.words[b, i, j, k >> 6] |= U(1) << U(k & 63)


@jit
def pack(_, begin, end, array, skip, words):
    """Words (I, J, W) of an array (I, J, K) in C order from bit `skip` on, for a span of i."""
    _, columns, depth = array.shape
    for i in range(begin, end):
        for j in range(columns):
            for w in range((skip + depth + 63) >> 6):
                first = 64 * w - skip
                word = U(0)
                for k in range(max(first, 0), min(first + 64, depth)):
                    word |= U(array[i, j, k] != 0) << U(k - first)
                words[i, j, w] = word


@jit
def pack_transposed(_, begin, end, array, skip, words):
    """Words (I, J, W) of an array (K, J, I), for a span of j: it is read in the memory's order."""
    depth, _, lines = array.shape
    plane = np.empty((words.shape[2], lines), np.uint64)
    for j in range(begin, end):
        plane[:] = 0
        for k in range(depth):
            for i in range(lines):
                plane[(k + skip) >> 6, i] |= U(array[k, j, i] != 0) << U((k + skip) & 63)
        for w in range((skip + depth + 63) >> 6):
            for i in range(lines):
                words[i, j, w] = plane[w, i]


@jit
def unpack(_, begin, end, bitmap, low, out):
    """The box of `out` (I, J, K) bool, zeros so far, from voxel `low` on; item 0, a span of i."""
    _, columns, depth = out.shape
    first, last = low[2] >> 6, (low[2] + depth - 1) >> 6
    for i in range(begin, end):
        for j in range(columns):
            for w in range(first, last + 1):
                word = word_at(bitmap, 0, i + low[0], j + low[1], w)
                while word:
                    k = lowest(word) + 64 * w - low[2]
                    if 0 <= k < depth:
                        out[i, j, k] = True
                    word &= word - U(1)


@jit
def list_coordinates(_, begin, end, bitmap, stride, out):
    """Coordinates (N, 4) of a span of lines, in voxels of the input grid."""
    row = bitmap.rank[begin * bitmap.words.shape[3]]
    for line in range(begin, end):
        b, i, j = line_of(bitmap, line)
        for w in range(bitmap.words.shape[3]):
            word = word_at(bitmap, b, i, j, w + bitmap.w)
            while word:
                out[row, 0], out[row, 1], out[row, 2] = b, i * stride, j * stride
                out[row, 3] = (lowest(word) + 64 * (w + bitmap.w)) * stride
                word &= word - U(1)
                row += 1


@jit
def coarsen(_, begin, end, fine, out):
    """A voxel is there if any of the eight below it is."""
    for line in range(begin, end):
        b, i, j = line_of(out, line)
        for w in range(out.words.shape[3]):
            low = high = U(0)
            for di in range(2):
                for dj in range(2):
                    low |= word_at(fine, b, 2 * i + di, 2 * j + dj, 2 * (w + out.w))
                    high |= word_at(fine, b, 2 * i + di, 2 * j + dj, 2 * (w + out.w) + 1)
            out.words[b, i - out.i, j - out.j, w] = squeeze(low) | squeeze(high) << U(32)


@jit
def refine(_, begin, end, coarse, size, out):
    """Every voxel p = 2q + d, 0 <= d < size, of the voxels q: those with q = p // 2 or one less."""
    older = size // 2 - 1
    for line in range(begin, end):
        b, i, j = line_of(out, line)
        for w in range(out.words.shape[3]):
            half = (w + out.w) >> 1
            word = before = U(0)
            for di in range(-older, 1):
                for dj in range(-older, 1):
                    word |= word_at(coarse, b, (i >> 1) + di, (j >> 1) + dj, half)
                    if older:
                        before |= word_at(coarse, b, (i >> 1) + di, (j >> 1) + dj, half - 1)
            if older:
                word |= word << U(1) | before >> U(63)
            if (w + out.w) & 1:
                word >>= U(32)
            out.words[b, i - out.i, j - out.j, w] = stretch(word)


@jit
def unite(_, begin, end, one, other, out):
    """Every voxel of either bitmap."""
    for line in range(begin, end):
        b, i, j = line_of(out, line)
        for w in range(out.words.shape[3]):
            at = w + out.w
            word = word_at(one, b, i, j, at) | word_at(other, b, i, j, at)
            out.words[b, i - out.i, j - out.j, w] = word


@jit
def select(_, begin, end, bitmap, keep, out):
    """The voxels whose row is set in keep (N,)."""
    row = bitmap.rank[begin * bitmap.words.shape[3]]
    for line in range(begin, end):
        b, i, j = line_of(bitmap, line)
        for w in range(bitmap.words.shape[3]):
            word = word_at(bitmap, b, i, j, w + bitmap.w)
            kept = U(0)
            while word:
                if keep[row]:
                    kept |= word & (~word + U(1))
                word &= word - U(1)
                row += 1
            out.words[b, i - bitmap.i, j - bitmap.j, w] = kept
