"""Convolutions as one relation between two levels.

A target voxel p looks at source voxels q = shift(p) + first + a, 0 <= a < width on every axis,
with shift(p) = p, 2p or p // 2. Convolution at stride 1 and 2, the transposed one and the gradients
of all of these are instances; they differ in how the kernel is packed.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor


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


@cache
def kernel_rows(relation: Relation) -> Tensor:
    """Rows of a kernel, first axis fastest, by parity along i, j, k and by place along i, j, k.

    Seen from a target of one parity, a coarser source has every second row of the kernel, and the
    farther back in the window, the larger the offset.
    """
    places = torch.arange(relation.width, device="cpu")
    offsets = places.unsqueeze(0)  # (parity, place)
    if relation.scale < 0:
        parities = torch.arange(2, device="cpu").unsqueeze(1)
        offsets = 2 * (relation.width - 1 - offsets) + parities
    n = relation.size
    # "parity of i, of j, of k, place in i, in j, in k"
    i = offsets[:, None, None, :, None, None]
    j = offsets[None, :, None, None, :, None] * n
    k = offsets[None, None, :, None, None, :] * n * n
    return (i + j + k).flatten()


def transposed(kernel: Tensor, relation: Relation) -> Tensor:
    """The kernel with which `relation.adjoint()` gives the gradient of the features.

    The sign of the offsets turns; at the same stride that reverses them, as they are symmetric.
    """
    turned = kernel.transpose(1, 2)
    return turned.flip(0) if relation.scale == 0 else turned
