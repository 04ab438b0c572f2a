"""The index of a level: a bitmap and the number of voxels before each of its words. No hashing.

A voxel's row is its place in raster order (b, i, j, k): two loads and a popcount. The bitmap spans
the level's own bounds, which follow from the operations and may exceed the input's box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.sparse.backends.bitmap.box import Box
from zoo.sparse.backends.cpu import words
from zoo.sparse.backends.cpu.runtime import Span, run, spans

if TYPE_CHECKING:
    from zoo.sparse.backends.cpu import CpuBackend


class Grid(NamedTuple):
    """A bitmap as compiled code sees it.

    Attributes:
        words: (B, I, J, W) uint64, bit t of word w being voxel 64 w + t of its line.
        rank: (B I J W + 1,) int32, how many voxels come before each word.
        i, j, w: absolute numbers of the first line and of the first word along k.
    """

    words: NDArray[np.uint64]
    rank: NDArray[np.int32]
    i: int
    j: int
    w: int

    @classmethod
    def empty(cls, batch_size: int, box: Box) -> Grid:
        """A grid for that box, yet to be filled.

        Raises:
            BackendError: the box is out of all proportion.
        """
        shape = box.words(batch_size, "cpu")
        return cls(np.zeros(shape, np.uint64), np.empty(prod(shape) + 1, np.int32), *box.first)

    @property
    def lines(self) -> int:
        return int(prod(self.words.shape[:3]))


@dataclass(frozen=True)
class GridIndex:
    """The occupied voxels of one level, in raster order."""

    backend: CpuBackend
    stride: int
    box: Box
    grid: Grid

    @property
    def batch_size(self) -> int:
        return int(self.grid.words.shape[0])

    @property
    def coordinates(self) -> Tensor:
        out = np.empty((len(self), 4), np.int64)
        run(words.list_coordinates, self.spans(), self.grid, self.stride, out)
        return torch.from_numpy(out)

    def __len__(self) -> int:
        return int(self.grid.rank[-1])

    def spans(self, most: int = 64) -> list[Span]:
        """The lines cut into spans of work."""
        return spans(self.grid.lines, len(self), most)

    def derive(
        self, stride: int, box: Box, fill: Callable[..., None], *arguments: Any
    ) -> GridIndex:
        """A new index whose words a compiled function fills, line by line, from this one's."""
        grid = Grid.empty(self.batch_size, box)
        run(fill, spans(grid.lines, grid.words.size), self.grid, *arguments, grid)
        return seal(self.backend, stride, box, grid)


def seal(backend: CpuBackend, stride: int, box: Box, grid: Grid) -> GridIndex:
    """Number the voxels of a grid whose words are complete."""
    words.count(grid.words.reshape(-1), grid.rank)
    return GridIndex(backend, stride, box, grid)


def from_coordinates(
    backend: CpuBackend, coordinates: Tensor, batch_size: int, stride: int
) -> GridIndex:
    """Index (N, 4) coordinates, multiples of the stride."""
    if len(coordinates):
        ends = (coordinates[:, 1:].amin(0), coordinates[:, 1:].amax(0) + stride)
        box = Box(*(tuple((end // stride).tolist()) for end in ends))
    else:
        box = Box((0, 0, 0), (0, 0, 0))
    grid = Grid.empty(batch_size, box)
    words.mark(grid, coordinates.contiguous().numpy(), stride)
    return seal(backend, stride, box, grid)


def from_arrays(
    backend: CpuBackend, arrays: Sequence[NDArray[Any]], low: tuple[int, int, int]
) -> GridIndex:
    """Index what is not zero in dense arrays (I, J, K), one per item of the batch, at stride 1.

    `low` is the coordinate of their first voxel.
    """
    extent = np.max([array.shape for array in arrays], axis=0)
    box = Box(low, tuple((extent + low).tolist()))
    grid, skip = Grid.empty(len(arrays), box), low[2] % 64
    for item, array in zip(grid.words, arrays, strict=True):
        if array.flags.f_contiguous:  # as NIfTI files have it
            run(words.pack_transposed, spans(array.shape[1], item.size), array.T, skip, item)
        else:
            run(words.pack, spans(len(array), item.size), np.ascontiguousarray(array), skip, item)
    return seal(backend, 1, box, grid)


def to_array(
    index: GridIndex, low: tuple[int, int, int], shape: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """The box (I, J, K) from coordinate `low` on, of the batch's first item."""
    out = np.zeros(shape, np.bool_)
    run(words.unpack, spans(shape[0], out.size // 64), index.grid, low, out)
    return out
