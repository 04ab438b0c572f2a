"""The differentiable operations, by way of what a backend computes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo.sparse.backend import Backend
from zoo.sparse.convolution_relation import Relation
from zoo.sparse.tensor import Index, SparseTensor


def convolve(x: SparseTensor, kernel: Tensor, relation: Relation, target: Index) -> SparseTensor:
    """Features (N', C_out) on the target, of x and a kernel (K, C_in, C_out).

    Where autocast is on, in the type that it asks for, if the backend can.
    """
    backend, features = x.index.backend, x.features
    device = features.device.type
    if backend.bfloat16 and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        features, kernel = features.to(dtype), kernel.to(dtype)
    made: Tensor = _Convolve.apply(features, kernel, backend, relation, x.index, target)  # type: ignore[no-untyped-call]
    return SparseTensor(made, target)


def transfer(x: SparseTensor, target: Index) -> SparseTensor:
    """x on another index, zero where it has none of its coordinates."""
    made: Tensor = _Transfer.apply(x.features, x.index.backend, x.index, target)  # type: ignore[no-untyped-call]
    return SparseTensor(made, target)


def add_on_union(x: SparseTensor, y: SparseTensor, union: Index) -> SparseTensor:
    """The sum of x and y on an index that holds the coordinates of both."""
    dtype = torch.promote_types(x.features.dtype, y.features.dtype)
    operands = x.features.to(dtype), y.features.to(dtype)
    made: Tensor = _Add.apply(*operands, union.backend, x.index, y.index, union)  # type: ignore[no-untyped-call]
    return SparseTensor(made, union)


class _Convolve(torch.autograd.Function):
    """Features (N, C_in) on the source, kernel (K, C_in, C_out) -> (N', C_out) on the target."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        kernel: Tensor,
        backend: Backend,
        relation: Relation,
        source: Index,
        target: Index,
    ) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.between = backend, relation, source, target
        return backend.convolve(features, kernel, relation, source, target)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, kernel = ctx.saved_tensors
        backend, *between = ctx.between
        wanted = ctx.needs_input_grad[:2]
        gradients = backend.differentiate(features, kernel, gradient, *between, wanted)
        return *gradients, None, None, None, None


class _Transfer(torch.autograd.Function):
    """Features (N, C) on the source -> (N', C) on the target."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, backend: Backend, source: Index, target: Index
    ) -> Tensor:
        ctx.levels = backend, source, target
        return backend.transfer(features, source, target)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        backend, source, target = ctx.levels
        return backend.transfer(gradient, target, source), None, None, None


class _Add(torch.autograd.Function):
    """Features (N, C) of a and (M, C) of b -> their sum (U, C) on the union."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, backend: Backend, a: Index, b: Index, union: Index
    ) -> Tensor:
        ctx.levels = backend, a, b, union
        return backend.transfer(y, b, union, onto=backend.transfer(x, a, union))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        backend, a, b, union = ctx.levels
        needs_a, needs_b, *_ = ctx.needs_input_grad
        to_x = backend.transfer(gradient, union, a) if needs_a else None
        to_y = backend.transfer(gradient, union, b) if needs_b else None
        return to_x, to_y, None, None, None, None
