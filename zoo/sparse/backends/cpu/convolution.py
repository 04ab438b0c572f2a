"""Convolutions as one relation between two levels, with its gradients.

A target voxel p looks at source voxels q = shift(p) + first + a, 0 <= a < width on every axis,
with shift(p) = p, 2p or p // 2. Convolution at stride 1 and 2, the transposed one and the gradients
of all of these are instances; they differ in how the kernel is packed.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo.sparse.backends.cpu import narrow, planes, wide
from zoo.sparse.backends.cpu.index import GridIndex
from zoo.sparse.backends.cpu.lanes import REGISTER_BYTES
from zoo.sparse.backends.cpu.runtime import run

MOST_PARTS_BYTES = 64 << 20
PLANES_TO = 16  # products per pair of voxels, measured
WIDE_FROM = 256  # the same, counting outputs by whole registers


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
    places = torch.arange(relation.width)
    offsets = places.unsqueeze(0)  # (parity, place)
    if relation.scale < 0:
        offsets = 2 * (relation.width - 1 - offsets) + torch.arange(2).unsqueeze(1)
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

    def unpack(self, packed: Tensor, relation: Relation, shape: tuple[int, ...]) -> Tensor:
        """The adjoint of `pack`; `shape` is that of the kernel."""
        rows = kernel_rows(relation)
        ordered: Tensor = self.kernels.unpack(packed, *shape[1:])
        return ordered.new_empty(shape).index_copy_(0, rows, ordered.reshape(shape))


def convolve(
    features: Tensor, kernel: Tensor, relation: Relation, source: GridIndex, target: GridIndex
) -> Tensor:
    """Features (N, C_in) on the source -> (N', C_out) on the target."""
    _, c_in, c_out = kernel.shape
    method = Method.choose(c_in, c_out, features.dtype, relation.scale)
    weights = method.pack(kernel.detach(), relation).numpy()
    out = features.new_empty(len(target), c_out)
    grids = target.grid, source.grid
    x = features.contiguous().numpy()
    run(method.kernels.convolve, target.spans(), *grids, relation, x, weights, out.numpy())
    return out


def correlate(
    features: Tensor, gradient: Tensor, relation: Relation, source: GridIndex, target: GridIndex
) -> Tensor:
    """Gradient (K, C_in, C_out) of `convolve` with respect to its kernel.

    Lines are summed in a number of spans that depends on the shapes alone, and the spans in order:
    the result is the same for any number of threads.
    """
    c_in, c_out = features.shape[1], gradient.shape[1]
    method = Method.choose(c_in, c_out, features.dtype, relation.scale)
    shape = relation.size**3, c_in, c_out
    empty = method.pack(features.new_zeros(shape), relation)
    cut = target.spans(max(1, min(32, MOST_PARTS_BYTES // empty.nbytes)))
    parts = np.zeros((len(cut), *empty.shape), empty.numpy().dtype)
    grids = target.grid, source.grid
    x, y = features.contiguous().numpy(), gradient.contiguous().numpy()
    run(method.kernels.correlate, cut, *grids, relation, x, y, parts)
    total = parts[0]
    for part in parts[1:]:
        total += part
    return method.unpack(torch.from_numpy(total), relation, shape)


class Convolve(torch.autograd.Function):
    """`convolve`, differentiable in features (N, C_in) and kernel (K, C_in, C_out)."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        kernel: Tensor,
        relation: Relation,
        source: GridIndex,
        target: GridIndex,
    ) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.between = relation, source, target
        return convolve(features, kernel, relation, source, target)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, kernel = ctx.saved_tensors
        relation, source, target = ctx.between
        to_features = to_kernel = None
        if ctx.needs_input_grad[0]:
            turned = transposed(kernel, relation)
            to_features = convolve(gradient, turned, relation.adjoint(), target, source)
        if ctx.needs_input_grad[1]:
            to_kernel = correlate(features, gradient, relation, source, target)
        return to_features, to_kernel, None, None, None
