"""The index of a level: a bitmap and the number of voxels before each of its words. No hashing.

A voxel's row is its position in raster order (b, i, j, k): two loads and a popcount. The bitmap
spans the level's own bounds, which follow from the operations and may exceed the input's.
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

from zoo.sparse.backends.bitmap.bounds import Bounds, check_rows
from zoo.sparse.backends.bitmap.cpu import words
from zoo.sparse.backends.bitmap.cpu.runtime import ROWS_PER_SPAN, Span, run, spans

if TYPE_CHECKING:
    from zoo.sparse.backends.bitmap.cpu.backend import CpuBackend


class Bitmap(NamedTuple):
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
    def empty(cls, batch_size: int, bounds: Bounds) -> Bitmap:
        """A bitmap for that bounds, yet to be filled.

        Raises:
            BackendError: the box is out of all proportion.
        """
        shape = bounds.words(batch_size, "cpu")
        return cls(np.zeros(shape, np.uint64), np.empty(prod(shape) + 1, np.int32), *bounds.first)

    @property
    def lines(self) -> int:
        return int(prod(self.words.shape[:3]))


@dataclass(frozen=True)
class BitmapIndex:
    """The occupied voxels of one level, in raster order."""

    in_raster_order = True

    backend: CpuBackend
    stride: int
    bounds: Bounds
    bitmap: Bitmap

    @property
    def batch_size(self) -> int:
        return int(self.bitmap.words.shape[0])

    @property
    def coordinates(self) -> Tensor:
        out = np.empty((len(self), 4), np.int64)
        run(words.list_coordinates, self.spans(), self.bitmap, self.stride, out)
        return torch.from_numpy(out)

    def __len__(self) -> int:
        return int(self.bitmap.rank[-1])

    def spans(self, least: int = ROWS_PER_SPAN, most: int = 64) -> list[Span]:
        """The lines cut into spans of work, as by `runtime.spans`."""
        return spans(self.bitmap.lines, len(self), least, most)

    def derive(
        self, stride: int, bounds: Bounds, fill: Callable[..., None], *arguments: Any
    ) -> BitmapIndex:
        """A new index whose words a compiled function fills, line by line, from this one's."""
        return seal(self.backend, stride, bounds, self.filled(bounds, fill, *arguments))

    def filled(self, bounds: Bounds, fill: Callable[..., None], *arguments: Any) -> Bitmap:
        """The bitmap of such an index, whose voxels are yet to be numbered."""
        bitmap = Bitmap.empty(self.batch_size, bounds)
        run(fill, spans(bitmap.lines, bitmap.words.size), self.bitmap, *arguments, bitmap)
        return bitmap


def seal(backend: CpuBackend, stride: int, bounds: Bounds, bitmap: Bitmap) -> BitmapIndex:
    """Number the voxels of a bitmap whose words are complete.

    Raises:
        BackendError: there are more than ranks can count.
    """
    check_rows(words.count(bitmap.words.reshape(-1), bitmap.rank), "cpu")
    return BitmapIndex(backend, stride, bounds, bitmap)


def coarsen(index: BitmapIndex) -> BitmapIndex:
    return index.derive(2 * index.stride, index.bounds.coarser(), words.coarsen)


def refine(index: BitmapIndex, size: int) -> BitmapIndex:
    """Every voxel that a generative transposed kernel of that size reaches."""
    return index.derive(index.stride // 2, index.bounds.finer(size), words.refine, size)


def unite(a: BitmapIndex, b: BitmapIndex) -> BitmapIndex:
    return a.derive(a.stride, a.bounds.around(b.bounds), words.unite, b.bitmap)


def select(index: BitmapIndex, keep: Tensor) -> BitmapIndex:
    """The voxels of the rows that keep (N,) bool names, in a box that fits them.

    A network generates finer voxels from them: if their box were that of what they were selected
    from, it would be larger at every level.
    """
    bitmap = index.filled(index.bounds, words.select, keep.numpy())
    bounds = _extent(bitmap)
    i, j, w = bounds.within(index.bounds)
    part = np.ascontiguousarray(bitmap.words[:, i, j, w])
    fitting = Bitmap(part, np.empty(part.size + 1, np.int32), *bounds.first)
    return seal(index.backend, index.stride, bounds, fitting)


def _extent(bitmap: Bitmap) -> Bounds:
    """The bounds of the voxels of a bitmap, which has some."""
    ends = np.array([[np.iinfo(np.int64).max, np.iinfo(np.int64).min]] * 3)
    words.extent(bitmap, ends)
    return Bounds(tuple(ends[:, 0].tolist()), tuple((ends[:, 1] + 1).tolist()))


def from_coordinates(
    backend: CpuBackend, coordinates: Tensor, batch_size: int, stride: int
) -> BitmapIndex:
    """Index (N, 4) coordinates, multiples of the stride."""
    if len(coordinates):
        ends = (coordinates[:, 1:].amin(0), coordinates[:, 1:].amax(0) + stride)
        bounds = Bounds(*(tuple((end // stride).tolist()) for end in ends))
    else:
        bounds = Bounds((0, 0, 0), (0, 0, 0))
    bitmap = Bitmap.empty(batch_size, bounds)
    words.mark(bitmap, coordinates.contiguous().numpy(), stride)
    return seal(backend, stride, bounds, bitmap)


def from_arrays(
    backend: CpuBackend, arrays: Sequence[NDArray[Any]], low: tuple[int, int, int]
) -> BitmapIndex:
    """Index what is not zero in dense arrays (I, J, K), one per item of the batch, at stride 1.

    `low` is the coordinate of their first voxel.
    """
    extent = np.max([array.shape for array in arrays], axis=0)
    bounds = Bounds(low, tuple((extent + low).tolist()))
    bitmap, skip = Bitmap.empty(len(arrays), bounds), low[2] % 64
    for item, array in zip(bitmap.words, arrays, strict=True):
        if not array.dtype.isnative:  # which Numba does not take
            array = array != 0
        if array.flags.f_contiguous:  # as NIfTI files have it
            run(words.pack_transposed, spans(array.shape[1], item.size), array.T, skip, item)
        else:
            run(words.pack, spans(len(array), item.size), np.ascontiguousarray(array), skip, item)
    return seal(backend, 1, bounds, bitmap)


def to_array(
    index: BitmapIndex, low: tuple[int, int, int], shape: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """The bounds (I, J, K) from coordinate `low` on, of the batch's first item."""
    out = np.zeros(shape, np.bool_)
    run(words.unpack, spans(shape[0], out.size // 64), index.bitmap, low, out)
    return out
