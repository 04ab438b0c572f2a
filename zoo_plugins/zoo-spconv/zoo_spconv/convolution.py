"""The convolution relation over a kernel map, by spconv; its gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo.errors import BackendError
from zoo_spconv.engine import spconv_ops
from zoo_spconv.pairs import Pairs

DTYPES = {"cpu": (torch.float32, torch.float64), "cuda": (torch.float32,)}


def convolve(features: Tensor, kernel: Tensor, pairs: Pairs, rows: int) -> Tensor:
    """Features (N, C_in) and kernel (K, C_in, C_out) -> features (rows, C_out).

    Raises:
        BackendError: a type that spconv does not compute with on that device.
    """
    if features.dtype not in (known := DTYPES[features.device.type]):
        raise BackendError(
            f"backend spconv computes with {' and '.join(map(str, known))} on"
            f" {features.device.type}; got {features.dtype}: convert model and features"
        )
    return _Convolution.apply(features, kernel, pairs, rows)  # type: ignore[no-any-return, no-untyped-call]


class _Convolution(torch.autograd.Function):
    """out[t] += in[s] W[d] over the pairs (s, t) of every offset d.

    spconv's own backward asks for a CUDA stream even on the CPU. The gradient of the features is a
    convolution again, by spconv, that of the kernel is one matrix product an offset.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, kernel: Tensor, pairs: Pairs, rows: int) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.pairs = pairs
        return _indice_conv(features, kernel, pairs, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, kernel = ctx.saved_tensors
        pairs: Pairs = ctx.pairs
        to_features = to_kernel = None
        if ctx.needs_input_grad[0]:
            back = kernel.transpose(1, 2)
            to_features = _indice_conv(gradient, back, pairs, len(features), inverse=True)
        if ctx.needs_input_grad[1]:
            met = zip(*pairs.table, pairs.counts.tolist(), strict=True)
            to_kernel = torch.stack([features[s[:n]].T @ gradient[t[:n]] for s, t, n in met])
        return to_features, to_kernel, None, None


def _indice_conv(
    features: Tensor, kernel: Tensor, pairs: Pairs, rows: int, *, inverse: bool = False
) -> Tensor:
    """spconv wants kernels as (C_out, K, C_in); `inverse` goes from the targets to the sources."""
    filters = kernel.permute(2, 0, 1).contiguous()
    ops = spconv_ops()
    with _one_thread():
        out: Tensor = ops.indice_conv(features, filters, pairs.table, pairs.counts, rows, inverse)
    return out


@contextmanager
def _one_thread() -> Iterator[None]:
    """On several, spconv 2.3.8 loses sums on the CPU: by 4 to 22 % of the largest one, on two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
