"""PyTorch modules for sparse tensors; they know channels and kernel sizes, never a backend."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from zoo import sparse
from zoo.errors import VolumeError
from zoo.sparse import Index, SparseTensor


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
        if isinstance(self.norm, nn.InstanceNorm2d):
            return _by_item(y, self.norm)
        return _train(y, self.norm) if self.training else _infer(y, self.norm)


def _by_item(y: SparseTensor, norm: nn.InstanceNorm2d) -> SparseTensor:
    """Normalise every item of the batch by its own statistics, in training and in a prediction."""
    if y.index.batch_size > 1:
        return y.with_features(torch.relu(_apart(y, norm)))
    if torch.is_grad_enabled():
        return y.with_features(torch.relu(_normalised(y.features, norm)))
    # Slower, but exact over millions of voxels, and the same for any number of threads.
    variance, mean = torch.var_mean(y.features.float(), dim=0, correction=0)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return _scaled(y, scale, norm.bias - mean * scale)


def _apart(y: SparseTensor, norm: nn.InstanceNorm2d) -> Tensor:
    """The features (N, C) of several items, each normalised by itself."""
    item = y.coordinates[:, 0]
    by_item, sizes = item.argsort(stable=True), item.bincount(minlength=y.index.batch_size)
    parts = y.features[by_item].split(sizes.tolist())
    return torch.cat([_normalised(part, norm) for part in parts])[by_item.argsort()]


def _normalised(features: Tensor, norm: nn.InstanceNorm2d) -> Tensor:
    """The features (N, C) of one item, normalised by their own statistics."""
    weight, bias = norm.weight, norm.bias
    if len(features) < 2:  # which have no deviation
        return ((features - features) * weight + bias).to(features.dtype)
    image = batch_norm(_as_image(features), None, None, weight, bias, training=True, eps=norm.eps)
    return _as_voxels(image)


def _train(y: SparseTensor, norm: nn.BatchNorm2d) -> SparseTensor:
    """Normalise by the batch's statistics, unless the module is told to keep its own."""
    if len(y) == 1 and norm.training:
        raise VolumeError(
            f"batch normalisation needs two voxels or more, got one at stride {y.stride}:"
            " train with a larger batch or a finer grid"
        )
    if not len(y):
        return y
    return y.with_features(torch.relu(_as_voxels(norm(_as_image(y.features)))))


def _infer(y: SparseTensor, norm: nn.BatchNorm2d) -> SparseTensor:
    """Normalise by the running statistics: a scale and a shift."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return _scaled(y, scale, norm.bias - norm.running_mean * scale)


def _scaled(y: SparseTensor, scale: Tensor, shift: Tensor) -> SparseTensor:
    dtype = y.features.dtype  # which autocast may have changed
    return sparse.rectify(y, scale.to(dtype), shift.to(dtype))


def _as_image(features: Tensor) -> Tensor:
    """Features (N, C) as (1, C, N, 1), channels last, which torch normalises much faster."""
    return features.t().unsqueeze(0).unsqueeze(3)


def _as_voxels(image: Tensor) -> Tensor:
    """Back to (N, C). Axes are squeezed, not indexed, whose gradient is wrong if layouts differ."""
    return image.squeeze(3).squeeze(0).t()


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
