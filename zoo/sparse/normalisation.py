"""Normalisation over voxels, and ReLU: by the backend if it does that faster, or by PyTorch."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm

from zoo.sparse.tensor import Index, SparseTensor


class Normalisation(NamedTuple):
    """How features (N, C) are normalised.

    Attributes:
        weight: (C,), by which they are multiplied then.
        bias: (C,), which is added in the end.
        eps: what is added to the variance.
        by_item: whether mean and variance are those of every item of the batch by itself.
    """

    weight: Tensor
    bias: Tensor
    eps: float
    by_item: bool


class Moments(NamedTuple):
    """Mean and variance of sections of rows: of each item of a batch, or of all its rows together.

    Attributes:
        rows: where the S sections begin and end, S + 1 numbers.
        mean: (S, C).
        variance: (S, C), biased: divided by the number of rows.
    """

    rows: tuple[int, ...]
    mean: Tensor
    variance: Tensor


class Running(NamedTuple):
    """Running mean and variance (C,), which move by a share towards those of each batch."""

    mean: Tensor
    variance: Tensor
    share: float


class Normaliser(Protocol):
    """Normalises features in a backend's own way; a backend that has one calls it `normaliser`."""

    def fits(self, features: Tensor) -> bool:
        """Whether it normalises features of this type."""
        ...

    def normalise(self, features: Tensor, how: Normalisation, index: Index, out: Tensor) -> Moments:
        """Fill `out` (N, C), which may be the features themselves, and return their moments."""
        ...

    def differentiate(
        self, features: Tensor, how: Normalisation, moments: Moments, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of the features (N, C), the weight (C,) and the bias (C,)."""
        ...


def by_backend(
    x: SparseTensor, how: Normalisation, running: Running | None, *, overwrite: bool
) -> Tensor | None:
    """Features (N, C) of `operations.normalise`; None if the backend leaves it to PyTorch."""
    normaliser, features = getattr(x.index.backend, "normaliser", None), x.features
    if normaliser is None or not normaliser.fits(features):
        return None
    if overwrite:
        _follow(running, normaliser.normalise(features, how, x.index, features))
        return features
    rest = how.eps, how.by_item, normaliser, x.index, running
    made: Tensor = _Normalise.apply(features, how.weight, how.bias, *rest)  # type: ignore[no-untyped-call]
    return made


class _Normalise(torch.autograd.Function):
    """Features (N, C), weight (C,), bias (C,) -> (N, C)."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        by_item: bool,
        normaliser: Normaliser,
        index: Index,
        running: Running | None,
    ) -> Tensor:
        how, features = Normalisation(weight, bias, eps, by_item), features.contiguous()
        out = torch.empty_like(features)
        moments = normaliser.normalise(features, how, index, out)
        _follow(running, moments)
        ctx.save_for_backward(features, weight, bias, moments.mean, moments.variance)
        ctx.rest = normaliser, eps, by_item, moments.rows
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias, mean, variance = ctx.saved_tensors
        normaliser, eps, by_item, rows = ctx.rest
        how, moments = Normalisation(weight, bias, eps, by_item), Moments(rows, mean, variance)
        gradients = normaliser.differentiate(features, how, moments, gradient.contiguous())
        return *gradients, None, None, None, None, None


def _follow(running: Running | None, moments: Moments) -> None:
    """Move running statistics towards those of a batch, its variance made unbiased."""
    if running:
        _, count = moments.rows
        variance = moments.variance[0] * (count / (count - 1))
        running.mean.lerp_(moments.mean[0].to(running.mean), running.share)
        running.variance.lerp_(variance.to(running.variance), running.share)


def by_torch(
    x: SparseTensor, how: Normalisation, running: Running | None, *, overwrite: bool
) -> Tensor:
    """The same by PyTorch, on any device."""
    if how.by_item and x.index.batch_size > 1:
        return _apart(x, how)
    if overwrite and not running:
        dtype = x.features.dtype
        variance, mean = torch.var_mean(x.features.float(), dim=0, correction=0)
        scale = how.weight * torch.rsqrt(variance + how.eps)
        deviation = x.features.sub_(mean.to(dtype))
        return x.index.backend.rectify(deviation, scale.to(dtype), how.bias.to(dtype))
    return torch.relu(_together(x.features, how, running))


def _apart(x: SparseTensor, how: Normalisation) -> Tensor:
    """The features (N, C) of several items, each normalised by itself."""
    item = x.coordinates[:, 0]
    by_item, sizes = item.argsort(stable=True), item.bincount(minlength=x.index.batch_size)
    parts = x.features[by_item].split(sizes.tolist())
    made = torch.cat([_together(part, how) for part in parts])
    return torch.relu(made[by_item.argsort()])


def _together(features: Tensor, how: Normalisation, running: Running | None = None) -> Tensor:
    """The features (N, C), normalised by their own statistics."""
    weight, bias = how.weight, how.bias
    if len(features) < 2:  # which have no deviation
        return ((features - features) * weight + bias).to(features.dtype)
    image = _as_image(features)
    if features.device.type == "cpu":  # where PyTorch adds up in the type of the features
        image, weight, bias = image.double(), weight.double(), bias.double()
    moved = running and Running(running.mean.to(weight), running.variance.to(weight), running.share)
    mean, variance, share = moved or (None, None, 0.0)
    made = batch_norm(image, mean, variance, weight, bias, True, share, how.eps)
    if running and moved and moved.mean is not running.mean:
        running.mean.copy_(moved.mean)
        running.variance.copy_(moved.variance)
    return _as_voxels(made).to(features.dtype)


def _as_image(features: Tensor) -> Tensor:
    """Features (N, C) as (1, C, N, 1), channels last, which torch normalises much faster."""
    return features.t().unsqueeze(0).unsqueeze(3)


def _as_voxels(image: Tensor) -> Tensor:
    """Back to (N, C). Axes are squeezed, not indexed, whose gradient is wrong if layouts differ."""
    return image.squeeze(3).squeeze(0).t()
