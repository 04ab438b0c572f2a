"""The convolution relation over a kernel map, by spconv, and the gradient of its kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import pad

from zoo.plugins import BackendError
from zoo_spconv.engine import spconv_ops
from zoo_spconv.pairs import Pairs

DTYPES = {"cpu": (torch.float32, torch.float64), "cuda": (torch.float32,)}


def check_type(features: Tensor) -> None:
    """Raise BackendError for a type that spconv does not compute with on that device."""
    if features.dtype not in (known := DTYPES[features.device.type]):
        raise BackendError(
            f"backend spconv computes with {' and '.join(map(str, known))} on"
            f" {features.device.type}; got {features.dtype}: convert model and features"
        )


def convolve(features: Tensor, kernel: Tensor, pairs: Pairs, rows: int) -> Tensor:
    """out[t] += in[s] W[d] over the pairs (s, t) of every offset d.

    Features are (N, C_in), the kernel (K, C_in, C_out), the result (rows, C_out). spconv wants
    kernels as (C_out, K, C_in). Source N is a row of zeros, target `rows` one that is dropped.
    """
    filters = kernel.permute(2, 0, 1).contiguous()
    with_zeros = pad(features, (0, 0, 0, 1))
    ops = spconv_ops()
    with _one_thread():
        out: Tensor = ops.indice_conv(with_zeros, filters, pairs.table, pairs.counts, rows + 1)
    return out[:rows]


def correlate(features: Tensor, gradient: Tensor, pairs: Pairs) -> Tensor:
    """Gradient (K, C_in, C_out) of the kernel: one matrix product an offset.

    spconv's own backward asks for a CUDA stream even on the CPU.
    """
    x, y = (pad(rows, (0, 0, 0, 1)) for rows in (features, gradient))
    met = zip(*pairs.table, pairs.counts.tolist(), strict=True)
    return torch.stack([x[s[:n]].T @ y[t[:n]] for s, t, n in met])


@contextmanager
def _one_thread() -> Iterator[None]:
    """On several, spconv 2.3.8 loses sums on the CPU: by 4 to 22 % of the largest one, on two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
