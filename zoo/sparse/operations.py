"""The door to backends: every operation on sparse tensors, checked, on the tensor's own backend.

A tensor is tied to its backend when it is made; nothing here or below keeps any other state.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.sparse import _autograd, normalisation
from zoo.sparse.convolution_relation import SAME, down, kernel_size, up
from zoo.sparse.memory import check_growth
from zoo.sparse.normalisation import Normalisation, Running
from zoo.sparse.tensor import EmptyIndex, Index, SparseTensor


def convolution(
    x: SparseTensor, kernel: Tensor, bias: Tensor | None = None, *, stride: int = 1
) -> SparseTensor:
    """Convolve features (N, C_in) with kernel (K, C_in, C_out).

    Kernel size 1 or 3 at stride 1 (same coordinates), or 2 at stride 2 (coordinates coarsened).

    Raises:
        ValueError: a kernel whose channels or size do not fit.
    """
    size = _check_kernel(x, kernel, {(1, 1), (3, 1), (2, 2)}, stride)
    if size == 1:
        bias = x.features.new_zeros(()) if bias is None else bias
        return x.with_features(torch.addmm(bias, x.features, kernel[0]))
    if not len(x):
        y = _empty(x, kernel.shape[2], x.stride * stride)
    elif stride == 1:
        y = _autograd.convolve(x, kernel, SAME, x.index)
    else:
        y = _autograd.convolve(x, kernel, down(size), coarsen(x.index))
    if bias is None:
        return y
    bias = bias.to(y.features.dtype)
    overwritten = _may_overwrite(y.features, bias)
    return y.with_features(y.features.add_(bias) if overwritten else y.features + bias)


def generative_transposed_convolution(x: SparseTensor, kernel: Tensor) -> SparseTensor:
    """Upsample by 2 with kernel (8 or 64, C_in, C_out), creating every coordinate it reaches.

    An input at p writes to p + s d for every kernel offset d, s being the output's tensor stride.

    Raises:
        ValueError: a kernel whose channels or size do not fit, or a tensor stride of 1.
        BackendError: the result would not fit into memory.
    """
    size = _check_kernel(x, kernel, {(2, 2), (4, 2)}, 2)
    if x.stride < 2:
        raise ValueError("a tensor at stride 1 cannot be upsampled: it is at the input's grid")
    if not len(x):
        return _empty(x, kernel.shape[2], x.stride // 2)
    target = x.index.backend.refine(x.index, size)
    check_growth(len(target), kernel.shape[2], target.stride, kernel.dtype, x.features.device)
    return _autograd.convolve(x, kernel, up(size), target)


def transposed_convolution(x: SparseTensor, kernel: Tensor, index: Index) -> SparseTensor:
    """Upsample by 2 with kernel (8 or 64, C_in, C_out) onto given coordinates.

    As `generative_transposed_convolution`, but the result lives on `index`, at half the tensor
    stride: what is reached beside it is dropped, what is not reached is zero.

    Raises:
        ValueError: a kernel whose channels or size do not fit, or an index at another stride.
    """
    size = _check_kernel(x, kernel, {(2, 2), (4, 2)}, 2)
    _check_same(x.index, index, finer=2)
    if not len(x) or not len(index):
        return SparseTensor(x.features.new_zeros(len(index), kernel.shape[2]), index)
    return _autograd.convolve(x, kernel, up(size), index)


def concatenate(x: SparseTensor, y: SparseTensor) -> SparseTensor:
    """Features (N, C) and (N, D) on one index, side by side: (N, C + D).

    Raises:
        ValueError: the two do not share their index.
    """
    if x.index is not y.index:
        raise ValueError("operands of concatenate need one and the same index")
    return x.with_features(torch.cat([x.features, y.features], dim=1))


def prune(x: SparseTensor, keep: Tensor) -> SparseTensor:
    """Keep the rows where `keep` (N,) bool is set; none at all is a valid answer."""
    if keep.dtype != torch.bool or keep.shape != (len(x),):
        raise ValueError(f"keep must be bool of shape ({len(x)},); got {keep.dtype} {keep.shape}")
    if not bool(keep.any()):
        return _empty(x, x.channels, x.stride)
    return _autograd.transfer(x, x.index.backend.select(x.index, keep.detach()))


def add(x: SparseTensor, y: SparseTensor, *, overwrite: bool = False) -> SparseTensor:
    """Sum of two tensors on the union of their coordinates; a missing operand counts as zero.

    With `overwrite`, which saves memory, the features of x may be lost, unless a gradient needs
    them or y has another type.
    """
    _check_same(x.index, y.index)
    if x.channels != y.channels:
        raise ValueError(f"operands of add need equal channels; got {x.channels} and {y.channels}")
    if not len(x) or not len(y):
        return x if len(x) else y
    if x.index is y.index:
        overwritten = overwrite and _may_overwrite(x.features, y.features)
        return x.with_features(
            x.features.add_(y.features) if overwritten else x.features + y.features
        )
    backend = x.index.backend
    union = backend.unite(x.index, y.index)
    if overwrite and union is x.index and _may_overwrite(x.features, y.features):
        return x.with_features(backend.transfer(y.features, y.index, union, onto=x.features))
    return _autograd.add_on_union(x, y, union)


def rectify(x: SparseTensor, scale: Tensor, shift: Tensor) -> SparseTensor:
    """ReLU of features (N, C) times scale (C,) plus shift (C,).

    The features of x are overwritten, unless a gradient needs them.

    Raises:
        ValueError: scale or shift of another shape or type.
    """
    for name, factor in (("scale", scale), ("shift", shift)):
        if factor.shape != (x.channels,) or factor.dtype != x.features.dtype:
            raise ValueError(
                f"{name} must be {x.features.dtype} of shape ({x.channels},);"
                f" got {factor.dtype} {tuple(factor.shape)}"
            )
    if not _may_overwrite(x.features, scale, shift):
        return x.with_features(torch.relu(x.features * scale + shift))
    if not len(x):
        return x
    features = x.index.backend.rectify(x.features, scale, shift)
    _tell_autograd(features)
    return x.with_features(features)


def normalise(
    x: SparseTensor,
    weight: Tensor,
    bias: Tensor,
    *,
    eps: float,
    by_item: bool = False,
    running: Running | None = None,
) -> SparseTensor:
    """Normalise features (N, C), multiply by weight (C,), add bias (C,), and apply ReLU.

    Mean and variance are those of all rows or, `by_item`, of every item of the batch by itself; of
    all rows, they may enter running ones. The features of x are overwritten, unless a gradient
    needs them.

    Raises:
        ValueError: weight or bias of another shape; running statistics by item, or of one row.
    """
    for name, factor in (("weight", weight), ("bias", bias)):
        if factor.shape != (x.channels,):
            raise ValueError(f"{name} must have shape ({x.channels},); got {tuple(factor.shape)}")
    if running and (by_item or len(x) == 1):
        raise ValueError("running statistics are of two rows or more, and of all items together")
    if not len(x):
        return x
    how = Normalisation(weight, bias, eps, by_item)
    overwrite = _may_overwrite(x.features, weight, bias)
    features = normalisation.by_backend(x, how, running, overwrite=overwrite)
    if features is None:
        features = normalisation.by_torch(x, how, running, overwrite=overwrite)
    if overwrite:
        _tell_autograd(features)
    return x.with_features(features)


def coarsen(index: Index) -> Index:
    """The coordinates at twice the tensor stride (rounded down), each once."""
    if not len(index):
        return EmptyIndex(
            index.backend, index.stride * 2, index.batch_size, index.coordinates.device
        )
    return index.backend.coarsen(index)


def contains(index: Index, other: Index) -> Tensor:
    """(N,) bool: which of the N coordinates of `index` occur in `other`."""
    _check_same(index, other)
    if not len(index) or not len(other):
        return torch.zeros(len(index), dtype=torch.bool, device=index.coordinates.device)
    return index.backend.contains(index, other)


def at(x: SparseTensor, index: Index) -> SparseTensor:
    """x at the coordinates of `index` alone, zero where it has none of them."""
    _check_same(x.index, index)
    if not len(x) or not len(index):
        return SparseTensor(x.features.new_zeros(len(index), x.channels), index)
    return _autograd.transfer(x, index)


def _may_overwrite(features: Tensor, *others: Tensor) -> bool:
    """Whether a result may be written over features: they fit it, and no gradient needs them."""
    needed = any(tensor.requires_grad for tensor in (features, *others))
    fits = features.is_contiguous() and all(each.dtype == features.dtype for each in others)
    return fits and not (torch.is_grad_enabled() and needed)


def _tell_autograd(features: Tensor) -> None:
    """That features may have been overwritten by code of which PyTorch does not know."""
    if not features.is_inference():
        torch.autograd.graph.increment_version(features)


def _empty(x: SparseTensor, channels: int, stride: int) -> SparseTensor:
    device = x.features.device
    index = EmptyIndex(x.index.backend, stride, x.index.batch_size, device)
    return SparseTensor(x.features.new_zeros(0, channels), index)


def _check_kernel(x: SparseTensor, kernel: Tensor, known: set[tuple[int, int]], stride: int) -> int:
    if kernel.ndim != 3 or kernel.shape[1] != x.channels:
        raise ValueError(
            f"kernel must have shape (K, {x.channels}, C_out); got {tuple(kernel.shape)}"
        )
    size = kernel_size(kernel.shape[0])
    if (size, stride) not in known:
        wanted = ", ".join(f"{k} at stride {s}" for k, s in sorted(known))
        raise ValueError(f"kernel size must be {wanted}; got {size} at stride {stride}")
    mixed = torch.is_autocast_enabled(x.features.device.type)
    if kernel.dtype != x.features.dtype and not mixed:
        raise ValueError(f"kernel must be {x.features.dtype} like the features; got {kernel.dtype}")
    return size


def _check_same(a: Index, b: Index, finer: int = 1) -> None:
    """Check that both have one backend and batch, `b` being `finer` times finer than `a`."""
    fits = a.stride == finer * b.stride and a.batch_size == b.batch_size
    if a.backend is not b.backend or not fits:
        got = [f"{i.backend.name} stride {i.stride} batch {i.batch_size}" for i in (a, b)]
        wanted = "tensor stride" if finer == 1 else f"the second {finer} times as fine as the first"
        raise ValueError(f"both need one backend, batch size and {wanted}; got {got}")
