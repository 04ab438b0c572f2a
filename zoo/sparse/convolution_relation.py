"""The convolution relation, written once.

Let `d` run over the offsets of a kernel and `s` be the finer of the two tensor strides. Then

    convolution             out[p] = sum over d of  in[p + s d] W[d]
    transposed convolution  out[p] = sum over d of  in[p - s d] W[d]

where a term whose coordinate is not occupied counts as zero. The two differ in one sign, and the
gradient of each with respect to its input is the other with every W[d] transposed.

Odd kernels are centred, even ones start at zero; rows of a kernel enumerate the offsets with the
first axis fastest. This is MinkowskiEngine's convention, measured on release 0.5.4.

Seen from one target voxel p, in units of each level's tensor stride, the source voxels in question
are a window, q = shift(p) + first + a with 0 <= a < width on every axis, where shift(p) is p, 2p or
p // 2. Convolutions at stride 1 and 2, transposed ones and the gradients of all of these are
instances of this `Relation`; they differ in how the kernel is packed.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

Offset = tuple[int, int, int]


class Relation(NamedTuple):
    """Which source voxels a target voxel looks at.

    Attributes:
        scale: how p is shifted: 0 at the same stride, 1 to a finer source, -1 to a coarser one.
        first: what is added to it.
        width: length of the window on each axis.
    """

    scale: int
    first: int
    width: int

    @property
    def size(self) -> int:
        """Edge length of the kernel."""
        return self.width * (2 if self.scale < 0 else 1)

    @property
    def sign(self) -> int:
        """That of the offsets: -1 for a transposed convolution."""
        return -1 if self.scale < 0 else 1

    def adjoint(self) -> Relation:
        """The relation seen from the source: that of the gradient with respect to the features."""
        if self.scale == 0:
            return self
        return up(self.width) if self.scale > 0 else down(self.size)


SAME = Relation(0, -1, 3)


def down(size: int) -> Relation:
    """To twice the stride: q = 2p + d."""
    return Relation(+1, 0, size)


def up(size: int) -> Relation:
    """To half the stride: q = (p - d) / 2, where that is whole."""
    return Relation(-1, 1 - size // 2, size // 2)


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


def transposed(kernel: Tensor, relation: Relation) -> Tensor:
    """The kernel with which `relation.adjoint()` gives the gradient of the features.

    The sign of the offsets turns; at the same stride that reverses them, as they are symmetric.
    """
    turned = kernel.transpose(1, 2)
    return turned.flip(0) if relation.scale == 0 else turned


@cache
def kernel_rows(relation: Relation) -> Tensor:
    """The rows of a kernel in the order of a window: by parity of i, j, k, then by i, j, k in it.

    Seen from a target of one parity, a coarser source has every second row of the kernel, and the
    farther back in the window, the larger the offset.
    """
    positions = torch.arange(relation.width, device="cpu")
    offsets = positions.unsqueeze(0)  # (parity, position)
    if relation.scale < 0:
        parities = torch.arange(2, device="cpu").unsqueeze(1)
        offsets = 2 * (relation.width - 1 - offsets) + parities
    n = relation.size
    # "parity of i, of j, of k, position in i, in j, in k"
    i = offsets[:, None, None, :, None, None]
    j = offsets[None, :, None, None, :, None] * n
    k = offsets[None, None, :, None, None, :] * n * n
    return (i + j + k).flatten()
