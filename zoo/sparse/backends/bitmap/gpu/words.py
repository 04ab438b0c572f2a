"""Kernels on occupancy words.

Bitmaps are addressed by the absolute numbers of a line (i, j) and of a word along k. What lies
outside a bitmap reads as empty, so bitmaps with different bounds combine freely. `x` is the bitmap
that is read, `y` the one that is written; each has a first line and word (i, j, w) and sizes
(ni, ...).
"""

# mypy: ignore-errors
# (Triton infers the types)

import triton.language as tl

from zoo.sparse.backends.bitmap.gpu.bits import (
    load_word,
    popcount,
    position_of,
    some,
    squeeze,
    stretch,
    word_at,
)
from zoo.sparse.backends.bitmap.gpu.runtime import Kernel, part


@Kernel
def pack(mask, lines, length, skip, words, y_nw, BLOCK: tl.constexpr):
    """Words (lines, W) of bytes (lines, length) that are 0 or not, from bit `skip` on."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    bit = tl.arange(0, 64)
    k = ((at % y_nw) * 64 - skip)[:, None] + bit[None, :]
    there = (at < lines * y_nw.to(tl.int64))[:, None] & (k >= 0) & (k < length)
    byte = tl.load(mask + (at // y_nw)[:, None] * length + k, mask=there, other=0)
    word = tl.sum((byte != 0).to(tl.int64) << bit[None, :].to(tl.int64), axis=1)
    tl.store(words + at, word, mask=at < lines * y_nw.to(tl.int64))


@Kernel
def unpack(words, x_i, x_j, x_w, x_ni, x_nj, x_nw, low_i, low_j, low_k, n_i, n_j, n_k, out,
           BLOCK: tl.constexpr):  # fmt: skip
    """Bytes (n_i, n_j, n_k): the box from voxel `low` on, of the first item."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < n_i.to(tl.int64) * n_j * n_k
    i = (at // n_k // n_j).to(tl.int32) + low_i
    j = (at // n_k % n_j).to(tl.int32) + low_j
    k = (at % n_k).to(tl.int32) + low_k
    word = word_at(words, x_i, x_j, x_w, x_ni, x_nj, x_nw, 0, i, j, k >> 6, there)
    tl.store(out + at, ((word >> (k & 63).to(tl.uint64)) & 1).to(tl.int8), mask=there)


@Kernel
def count(words, size, counts, BLOCK: tl.constexpr):
    """How many voxels each of so many words has."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < size
    tl.store(counts + at, popcount(load_word(words, at, there)), mask=there)


@part
def voxels_of(word, rank, at, known):
    """Every bit of some words (N, 64): its number, whether a voxel is there, and its row."""
    bit = tl.arange(0, 64).to(tl.uint64)[None, :]
    there = ((word[:, None] >> bit) & 1) != 0
    below = word[:, None] & ((tl.full([1, 64], 1, tl.uint64) << bit) - 1)
    first = tl.load(rank + at, mask=known, other=0)
    return bit.to(tl.int64), there, first[:, None].to(tl.int64) + popcount(below)


@Kernel
def number(words, rank, size, positions, BLOCK: tl.constexpr):
    """positions (N,): 64 times its word's number plus its bit, of the voxel of every row."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    word = load_word(words, at, at < size)
    if some(word != 0):
        bit, there, row = voxels_of(word, rank, at, at < size)
        position = at[:, None] * 64 + bit
        tl.store(positions + row, position.to(positions.dtype.element_ty), mask=there)


@Kernel
def select(words, rank, size, keep, out, BLOCK: tl.constexpr):
    """The words with only those voxels whose row is set in keep (N,), bytes."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    word = load_word(words, at, at < size)
    kept = tl.zeros([BLOCK], tl.int64)
    if some(word != 0):
        bit, there, row = voxels_of(word, rank, at, at < size)
        wanted = tl.load(keep + row, mask=there, other=0) != 0
        kept = tl.sum(wanted.to(tl.int64) << bit, axis=1)
    tl.store(out + at, kept, mask=at < size)


@Kernel
def coarsen(words, x_i, x_j, x_w, x_ni, x_nj, x_nw, out, y_i, y_j, y_w, y_ni, y_nj, y_nw, size,
            BLOCK: tl.constexpr):  # fmt: skip
    """A voxel is there if any of the eight below it is."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < size
    b, i, j, w = position_of(at, y_i, y_j, y_w, y_ni, y_nj, y_nw)
    low = tl.zeros([BLOCK], tl.uint64)
    high = tl.zeros([BLOCK], tl.uint64)
    for line in tl.static_range(4):
        di, dj = 2 * i + line // 2, 2 * j + line % 2
        low |= word_at(words, x_i, x_j, x_w, x_ni, x_nj, x_nw, b, di, dj, 2 * w, there)
        high |= word_at(words, x_i, x_j, x_w, x_ni, x_nj, x_nw, b, di, dj, 2 * w + 1, there)
    word = squeeze(low) | (squeeze(high) << 32)
    tl.store(out + at, word.to(tl.int64, bitcast=True), mask=there)


@Kernel
def refine(words, x_i, x_j, x_w, x_ni, x_nj, x_nw, out, y_i, y_j, y_w, y_ni, y_nj, y_nw, size,
           BLOCK: tl.constexpr, WIDTH: tl.constexpr):  # fmt: skip
    """Every voxel 2q + d, 0 <= d < 2 WIDTH, of the voxels q."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < size
    b, i, j, w = position_of(at, y_i, y_j, y_w, y_ni, y_nj, y_nw)
    word = tl.zeros([BLOCK], tl.uint64)
    before = tl.zeros([BLOCK], tl.uint64)
    for line in tl.static_range(WIDTH * WIDTH):
        di, dj = (i >> 1) - line // WIDTH, (j >> 1) - line % WIDTH
        word |= word_at(words, x_i, x_j, x_w, x_ni, x_nj, x_nw, b, di, dj, w >> 1, there)
        if WIDTH > 1:
            half = (w >> 1) - 1
            before |= word_at(words, x_i, x_j, x_w, x_ni, x_nj, x_nw, b, di, dj, half, there)
    if WIDTH > 1:
        word |= (word << 1) | (before >> 63)
    word = stretch(word >> ((w & 1) * 32).to(tl.uint64))
    tl.store(out + at, word.to(tl.int64, bitcast=True), mask=there)


@Kernel
def unite(words, x_i, x_j, x_w, x_ni, x_nj, x_nw, others, z_i, z_j, z_w, z_ni, z_nj, z_nw,
          out, y_i, y_j, y_w, y_ni, y_nj, y_nw, size, BLOCK: tl.constexpr):  # fmt: skip
    """Every voxel of either bitmap."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < size
    b, i, j, w = position_of(at, y_i, y_j, y_w, y_ni, y_nj, y_nw)
    word = word_at(words, x_i, x_j, x_w, x_ni, x_nj, x_nw, b, i, j, w, there)
    word |= word_at(others, z_i, z_j, z_w, z_ni, z_nj, z_nw, b, i, j, w, there)
    tl.store(out + at, word.to(tl.int64, bitcast=True), mask=there)
