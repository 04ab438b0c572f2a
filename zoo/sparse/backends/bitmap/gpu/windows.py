"""Device functions that find the neighbours of a voxel: two loads and a popcount for a line.

Rows are numbered in raster order, k fastest, so the neighbours along k have neighbouring rows, and
one look at a line serves its whole window. Nothing is stored but the bitmap and its ranks.
"""

# mypy: ignore-errors
# (Triton infers the types)

import triton.language as tl

from zoo.sparse.backends.bitmap.gpu.bits import load_word, popcount, position_of
from zoo.sparse.backends.bitmap.gpu.runtime import part


@part
def voxel_of(positions, row, there, i0, j0, w0, ni, nj, nw):
    """Batch item and absolute i, j, k of the voxels of those rows."""
    position = tl.load(positions + row, mask=there, other=0)
    b, i, j, w = position_of(position >> 6, i0, j0, w0, ni, nj, nw)
    return b, i, j, w * 64 + (position & 63).to(tl.int32)


@part
def shifted(i, SCALE: tl.constexpr):
    """The coordinate in units of the source's stride; see `Relation`."""
    if SCALE > 0:
        return i * 2
    elif SCALE < 0:
        return i >> 1
    else:
        return i


@part
def parity_of(i, j, k, SCALE: tl.constexpr):
    """Which of the 8 kernels of a transposed convolution a target voxel has."""
    if SCALE < 0:
        return ((i & 1) * 2 + (j & 1)) * 2 + (k & 1)
    else:
        return i * 0


@part
def window_of(positions, row, there, i0, j0, w0, ni, nj, nw,
              SCALE: tl.constexpr, FIRST: tl.constexpr):  # fmt: skip
    """Parity of the voxels of those rows; batch item and i, j, k of where their windows begin."""
    b, i, j, k = voxel_of(positions, row, there, i0, j0, w0, ni, nj, nw)
    kind = parity_of(i, j, k, SCALE)
    i, j, k = shifted(i, SCALE) + FIRST, shifted(j, SCALE) + FIRST, shifted(k, SCALE) + FIRST
    return kind, b, i, j, k


@part
def look(words, rank, i0, j0, w0, ni, nj, nw, b, i, j, k, wanted, WIDTH: tl.constexpr):
    """What a window of a line holds: WIDTH <= 4 voxels from (b, i, j, k) on.

    Returns a bit for each of them, and the row of the first that is there.
    """
    i -= i0
    j -= j0
    w = (k >> 6) - w0
    bit = (k & 63).to(tl.uint64)
    wanted = wanted & (i >= 0) & (i < ni) & (j >= 0) & (j < nj) & (w >= -1) & (w < nw)
    at = ((b * ni + i) * nj + j).to(tl.int64) * nw + w
    seen = load_word(words, at, wanted & (w >= 0)) >> bit
    # Rows are counted back from the next word: that of the line's first one is there for w = -1.
    row = tl.load(rank + at + 1, mask=wanted, other=0) - popcount(seen)
    if WIDTH > 1:
        beyond = wanted & (bit > 64 - WIDTH) & (w + 1 < nw)
        after = load_word(words, at + 1, beyond)
        seen |= (after << 1) << (63 - bit)
    return (seen & ((1 << WIDTH) - 1)).to(tl.int32), row


@part
def look_from(positions, row, there, y_i, y_j, y_w, y_ni, y_nj, y_nw,
              words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw,
              parity, line, SCALE: tl.constexpr, FIRST: tl.constexpr,
              WIDTH: tl.constexpr):  # fmt: skip
    """`look` on one line of the windows of those rows that have that parity."""
    kind, b, i, j, k = window_of(
        positions, row, there, y_i, y_j, y_w, y_ni, y_nj, y_nw, SCALE, FIRST
    )
    mine = there & (kind == parity)
    return look(words, rank, x_i, x_j, x_w, x_ni, x_nj, x_nw,
                b, i + line // WIDTH, j + line % WIDTH, k, mine, WIDTH)  # fmt: skip


@part
def has(seen, a):
    """Whether voxel `a` of a window is there."""
    return ((seen >> a) & 1) != 0


@part
def row_in(seen, row, a):
    """The row of voxel `a` of a window, if it is there, as int64."""
    below = seen & ((1 << a) - 1)
    return (row + (below & 1) + ((below >> 1) & 1) + (below >> 2)).to(tl.int64)
