"""The convolution relation, written once.

Let `d` run over the offsets of a kernel and `s` be the finer of the two tensor strides. Then

    convolution             out[p] = sum over d of  in[p + s d] W[d]
    transposed convolution  out[p] = sum over d of  in[p - s d] W[d]

where a term whose coordinate is not occupied counts as zero. The two differ in one sign, and the
gradient of each with respect to its input is the other with every W[d] transposed.

Odd kernels are centred, even ones start at zero; rows of a kernel enumerate the offsets with the
first axis fastest. This is MinkowskiEngine's convention, measured on release 0.5.4.
"""

from __future__ import annotations

from itertools import product

Offset = tuple[int, int, int]


def kernel_offsets(size: int) -> list[Offset]:
    """The offsets (i, j, k) of a cubic kernel, row by row.

    >>> kernel_offsets(3)[:2], kernel_offsets(3)[-1]
    ([(-1, -1, -1), (0, -1, -1)], (1, 1, 1))
    >>> kernel_offsets(4)[1], len(kernel_offsets(4))
    ((1, 0, 0), 64)
    """
    first = -(size // 2) if size % 2 else 0
    axis = range(first, first + size)
    return [(i, j, k) for k, j, i in product(axis, repeat=3)]


def kernel_size(rows: int) -> int:
    """Edge length of a cubic kernel with that many rows: 1, 8, 27, 64 -> 1, 2, 3, 4."""
    size: int = round(rows ** (1 / 3))
    if size**3 != rows:
        raise ValueError(f"a cubic kernel has 1, 8, 27 or 64 rows; got {rows}")
    return size
