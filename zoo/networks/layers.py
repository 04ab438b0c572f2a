"""PyTorch modules for sparse tensors; they know channels and kernel sizes, never a backend."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from zoo import sparse
from zoo.errors import VolumeError
from zoo.sparse import Index, Running, SparseTensor


class Convolution(nn.Module):
    """Sparse convolution with a kernel (K, C_in, C_out), and a bias (C_out,) if asked for.

    Kernel size 1 or 3 with stride 1 keeps the coordinates; size 2 with stride 2 coarsens them.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        size: edge of the kernel in voxels, where K = size^3.
        stride: 1 or 2.
        bias: whether to add a bias.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: int, *, stride: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        self.stride = stride
        self.kernel = _kernel(size, in_channels, out_channels)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Map features (N, C_in) to (M, C_out)."""
        return sparse.convolution(x, self.kernel, self.bias, stride=self.stride)


class GenerativeTransposedConvolution(nn.Module):
    """Upsampling by 2 onto every coordinate that the kernel (8 or 64, C_in, C_out) reaches.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        size: edge of the kernel in voxels, 2 or 4.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.kernel = _kernel(size, in_channels, out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Map features (N, C_in) to (M, C_out), at half the tensor stride."""
        return sparse.generative_transposed_convolution(x, self.kernel)


class TransposedConvolution(nn.Module):
    """Upsampling by 2 onto given coordinates, with a kernel (8, C_in, C_out).

    Args:
        in_channels: C_in.
        out_channels: C_out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.kernel = _kernel(2, in_channels, out_channels, 1)

    def forward(self, x: SparseTensor, index: Index) -> SparseTensor:
        """Map features (N, C_in) to (M, C_out) on the M coordinates of `index`."""
        return sparse.transposed_convolution(x, self.kernel, index)


SomeConvolution = Convolution | GenerativeTransposedConvolution | TransposedConvolution


Norm = Literal["batch", "instance"]


class Unit(nn.Module):
    """A convolution without bias, then normalisation over voxels, then ReLU.

    Args:
        convolution: any of the convolutions of this module.
        norm: over which voxels: `batch`, those of a batch in training, and in a prediction by the
            mean of such statistics (Ioffe & Szegedy 2015); `instance`, those of every item by
            itself, always (Ulyanov et al. 2016), so that a scan may be unlike the mean of others.
    """

    def __init__(self, convolution: SomeConvolution, norm: Norm = "batch") -> None:
        super().__init__()
        self.convolution = convolution
        channels = convolution.kernel.shape[2]
        self.norm: nn.BatchNorm2d | nn.InstanceNorm2d = (
            nn.BatchNorm2d(channels)
            if norm == "batch"
            else nn.InstanceNorm2d(channels, affine=True)
        )

    def forward(self, x: SparseTensor, *given: Index) -> SparseTensor:
        """Map features (N, C_in) to (M, C_out); the convolution gets `given` besides x.

        Raises:
            VolumeError: the output has a single voxel, in training mode, with `batch`.
        """
        y: SparseTensor = self.convolution(x, *given)
        norm = self.norm
        if isinstance(norm, nn.InstanceNorm2d):
            return sparse.normalise(y, norm.weight, norm.bias, eps=norm.eps, by_item=True)
        return _train(y, norm) if norm.training else _infer(y, norm)


def _train(y: SparseTensor, norm: nn.BatchNorm2d) -> SparseTensor:
    """Normalise by the batch's statistics, which enter the running ones."""
    if len(y) == 1:
        raise VolumeError(
            f"batch normalisation needs two voxels or more, got one at stride {y.stride}:"
            " train with a larger batch or a finer grid"
        )
    if not len(y):
        return y
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    running = Running(norm.running_mean, norm.running_var, share)
    return sparse.normalise(y, norm.weight, norm.bias, eps=norm.eps, running=running)


def _infer(y: SparseTensor, norm: nn.BatchNorm2d) -> SparseTensor:
    """Normalise by the running statistics: a scale and a shift."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    dtype = y.features.dtype  # which autocast may have changed
    return sparse.rectify(y, scale.to(dtype), shift.to(dtype))


class Residual(nn.Module):
    """A residual block: adds the output of two convolutions of size 3 to x (He et al. 2016).

    The kernel of the last one starts at zero, so the block starts as the identity.

    Args:
        channels: C, the number of features per voxel.
        norm: see `Unit`.
    """

    def __init__(self, channels: int, norm: Norm = "batch") -> None:
        super().__init__()
        self.unit = Unit(Convolution(channels, channels, 3), norm)
        self.convolution = Convolution(channels, channels, 3, bias=True)
        nn.init.zeros_(self.convolution.kernel)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Map features (N, C) to (N, C)."""
        change: SparseTensor = self.convolution(self.unit(x))
        return sparse.add(change, x, overwrite=True)


def _kernel(
    size: int, in_channels: int, out_channels: int, terms: int | None = None
) -> nn.Parameter:
    """Make a kernel (size^3, C_in, C_out) with He initialisation.

    `terms` is how many of its rows contribute to an output voxel; all of them if left out.
    """
    rows = size**3
    deviation = (2 / ((terms or rows) * in_channels)) ** 0.5
    kernel = torch.empty(rows, in_channels, out_channels)
    if not kernel.is_meta:  # where drawing does nothing, but takes seconds of imports
        kernel.normal_(0, deviation)
    return nn.Parameter(kernel)
