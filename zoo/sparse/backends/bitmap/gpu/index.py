"""The index of a level on a GPU: a bitmap, and the number of voxels before each of its words.

A voxel's row is its position in raster order (b, i, j, k), as with backend `cpu`, whose bitmap is
the same. Beside it there is a list of where the voxels are, 4 bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.sparse.backends.bitmap.bounds import Bounds, check_rows
from zoo.sparse.backends.bitmap.gpu import words as kernels
from zoo.sparse.backends.bitmap.gpu.runtime import blocks

if TYPE_CHECKING:
    from zoo.sparse.backends.bitmap.gpu.backend import GpuBackend

NARROW_POSITIONS = 1 << 31  # positions below it are int32
WORDS = 1024  # in a block of a kernel on words
TILES = 16  # the same, for a kernel that looks at every bit


@dataclass(frozen=True, eq=False)
class BitmapIndex:
    """The occupied voxels of one level, in raster order.

    Attributes:
        words: (B, I, J, W) int64, bit t of word w being voxel 64 w + t of its line.
        rank: (B I J W + 1,) int32, how many voxels come before each word.
        positions: (N,) int32 or int64, of each row: 64 times its word's number, plus its bit.
    """

    in_raster_order = True

    backend: GpuBackend
    stride: int
    bounds: Bounds
    words: Tensor
    rank: Tensor
    positions: Tensor

    @property
    def batch_size(self) -> int:
        return len(self.words)

    @property
    def coordinates(self) -> Tensor:
        batch, *axes = self.voxels(self.positions)
        return torch.stack([batch, *(axis * self.stride for axis in axes)], dim=1)

    def voxels(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Batch item and i, j, k, (N,) each and in units of the stride, of some positions."""
        _, ni, nj, nw = self.words.shape
        i, j, w = self.bounds.first
        positions = positions.long()
        line = positions // (64 * nw)
        within = positions % (64 * nw)
        return line // (ni * nj), line // nj % ni + i, line % nj + j, within + 64 * w

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def shape(self) -> tuple[int, ...]:
        return _shape(self.bounds, self.words)

    @property
    def as_source(self) -> tuple[Any, ...]:
        """What kernels take that look voxels up in it."""
        return self.words, self.rank, *self.shape

    @property
    def as_target(self) -> tuple[Any, ...]:
        """What kernels take that go through its rows."""
        return self.positions, len(self), *self.shape


def _shape(bounds: Bounds, words: Tensor) -> tuple[int, ...]:
    """What kernels take of a bitmap: i, j, w of the first line and word, and how many there are."""
    return *bounds.first, *words.shape[1:]


def seal(backend: GpuBackend, stride: int, bounds: Bounds, words: Tensor) -> BitmapIndex:
    """Number the voxels of words that are complete."""
    size = words.numel()
    counts = words.new_empty(size, dtype=torch.int32)
    kernels.count[(blocks(size, WORDS),)](words, size, counts, BLOCK=WORDS)
    rank = words.new_zeros(size + 1, dtype=torch.int32)
    torch.cumsum(counts, 0, dtype=torch.int32, out=rank[1:])
    kind = torch.int32 if 64 * size < NARROW_POSITIONS else torch.int64
    if kind == torch.int64:
        check_rows(int(counts.sum(dtype=torch.int64)), "gpu")
    positions = words.new_empty(int(rank[-1]), dtype=kind)
    kernels.number[(blocks(size, TILES),)](words, rank, size, positions, BLOCK=TILES)
    return BitmapIndex(backend, stride, bounds, words, rank, positions)


def derive(
    kernel: Any, source: BitmapIndex, stride: int, bounds: Bounds, *arguments: Any, **constants: int
) -> BitmapIndex:
    """A new index whose words a kernel makes of another one's."""
    words = source.words.new_empty(bounds.words(source.batch_size, "gpu"))
    size = words.numel()
    given = source.words, *source.shape, *arguments
    made = words, *_shape(bounds, words), size
    kernel[(blocks(size, WORDS),)](*given, *made, BLOCK=WORDS, **constants)
    return seal(source.backend, stride, bounds, words)


def coarsen(index: BitmapIndex) -> BitmapIndex:
    return derive(kernels.coarsen, index, 2 * index.stride, index.bounds.coarser())


def refine(index: BitmapIndex, size: int) -> BitmapIndex:
    bounds = index.bounds.finer(size)
    return derive(kernels.refine, index, index.stride // 2, bounds, WIDTH=size // 2)


def unite(a: BitmapIndex, b: BitmapIndex) -> BitmapIndex:
    return derive(kernels.unite, a, a.stride, a.bounds.around(b.bounds), b.words, *b.shape)


def select(index: BitmapIndex, keep: Tensor) -> BitmapIndex:
    """The voxels of the rows that keep (N,) bool names, in a box that fits them.

    A network generates finer voxels from them: if their box were that of what they were selected
    from, it would be larger at every level.
    """
    words, size = torch.empty_like(index.words), index.words.numel()
    flags = keep.contiguous().view(torch.uint8)
    grid = (blocks(size, TILES),)
    kernels.select[grid](index.words, index.rank, size, flags, words, BLOCK=TILES)
    points = torch.stack(index.voxels(index.positions[keep])[1:])
    bounds = Bounds(tuple(points.amin(1).tolist()), tuple((points.amax(1) + 1).tolist()))
    i, j, w = bounds.within(index.bounds)
    return seal(index.backend, index.stride, bounds, words[:, i, j, w].contiguous())


def from_coordinates(
    backend: GpuBackend, coordinates: Tensor, batch_size: int, stride: int
) -> BitmapIndex:
    """Index (N, 4) coordinates in raster order, multiples of the stride, each of them once."""
    points = coordinates[:, 1:].div(stride, rounding_mode="floor")
    bounds = Bounds(tuple(points.amin(0).tolist()), tuple((points.amax(0) + 1).tolist()))
    words = coordinates.new_zeros(bounds.words(batch_size, "gpu"))
    _, ni, nj, nw = words.shape
    i, j, k = (points - points.new_tensor([*bounds.low[:2], 64 * bounds.first[2]])).unbind(1)
    at = ((coordinates[:, 0] * ni + i) * nj + j) * nw + k // 64
    # Every bit is added once, so that a sum of integers, in any order, is a union.
    words.view(-1).index_add_(0, at, torch.ones_like(at) << (k % 64))
    return seal(backend, stride, bounds, words)


def from_mask(backend: GpuBackend, mask: Tensor, low: tuple[int, int, int]) -> BitmapIndex:
    """Index what is not zero in bytes (B, I, J, K), at stride 1; their first voxel is `low`."""
    batch_size, *extent = mask.shape
    bounds = Bounds(low, tuple(first + n for first, n in zip(low, extent, strict=True)))
    words = torch.empty(bounds.words(batch_size, "gpu"), dtype=torch.int64, device=mask.device)
    lines, length = prod(mask.shape[:3]), mask.shape[3]
    grid = (blocks(words.numel(), TILES),)
    kernels.pack[grid](
        mask.contiguous(), lines, length, low[2] % 64, words, words.shape[3], BLOCK=TILES
    )
    return seal(backend, 1, bounds, words)


def from_arrays(
    backend: GpuBackend,
    arrays: Sequence[NDArray[Any]],
    low: tuple[int, int, int],
    device: torch.device,
) -> BitmapIndex:
    """Index what is not zero in dense arrays (I, J, K), one per item of the batch, at stride 1."""
    extent = [max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True)]
    mask = torch.zeros(len(arrays), *extent, dtype=torch.uint8, device=device)
    for item, array in zip(mask, arrays, strict=True):
        i, j, k = array.shape
        item[:i, :j, :k] = _on_device(array, device)
    return from_mask(backend, mask, low)


def _on_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Bytes, of an array as it lies in memory; the device turns its axes, faster than a CPU."""
    flags = array if array.dtype in (np.bool_, np.uint8, np.int8) else array != 0
    if flags.flags.f_contiguous and not flags.flags.c_contiguous:  # as NIfTI files have it
        return _on_device(flags.T, device).permute(2, 1, 0)
    whole = np.require(flags, requirements=["C", "W"])
    return torch.from_numpy(whole.view(np.uint8)).to(device)


def to_array(
    index: BitmapIndex, low: tuple[int, int, int], shape: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """The bounds (I, J, K) from coordinate `low` on, of the batch's first item."""
    out = torch.empty(shape, dtype=torch.int8, device=index.words.device)
    grid = (blocks(out.numel(), WORDS),)
    kernels.unpack[grid](index.words, *index.shape, *low, *shape, out, BLOCK=WORDS)
    array: NDArray[np.bool_] = out.view(torch.bool).cpu().numpy()
    return array
