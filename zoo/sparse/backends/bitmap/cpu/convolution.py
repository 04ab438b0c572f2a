"""Convolutions between two bitmaps: which kernels compute them, and what is packed for those."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.sparse.backends.bitmap.cpu import narrow, planes, wide
from zoo.sparse.backends.bitmap.cpu.index import BitmapIndex
from zoo.sparse.backends.bitmap.cpu.lanes import REGISTER_BYTES
from zoo.sparse.backends.bitmap.cpu.runtime import ROWS_PER_SPAN, run
from zoo.sparse.convolution_relation import Relation, kernel_rows

MOST_PARTS_BYTES = 64 << 20
PLANES_TO = 16  # products per pair of voxels, measured
WIDE_FROM = 256  # the same, counting outputs by whole registers
PRODUCTS_PER_SPAN = (
    1 << 20
)  # products per pair of voxels, times rows: a tenth to half a millisecond
FEWEST_ROWS = 256  # of a span


class Method(NamedTuple):
    """How a convolution with so many channels is computed, and how its weights are packed for that.

    Attributes:
        kernels: the module `planes`, `narrow` or `wide`.
        lanes: outputs that are computed at once.
    """

    kernels: ModuleType
    lanes: int

    @classmethod
    def choose(cls, c_in: int, c_out: int, dtype: torch.dtype, scale: int) -> Method:
        register = REGISTER_BYTES // dtype.itemsize
        if scale <= 0 and c_in * c_out <= PLANES_TO:
            return cls(planes, register)
        if c_in * max(c_out, register) < WIDE_FROM:
            return cls(narrow, register)
        return cls(wide, register if c_out <= register else 2 * register)

    def pack(self, kernel: Tensor, relation: Relation) -> Tensor:
        """Kernel (K, C_in, C_out) as `kernels` has it, zero beyond C_out."""
        rows = kernel_rows(relation)
        packed: Tensor = self.kernels.pack(kernel, rows, relation.width, self.lanes)
        return packed

    def rows_per_span(self, c_in: int, c_out: int) -> int:
        """The fewest rows that are worth a thread: the wider the channels, the fewer."""
        wanted = PRODUCTS_PER_SPAN // (c_in * max(c_out, self.lanes))
        return min(max(wanted, FEWEST_ROWS), ROWS_PER_SPAN)

    def unpack(self, packed: Tensor, relation: Relation, shape: tuple[int, ...]) -> Tensor:
        """The adjoint of `pack`; `shape` is that of the kernel."""
        rows = kernel_rows(relation)
        ordered: Tensor = self.kernels.unpack(packed, *shape[1:])
        return ordered.new_empty(shape).index_copy_(0, rows, ordered.reshape(shape))


def convolve(
    features: Tensor, kernel: Tensor, relation: Relation, source: BitmapIndex, target: BitmapIndex
) -> Tensor:
    """Features (N, C_in) on the source -> (N', C_out) on the target."""
    _, c_in, c_out = kernel.shape
    method = Method.choose(c_in, c_out, features.dtype, relation.scale)
    weights = method.pack(kernel.detach(), relation).numpy()
    out = features.new_empty(len(target), c_out)
    bitmaps = target.bitmap, source.bitmap
    x = features.contiguous().numpy()
    cut = target.spans(method.rows_per_span(c_in, c_out))
    run(method.kernels.convolve, cut, *bitmaps, relation, x, weights, out.numpy())
    return out


def correlate(
    features: Tensor, gradient: Tensor, relation: Relation, source: BitmapIndex, target: BitmapIndex
) -> Tensor:
    """Gradient (K, C_in, C_out) of `convolve` with respect to its kernel.

    Lines are summed in a number of spans that depends on the shapes alone, and the spans in order:
    the result is the same for any number of threads.
    """
    c_in, c_out = features.shape[1], gradient.shape[1]
    method = Method.choose(c_in, c_out, features.dtype, relation.scale)
    shape = relation.size**3, c_in, c_out
    empty = method.pack(features.new_zeros(shape), relation)
    least, most = method.rows_per_span(c_in, c_out), MOST_PARTS_BYTES // empty.nbytes
    cut = target.spans(least, max(1, min(32, most)))
    parts = np.zeros((len(cut), *empty.shape), empty.numpy().dtype)
    bitmaps = target.bitmap, source.bitmap
    x, y = features.contiguous().numpy(), gradient.contiguous().numpy()
    run(method.kernels.correlate, cut, *bitmaps, relation, x, y, parts)
    total = parts[0]
    for part in parts[1:]:
        total += part
    return method.unpack(torch.from_numpy(total), relation, shape)
