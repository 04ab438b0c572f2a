"""Kernel maps by spconv: which rows of two levels meet under which offset of a kernel.

spconv knows boxes that begin at zero, and drops what falls outside: coordinates are shifted into a
box with a margin, by an even number, so that what lies in one coarse voxel stays in one. In its
kernels the last axis is the fastest, in the zoo's the first: it is given the axes as k, j, i.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from zoo.plugins import BackendError, KeyIndex, pack
from zoo_spconv.engine import spconv_ops

MOST_VOXELS = 2**31 - 1  # of a batch of boxes: spconv's hash tables on the CPU have 32-bit keys
MARGIN = 2  # voxels: a kernel of size 4 reaches one coarse voxel beyond
SWAPPED = [0, 3, 2, 1]  # batch, i, j, k <-> batch, k, j, i


@dataclass(frozen=True)
class Pairs:
    """Rows of a source and of a target, offset by offset.

    Attributes:
        table: (2, K, M) int32, sources and targets; of offset d, the first `counts[d]` are pairs.
        counts: (K,) int32.
    """

    table: Tensor
    counts: Tensor

    def to_rows(self, rows: Tensor) -> Pairs:
        """With rows[t] in the place of every target t."""
        sources, targets = self.table
        return Pairs(torch.stack([sources, rows.int()[targets]]), self.counts)

    def reversed(self) -> Pairs:
        """From the target to the source."""
        return Pairs(self.table.flip(0), self.counts)


def pairs_within(index: KeyIndex) -> Pairs:
    """Between the rows of one level, for a kernel of size 3 at stride 1; kept with the index.

    They take 216 bytes a voxel, and several times as long as a convolution of few channels.
    """
    kept = vars(index)
    if "pairs_within" not in kept:
        pairs, _, _ = _kernel_map(index, 3, stride=1)
        counts = pairs.counts + pairs.counts.flip(0)  # spconv counts the offsets before the centre
        counts[len(counts) // 2] = len(index)
        kept["pairs_within"] = Pairs(pairs.table, counts)
    found: Pairs = kept["pairs_within"]
    return found


def pairs_to_coarser(index: KeyIndex, size: int) -> tuple[Pairs, Tensor]:
    """To every voxel at twice the stride whose kernel reaches here; also its (M,) key."""
    pairs, points, low = _kernel_map(index, size, stride=2)
    points += low // 2
    points[:, 1:] *= 2 * index.stride
    return pairs, pack(points)


def _kernel_map(index: KeyIndex, size: int, *, stride: int) -> tuple[Pairs, Tensor, Tensor]:
    """Pairs, the targets' (M, 4) coordinates in their box, and the corner (4,) of the source's box.

    Both are in voxels of their level.
    """
    points = index.coordinates
    points[:, 1:] //= index.stride
    low = points.amin(0) // 2 * 2 - MARGIN
    low[0] = 0
    shape: list[int] = ((points.amax(0) - low) // 2 * 2 + 2 + MARGIN)[1:].tolist()
    _check_box(index.batch_size, shape)
    ops = spconv_ops()
    targets, table, counts = ops.get_indice_pairs(
        (points - low)[:, SWAPPED].int().contiguous(),
        index.batch_size,
        shape[::-1],
        algo=ops.ConvAlgo.Native,
        ksize=[size] * 3,
        stride=[stride] * 3,
        padding=[0] * 3,
        dilation=[1] * 3,
        out_padding=[0] * 3,
        subm=stride == 1,
        transpose=False,
    )
    return Pairs(table, counts), targets[:, SWAPPED].long(), low


def _check_box(batch: int, shape: list[int]) -> None:
    if batch * prod(shape) > MOST_VOXELS:
        raise BackendError(
            f"backend spconv wants a box of at most {MOST_VOXELS:,} voxels, empty ones too; got"
            f" {' x '.join(map(str, (*shape, batch)))}: crop the volume, or take another backend"
        )
