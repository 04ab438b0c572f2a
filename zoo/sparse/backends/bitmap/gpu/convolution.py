"""Convolutions between two indices: which kernels compute them, and in which tiles."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import torch
import triton.language as tl
from torch import Tensor

from zoo.sparse.backends.bitmap.gpu import narrow, wide
from zoo.sparse.backends.bitmap.gpu.index import BitmapIndex
from zoo.sparse.backends.bitmap.gpu.runtime import blocks, power_of_two
from zoo.sparse.convolution_relation import Relation, kernel_rows

WIDE_FROM = 64  # products per pair of voxels from which matrix units take over
MOST_PARTS = 256
MOST_PARTS_BYTES = 64 << 20
ROWS_PER_PART = 2048


class Method(NamedTuple):
    """How a convolution with so many channels is computed.

    Attributes:
        kernels: the module `narrow` or `wide`.
        c_in, c_out: channels.
        tile_in, tile_out: how many of them a block takes at once.
        arithmetic: type of the sums, or precision of the products.
    """

    kernels: ModuleType
    c_in: int
    c_out: int
    tile_in: int
    tile_out: int
    arithmetic: Any

    @classmethod
    def choose(cls, c_in: int, c_out: int, dtype: torch.dtype, width: int) -> Method:
        if dtype == torch.float64 or c_in * c_out < WIDE_FROM:
            total, most = (tl.float64, 4) if dtype == torch.float64 else (tl.float32, 8)
            tile = power_of_two(c_in, 1, most), power_of_two(c_out, 1, most)
            return cls(narrow, c_in, c_out, *tile, total)
        precision = "tf32" if _tf32_is_asked_for() else "ieee"
        packed = 128 // dtype.itemsize  # channels of a window's voxels on a line, 128 bytes
        positions = power_of_two(width, 1, 4)
        tile_in = power_of_two(c_in, max(1, 16 // positions), packed // positions)
        tile_out = power_of_two(c_out, 16, packed)
        return cls(wide, c_in, c_out, tile_in, tile_out, precision)

    @property
    def constants(self) -> tuple[Any, ...]:
        """What is compiled into its kernels."""
        return self[1:]

    @property
    def tiles_in(self) -> int:
        return blocks(self.c_in, self.tile_in)

    @property
    def tiles_out(self) -> int:
        return blocks(self.c_out, self.tile_out)


def convolve(
    features: Tensor, kernel: Tensor, relation: Relation, source: BitmapIndex, target: BitmapIndex
) -> Tensor:
    """Features (N, C_in) on the source -> (N', C_out) on the target."""
    _, c_in, c_out = kernel.shape
    method = Method.choose(c_in, c_out, features.dtype, relation.width)
    weights = kernel.detach()[_rows(relation, kernel.device)]
    if method.kernels is narrow:
        weights = weights.transpose(1, 2).to(_sums(features))
    out = features.new_empty(len(target), c_out)
    method.kernels.convolve[
        lambda chosen: (blocks(len(target), chosen["BLOCK"]), method.tiles_out)
    ](
        *target.as_target,
        *source.as_source,
        features.contiguous(),
        weights.contiguous(),
        out,
        *relation,
        *method.constants,
    )
    return out


def correlate(
    features: Tensor,
    gradient: Tensor,
    relation: Relation,
    source: BitmapIndex,
    target: BitmapIndex,
) -> Tensor:
    """Gradient (K, C_in, C_out) of `convolve` with respect to its kernel.

    Rows are summed in a number of parts that depends on the shapes alone, and the parts in order:
    the result is the same from run to run.
    """
    c_in, c_out = features.shape[1], gradient.shape[1]
    method = Method.choose(c_in, c_out, features.dtype, relation.width)
    slots = relation.size**3
    total = _sums(features)
    room = MOST_PARTS_BYTES // (slots * c_in * c_out * total.itemsize)
    parts = max(1, min(MOST_PARTS, room, len(target) // ROWS_PER_PART))
    out = features.new_empty(parts, slots, c_in, c_out, dtype=total)
    at_once = relation.width if method.kernels is wide else 1
    method.kernels.correlate[(parts, slots // at_once, method.tiles_in * method.tiles_out)](
        *target.as_target,
        *source.as_source,
        features.contiguous(),
        gradient.contiguous(),
        out,
        blocks(len(target), parts),
        *relation,
        *method.constants,
    )
    rows = _rows(relation, features.device)
    summed = out.sum(0).to(features.dtype)
    return torch.empty_like(summed).index_copy_(0, rows, summed)


def _tf32_is_asked_for() -> bool:
    """By PyTorch's own switch, which has two faces that must not be mixed."""
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        return bool(matmul.fp32_precision == "tf32")
    return bool(matmul.allow_tf32)


def _sums(features: Tensor) -> torch.dtype:
    """The type that products of features are summed in."""
    return torch.promote_types(features.dtype, torch.float32)


@cache
def _rows(relation: Relation, device: torch.device) -> Tensor:
    return kernel_rows(relation).to(device)
