"""Torch modules over the engine. A module knows channels and kernel sizes, never a backend."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo import sparse
from zoo.sparse import SparseTensor


class Convolution(nn.Module):
    """Sparse convolution; kernel (K, C_in, C_out), bias (C_out,) if asked for.

    Kernel size 1 or 3 at stride 1 keeps the coordinates, 2 at stride 2 coarsens them.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: int, *, stride: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        self.stride = stride
        self.kernel = _kernel(size, in_channels, out_channels)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: SparseTensor) -> SparseTensor:
        return sparse.convolution(x, self.kernel, self.bias, stride=self.stride)


class GenerativeTransposedConvolution(nn.Module):
    """Upsampling by 2 that creates every coordinate its kernel (8 or 64, C_in, C_out) reaches."""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.kernel = _kernel(size, in_channels, out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return sparse.generative_transposed_convolution(x, self.kernel)


class Unit(nn.Module):
    """A convolution followed by batch normalisation over all voxels and ReLU."""

    def __init__(self, convolution: Convolution | GenerativeTransposedConvolution) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = nn.BatchNorm1d(convolution.kernel.shape[2])

    def forward(self, x: SparseTensor) -> SparseTensor:
        y: SparseTensor = self.convolution(x)
        features: Tensor = self.norm(y.features) if len(y) else y.features
        return y.with_features(torch.relu(features))


def _kernel(size: int, in_channels: int, out_channels: int) -> nn.Parameter:
    """He initialisation for a kernel (size^3, C_in, C_out) whose neighbours are all there."""
    rows = size**3
    deviation = (2 / (rows * in_channels)) ** 0.5
    return nn.Parameter(torch.randn(rows, in_channels, out_channels) * deviation)
