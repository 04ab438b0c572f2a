"""Checks backends against the oracle: results, gradients, reproducibility, empty tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo import sparse
from zoo.errors import BackendError
from zoo.sparse import Backend, SparseTensor
from zoo.testing import oracle
from zoo.testing._expecting import expect, expect_close

Points = Sequence[Sequence[tuple[int, int, int]]]
Rows = oracle.Rows
CPU = torch.device("cpu")

CASES: dict[str, Points] = {
    "one voxel": [[(5, 6, 7)]],
    "corner": [[(0, 0, 0), (1, 0, 0), (0, 1, 1)]],
    "negative": [[(-1, -1, -1), (-2, 0, 3), (0, 0, 0), (1, 1, 1)]],
    "line": [[(2, 2, k) for k in range(9)]],
    "two far apart": [[(0, 0, 0), (400, 70, 1900)]],
    "batch": [[(0, 0, 0), (1, 1, 1), (3, 3, 2)], [(0, 0, 0), (7, 6, 5)]],
    "empty item": [[(0, 0, 0), (1, 1, 1)], []],
    "blob": [list({(i, j, k) for i, j, k in np.random.default_rng(3).integers(0, 7, (90, 3))})],
}


@dataclass(frozen=True)
class Bench:
    """A backend under test.

    Attributes:
        backend: the backend.
        device: the device to test it on.
        dtype: dtype of features and kernels.
    """

    backend: Backend
    device: torch.device = CPU
    dtype: torch.dtype = torch.float64

    @property
    def tolerance(self) -> float:
        """The allowed error, relative to the largest value."""
        return 1e-10 if self.dtype == torch.float64 else 1e-5

    def values(self, *shape: int, seed: int = 0) -> Tensor:
        """Random numbers between -1 and 1."""
        drawn = np.random.default_rng(seed).uniform(-1, 1, shape)
        return torch.from_numpy(drawn).to(self.device, self.dtype)

    def tensor(self, points: Points, channels: int, stride: int = 1, seed: int = 0) -> SparseTensor:
        """A sparse tensor at the points times the stride; its random features require gradients."""
        items = [torch.tensor(p, dtype=torch.int64).reshape(-1, 3) * stride for p in points]
        features = self.values(sum(map(len, items)), channels, seed=seed).requires_grad_()
        return SparseTensor.from_coordinates(
            [item.to(self.device) for item in items],
            features,
            backend=self.backend,
            stride=stride,
        )


def check_backend(
    backend: Backend,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float64,
    refuses: Sequence[str] = (),
    leave_out: Sequence[str] = (),
) -> None:
    """Check that a backend computes what `zoo.testing.oracle` computes, and the right gradients.

    Args:
        backend: an instance of the backend.
        device: the device to test it on, which `check_device` must accept.
        dtype: dtype of features and kernels; torch.float32 for a backend without float64.
        refuses: keys of `CHECKS` for operations that the backend does not support; asked for one,
            it must raise BackendError.
        leave_out: keys of `CASES` that it is not tested on.

    Raises:
        AssertionError: a result is wrong or differs from run to run, or an operation in `refuses`
            is carried out.
    """
    bench = Bench(backend, torch.device(device), dtype)
    backend.check_device(bench.device)
    for name, check in CHECKS.items():
        for case, points in CASES.items():
            if case in leave_out:
                continue
            try:
                check(bench, points)
            except BackendError as error:
                expect(name in refuses, f"{backend.name}, {name}, {case!r}: {error}")
            except AssertionError as error:
                raise AssertionError(f"{backend.name}, {name}, {case!r}: {error}") from error
            else:
                expect(name not in refuses, f"{backend.name}: wanted {name} to be refused")
    check_nothing(bench, refuses)


def check_convolution(
    bench: Bench, points: Points, size: int = 3, stride: int = 1, tensor_stride: int = 1
) -> None:
    """Check a convolution of size 1 or 3 with stride 1, or of size 2 with stride 2."""
    x = bench.tensor(points, 3, tensor_stride)
    kernel = bench.values(size**3, 3, 4, seed=1).requires_grad_()
    y = sparse.convolution(x, kernel, stride=stride)
    expect(y.stride == tensor_stride * stride, f"got a tensor stride of {y.stride}")
    wanted = oracle.convolution(rows(x), _plain(kernel), stride, tensor_stride)
    _check(bench, x, y, kernel, wanted, tensor_stride, +1)
    again = sparse.convolution(x, kernel, stride=stride)
    expect(torch.equal(again.features, y.features), "the second run gave another result")


def check_strided_convolution(bench: Bench, points: Points) -> None:
    """Check a convolution of size 2 with stride 2."""
    check_convolution(bench, points, size=2, stride=2)


def check_generative_transposed_convolution(
    bench: Bench, points: Points, size: int = 2, tensor_stride: int = 2
) -> None:
    """Check the convolution of size 2 or 4 onto every coordinate that the kernel reaches."""
    x = bench.tensor(points, 3, tensor_stride)
    kernel = bench.values(size**3, 3, 2, seed=1).requires_grad_()
    y = sparse.generative_transposed_convolution(x, kernel)
    expect(y.stride == tensor_stride // 2, f"got a tensor stride of {y.stride}")
    wanted = oracle.generative_transposed_convolution(rows(x), _plain(kernel), tensor_stride)
    _check(bench, x, y, kernel, wanted, tensor_stride // 2, -1)


def check_wide_generative_transposed_convolution(bench: Bench, points: Points) -> None:
    """Check size 4, whose outputs overlap and reach beyond the input's bounding box."""
    check_generative_transposed_convolution(bench, points, size=4)


def check_transposed_convolution(
    bench: Bench, points: Points, size: int = 2, tensor_stride: int = 1
) -> None:
    """Check the convolution back onto the coordinates that a strided one came from.

    Some of them are not reached.

    Args:
        bench: the backend under test.
        points: the fine coordinates (i, j, k) of each item of the batch.
        size: size of the kernel.
        tensor_stride: tensor stride of the fine coordinates.

    Raises:
        AssertionError: a result or gradient is wrong.
    """
    fine = bench.tensor(points, 3, tensor_stride)
    index = sparse.coarsen(fine.index)
    coarse = SparseTensor(bench.values(len(index), 3), index)
    x = sparse.prune(coarse, coarse.coordinates[:, 1] != coarse.coordinates[-1, 1])
    x = coarse if not len(x) else x
    x = x.with_features(x.features.detach().requires_grad_())
    kernel = bench.values(size**3, 3, 2, seed=1).requires_grad_()
    y = sparse.transposed_convolution(x, kernel, fine.index)
    expect(y.index is fine.index, "wanted the result on the given index")
    wanted = oracle.transposed_convolution(rows(x), _plain(kernel), rows(fine), 2 * tensor_stride)
    _check(bench, x, y, kernel, wanted, tensor_stride, -1)


def check_prune(bench: Bench, points: Points) -> None:
    """Check that pruning keeps the right voxels, and their gradients only."""
    x = bench.tensor(points, 2)
    keep = x.coordinates[:, 1:].sum(1) % 2 == 0
    y = sparse.prune(x, keep)
    wanted = oracle.prune(rows(x), lambda point: sum(point[1:]) % 2 == 0)
    same(bench, rows(y), wanted)
    if len(y):
        (gradient,) = torch.autograd.grad(y.features.sum(), x.features)
        expect(torch.equal(gradient[:, 0] > 0, keep), "a gradient passes through pruned voxels")


def check_add(bench: Bench, points: Points) -> None:
    """Check the sum over the union of voxels, also if the features of one operand may be lost."""
    x = bench.tensor(points, 3)
    even = x.coordinates[:, 1:].sum(1) % 2 == 0
    some = sparse.prune(x, even | (x.coordinates[:, 1] == x.coordinates[0, 1]))
    others = sparse.prune(x, ~even | (x.coordinates[:, 2] == x.coordinates[0, 2]))
    tenfold = others.with_features(others.features * 10)
    total = sparse.add(some, tenfold)
    wanted = oracle.add(rows(some), rows(tenfold))
    same(bench, rows(total), wanted)
    (gradient,) = torch.autograd.grad(total.features.sum(), x.features)
    expect_close(gradient.sum().item(), 3 * (len(some) + 10 * len(others)), 1e-6, "gradient")
    with torch.no_grad():
        lost = some.with_features(some.features.detach().clone())
        same(bench, rows(sparse.add(lost, tenfold, overwrite=True)), wanted)
    _check_add_apart(bench, points)


def _check_add_apart(bench: Bench, points: Points) -> None:
    """The same of tensors that were made apart, and overlap in part or not at all."""
    x = bench.tensor(points, 2)
    for shift in (1, 300):
        moved = [[(i + shift, j, k) for i, j, k in item] for item in points]
        y = bench.tensor(moved, 2, seed=7)
        total = sparse.add(x, y)
        same(bench, rows(total), oracle.add(rows(x), rows(y)))
        kernel = bench.values(27, 2, 3, seed=1)
        wanted = oracle.convolution(rows(total), _plain(kernel), 1, 1)
        same(bench, rows(sparse.convolution(total, kernel)), wanted)
        upstream = bench.values(len(total), 2, seed=9)
        gradients = torch.autograd.grad(total.features, [x.features, y.features], upstream)
        given = rows(total.with_features(upstream))
        for part, gradient in zip((x, y), gradients, strict=True):
            got = rows(part.with_features(gradient))
            same(bench, got, {point: given[point] for point in got})
        nothing = np.zeros(2)
        found = sparse.at(y, x.index)
        same(bench, rows(found), {point: rows(y).get(point, nothing) for point in rows(x)})


def check_rectify(bench: Bench, points: Points) -> None:
    """Check max(features * scale + shift, 0), computed in place."""
    x = bench.tensor(points, 3)
    features, scale, shift = x.features.detach(), bench.values(3, seed=4), bench.values(3, seed=5)
    got = sparse.rectify(x.with_features(features.clone()), scale, shift)
    expect_close(got.features.cpu(), torch.relu(features * scale + shift).cpu(), 1e-6, "features")


def check_normalise(bench: Bench, points: Points) -> None:
    """Check normalisation over all voxels and over those of each item, with its gradients."""
    x, eps = bench.tensor(points, 3), 1e-3
    weight, bias = (bench.values(3, seed=seed).requires_grad_() for seed in (4, 5))
    for by_item in (False, True):
        wanted = normalised(x, weight, bias, eps, by_item=by_item)
        got = sparse.normalise(x, weight, bias, eps=eps, by_item=by_item).features
        expect_close(got.detach().cpu(), wanted.detach().cpu(), bench.tolerance, "features")
        leaves, upstream = (x.features, weight, bias), bench.values(len(x), 3, seed=6)
        gradients = (torch.autograd.grad(made, leaves, upstream) for made in (got, wanted))
        for one, other in zip(*gradients, strict=True):
            expect_close(one.cpu(), other.cpu(), 100 * bench.tolerance, "gradients")


def check_coarsening(bench: Bench, points: Points) -> None:
    """Check coarsening, and which coordinates of one index occur in another."""
    x = bench.tensor(points, 1)
    index = sparse.coarsen(sparse.coarsen(x.index))
    wanted = oracle.coarse(set(rows(x)), 4)
    got = [tuple(point) for point in index.coordinates.tolist()]
    expect(sorted(got) == sorted(wanted), "got other coordinates than wanted")
    expect(index.stride == 4, f"wanted a tensor stride of 4, got {index.stride}")
    some = sparse.prune(x, x.coordinates[:, 3] % 2 == 0)
    inside = sparse.contains(x.index, some.index)
    kept = {tuple(point) for point in some.coordinates.tolist()}
    wanted_inside = [tuple(point) in kept for point in x.coordinates.tolist()]
    expect(inside.tolist() == wanted_inside, "wrong membership")


def check_grids(bench: Bench, points: Points) -> None:
    """Check conversion from dense arrays and back to a smaller window; `points` are not used."""
    rng = np.random.default_rng(2)
    grids = [rng.random((5, 6, 150)) < 0.1 for _ in range(2)]
    for low in ((0, 0, 0), (3, -5, 70)):
        x = SparseTensor.from_grids(grids, low=low, backend=bench.backend, device=bench.device)
        wanted = [(b, *(p + np.array(low))) for b in (0, 1) for p in np.argwhere(grids[b])]
        got = sorted(map(tuple, x.coordinates.tolist()))
        expect(got == sorted(wanted), "got other coordinates than those of the grids")
        expect(bool((x.features == 1).all()), "wanted features of one")
        mask = torch.from_numpy(np.stack(grids)).to(bench.device)
        found = bench.backend.index_from_mask(mask.view(torch.uint8), low)
        got = sorted(map(tuple, found.coordinates.tolist()))
        expect(got == sorted(wanted), "got other coordinates than those of the mask")
        window = x.to_grid((low[0] + 2, low[1] - 1, low[2] + 66), (9, 4, 70))
        expect((window[:3, 1:4] == grids[0][2:5, 0:3, 66:136]).all(), "got another grid back")
        outside = window[3:].any() or window[:, 0].any()
        expect(not outside, "got voxels outside of the grids")
        shares = [np.where(grid, rng.random(grid.shape), 0).astype(np.float32) for grid in grids]
        shares = [np.zeros_like(shares[0]), *map(np.asfortranarray, shares)]
        x = SparseTensor.from_grids(shares, low=low, backend=bench.backend, device=bench.device)
        at = x.coordinates.cpu().numpy() - np.array([0, *low])
        values = [shares[item][i, j, k] for item, i, j, k in at]
        expect(x.features[:, 0].tolist() == values, "got features of other voxels of the grids")


def check_nothing(bench: Bench, refuses: Sequence[str] = ()) -> None:
    """Check that every operation that is not refused accepts an empty tensor."""
    if "prune" in refuses:
        return
    x = bench.tensor(CASES["blob"], 2, stride=2)
    nothing = sparse.prune(x, torch.zeros(len(x), dtype=torch.bool, device=bench.device))
    expect(len(nothing) == 0 and nothing.stride == 2, "wanted an empty tensor")
    kernel = bench.values(8, 2, 3)
    expect(sparse.convolution(nothing, kernel, stride=2).features.shape == (0, 3), "convolution")
    up = sparse.generative_transposed_convolution(nothing, kernel)
    expect(up.features.shape == (0, 3) and up.stride == 1, "generative transposed convolution")
    if "coarsening" not in refuses:
        expect(not sparse.contains(x.index, nothing.index).any(), "membership")
    if "add" not in refuses:
        expect(len(sparse.add(nothing, x)) == len(x), "add")


CHECKS: Mapping[str, Callable[[Bench, Points], None]] = {
    "convolution": check_convolution,
    "strided convolution": check_strided_convolution,
    "generative transposed convolution": check_generative_transposed_convolution,
    "wide generative transposed convolution": check_wide_generative_transposed_convolution,
    "transposed convolution": check_transposed_convolution,
    "prune": check_prune,
    "add": check_add,
    "rectify": check_rectify,
    "normalise": check_normalise,
    "coarsening": check_coarsening,
    "grids": check_grids,
}


def normalised(
    x: SparseTensor, weight: Tensor, bias: Tensor, eps: float, *, by_item: bool
) -> Tensor:
    """Features (N, C) of `sparse.normalise` by its formula, which PyTorch differentiates."""
    item, wanted = x.coordinates[:, 0], torch.zeros_like(x.features)
    parts = [item == number for number in item.unique()] if by_item else [item >= 0]
    for part in parts:
        values = x.features[part]
        deviation = (values.var(0, correction=0) + eps).sqrt()
        scaled = (values - values.mean(0)) / deviation * weight + bias
        wanted = wanted.index_put((part,), torch.relu(scaled))
    return wanted


def rows(x: SparseTensor) -> Rows:
    """The features by coordinate (batch, i, j, k), in the oracle's form."""
    features = _plain(x.features)
    points = (tuple(point) for point in x.coordinates.tolist())
    return dict(zip(points, features, strict=True))


def _plain(tensor: Tensor) -> Any:
    return tensor.detach().double().cpu().numpy()


def same(bench: Bench, got: Rows, wanted: Rows) -> None:
    """Check that coordinates and features are the same."""
    expect(set(got) == set(wanted), f"wanted {len(wanted)} coordinates, got {len(got)} others")
    points = sorted(wanted)
    if points:
        one, other = (np.array([found[point] for point in points]) for found in (got, wanted))
        expect_close(one, other, bench.tolerance, "features")


def _check(
    bench: Bench,
    x: SparseTensor,
    y: SparseTensor,
    kernel: Tensor,
    wanted: Rows,
    step: int,
    sign: int,
) -> None:
    """Check outputs, and gradients with respect to features and kernel."""
    same(bench, rows(y), wanted)
    upstream = bench.values(len(y), y.channels, seed=9)
    to_x, to_kernel = torch.autograd.grad(y.features, [x.features, kernel], upstream)
    wanted_x, wanted_kernel = oracle.gradients(
        rows(x), _plain(kernel), rows(y.with_features(upstream)), step, sign
    )
    same(bench, rows(x.with_features(to_x)), wanted_x)
    expect_close(to_kernel.cpu(), wanted_kernel, bench.tolerance, "gradient of the kernel")
