"""Device functions on occupancy words: a bit a voxel, 64 of them along k."""

# mypy: ignore-errors
# (Triton infers the types)

import triton.language as tl

from zoo.sparse.backends.bitmap.gpu.runtime import part


@part
def popcount(word):
    """How many bits of a uint64 are set; the compiler makes one instruction of it."""
    word = word - ((word >> 1) & 0x5555555555555555)
    word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0F
    return ((word * 0x0101010101010101) >> 56).to(tl.int32)


@part
def squeeze(word):
    """Bit t of the lower half is set where bit 2t or bit 2t + 1 was."""
    word = (word | (word >> 1)) & 0x5555555555555555
    word = (word | (word >> 1)) & 0x3333333333333333
    word = (word | (word >> 2)) & 0x0F0F0F0F0F0F0F0F
    word = (word | (word >> 4)) & 0x00FF00FF00FF00FF
    word = (word | (word >> 8)) & 0x0000FFFF0000FFFF
    return (word | (word >> 16)) & 0x00000000FFFFFFFF


@part
def stretch(word):
    """Bits 2t and 2t + 1 are set where bit t of the lower half was."""
    word = word & 0x00000000FFFFFFFF
    word = (word | (word << 16)) & 0x0000FFFF0000FFFF
    word = (word | (word << 8)) & 0x00FF00FF00FF00FF
    word = (word | (word << 4)) & 0x0F0F0F0F0F0F0F0F
    word = (word | (word << 2)) & 0x3333333333333333
    word = (word | (word << 1)) & 0x5555555555555555
    return word | (word << 1)


@part
def some(mask):
    """Whether any of a block is set."""
    return tl.max(mask.to(tl.int32), axis=0) > 0


@part
def load_word(words, at, there):
    """Words (as int64 in memory) at those positions; 0 where they are not there."""
    return tl.load(words + at, mask=there, other=0).to(tl.uint64, bitcast=True)


@part
def word_at(words, i0, j0, w0, ni, nj, nw, b, i, j, w, wanted):
    """The words with those absolute positions; 0 outside the bitmap, and where none is wanted."""
    i -= i0
    j -= j0
    w -= w0
    there = wanted & (i >= 0) & (i < ni) & (j >= 0) & (j < nj) & (w >= 0) & (w < nw)
    at = ((b * ni + i) * nj + j).to(tl.int64) * nw + w
    return load_word(words, at, there)


@part
def position_of(at, i0, j0, w0, ni, nj, nw):
    """Batch item and absolute i, j, w of the words with those numbers in a bitmap."""
    line = at // nw
    w = (at % nw).to(tl.int32) + w0
    j = (line % nj).to(tl.int32) + j0
    line = line // nj
    return (line // ni).to(tl.int32), (line % ni).to(tl.int32) + i0, j, w
