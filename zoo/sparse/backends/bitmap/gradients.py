"""The differentiable operations, by way of what a backend on bitmaps computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo.sparse.backends.bitmap.relations import Relation, transposed
from zoo.sparse.tensor import Index

if TYPE_CHECKING:
    from zoo.sparse.backends.bitmap.backend import BitmapBackend


class Convolve(torch.autograd.Function):
    """Features (N, C_in) on the source, kernel (K, C_in, C_out) -> (N', C_out) on the target."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        kernel: Tensor,
        backend: BitmapBackend,
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
        backend, relation, source, target = ctx.between
        to_features = to_kernel = None
        if ctx.needs_input_grad[0]:
            turned = transposed(kernel, relation)
            to_features = backend.convolve(gradient, turned, relation.adjoint(), target, source)
        if ctx.needs_input_grad[1]:
            to_kernel = backend.correlate(features, gradient, relation, source, target)
        return to_features, to_kernel, None, None, None, None


class Prune(torch.autograd.Function):
    """Features (N, C) of an index -> (N', C) of a part of it."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, backend: BitmapBackend, index: Index, part: Index
    ) -> Tensor:
        ctx.levels = backend, index, part
        return backend.transfer(features, index, part)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        backend, index, part = ctx.levels
        return backend.transfer(gradient, part, index), None, None, None


class Add(torch.autograd.Function):
    """Features (N, C) of a and (M, C) of b -> their sum (U, C) on the union."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, backend: BitmapBackend, a: Index, b: Index, union: Index
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
