"""Normalisation over voxels, with ReLU, against the formula that PyTorch differentiates itself."""

import numpy as np
import pytest
import torch

from zoo import registries, sparse
from zoo.sparse import Running, SparseTensor
from zoo.testing.backends import normalised

EPS = 1e-5


def tensor(backend, counts, channels, dtype=torch.float64):
    """Items of so many voxels, whose features have other means and deviations."""
    torch.manual_seed(sum(counts))
    shape = (23, 17, 130)
    points = [torch.randperm(np.prod(shape))[:count] for count in counts]
    items = [torch.stack(torch.unravel_index(each, shape), dim=1) for each in points]
    deviations = torch.rand(channels, dtype=torch.float64) + 0.1
    features = [
        (item + torch.randn(count, channels, dtype=torch.float64)) * deviations
        for item, count in enumerate(counts)
    ]
    return SparseTensor.from_coordinates(
        items, torch.cat(features).to(dtype).requires_grad_(), backend=backend
    )


def factors(channels, dtype=torch.float64):
    torch.manual_seed(channels)
    return [torch.randn(channels, dtype=dtype, requires_grad=True) for _ in range(2)]


@pytest.mark.parametrize("by_item", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 8, 40, 600])
@pytest.mark.parametrize("counts", [(2,), (300, 0, 1, 70)])
def test_values_and_gradients_are_those_of_the_formula(backend, counts, channels, by_item):
    x, (weight, bias) = tensor(backend, counts, channels), factors(channels)
    wanted = normalised(x, weight, bias, EPS, by_item=by_item)
    upstream = torch.randn(wanted.shape, dtype=torch.float64)
    leaves = [x.features, weight, bias]
    gradients = torch.autograd.grad(wanted, leaves, upstream)
    got = sparse.normalise(x, weight, bias, eps=EPS, by_item=by_item).features
    torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-9)
    for a, b in zip(torch.autograd.grad(got, leaves, upstream), gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("by_item", [False, True])
def test_features_are_overwritten_where_no_gradient_needs_them(backend, by_item):
    x, (weight, bias) = tensor(backend, (90,), 4), factors(4)
    wanted = normalised(x, weight, bias, EPS, by_item=by_item).detach()
    kept = x.with_features(x.features.detach().clone())
    with torch.no_grad():
        got = sparse.normalise(kept, weight, bias, eps=EPS, by_item=by_item)
    torch.testing.assert_close(got.features, wanted, rtol=1e-6, atol=1e-6)
    assert got.features.data_ptr() == kept.features.data_ptr()


@pytest.mark.parametrize("gradient", [False, True])
def test_running_statistics_are_those_of_batch_norm(backend, gradient):
    x, (weight, bias) = tensor(backend, (60, 30), 5), factors(5)
    norm = torch.nn.BatchNorm1d(5, eps=EPS, momentum=0.3).double()
    running = Running(torch.zeros(5).double(), torch.ones(5).double(), 0.3)
    given = x.with_features(x.features.detach().clone())
    for _ in range(2):
        norm(x.features)
        with torch.set_grad_enabled(gradient):
            sparse.normalise(
                given.with_features(given.features.clone()), weight, bias, eps=EPS, running=running
            )
    torch.testing.assert_close(running.mean, norm.running_mean)
    torch.testing.assert_close(running.variance, norm.running_var)


def test_running_statistics_are_not_of_items_or_of_one_row(backend):
    running = Running(torch.zeros(2).double(), torch.ones(2).double(), 0.1)
    for counts, by_item in (((1,), False), ((9, 9), True)):
        x, (weight, bias) = tensor(backend, counts, 2), factors(2)
        with pytest.raises(ValueError, match="two rows or more"):
            sparse.normalise(x, weight, bias, eps=EPS, by_item=by_item, running=running)


@pytest.mark.parametrize("gradient", [False, True])
def test_sums_of_a_large_scan_are_exact(gradient, threads):
    """A mean of 30 deviations, but for the first rows; the same bits for any number of threads."""
    backend = registries.backends.get("cpu")()
    x = SparseTensor.from_grids([np.ones((90, 90, 90))], backend=backend)
    torch.manual_seed(0)
    features = torch.randn(len(x), 2) + 30
    features[:300] = 0
    weight, bias = factors(2, torch.float32)
    upstream = torch.randn(len(x), 2)
    exact = x.with_features(features.double().requires_grad_())
    wanted = normalised(exact, weight.double(), bias.double(), EPS, by_item=False)
    (to_exact,) = torch.autograd.grad(wanted, exact.features, upstream.double())
    found = []
    for count in (1, 2, 3):
        threads(count)
        given = features.clone().requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            made = sparse.normalise(x.with_features(given), weight, bias, eps=EPS).features
        found.append((made, torch.autograd.grad(made, given, upstream)[0] if gradient else made))
    for each in found:
        assert all(map(torch.equal, each, found[0]))
    torch.testing.assert_close(found[0][0].double(), wanted, rtol=0, atol=1e-5)
    if gradient:
        torch.testing.assert_close(found[0][1].double(), to_exact, rtol=0, atol=1e-5)


def test_every_item_of_many_voxels_has_sums_of_its_own():
    """In single precision, where an item is cut into several spans of work."""
    backend = registries.backends.get("cpu")()
    x = tensor(backend, (40_000, 0, 1, 20_000), 3, torch.float32)
    weight, bias = factors(3)
    exact = x.with_features(x.features.detach().double().requires_grad_())
    wanted = normalised(exact, weight, bias, EPS, by_item=True)
    upstream = torch.randn(wanted.shape)
    narrow = [each.detach().float().requires_grad_() for each in (weight, bias)]
    got = sparse.normalise(x, *narrow, eps=EPS, by_item=True).features
    torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(wanted, [exact.features, weight, bias], upstream.double())
    found = torch.autograd.grad(got, [x.features, *narrow], upstream)
    for one, other in zip(found, gradients, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


def test_one_row_is_its_bias(backend):
    x = tensor(backend, (1,), 2)
    x = x.with_features(torch.tensor([[100.0, -3.0]]))
    weight, bias = torch.ones(2), torch.tensor([0.001, -1.0])
    got = sparse.normalise(x, weight, bias, eps=EPS, by_item=True).features
    torch.testing.assert_close(got, torch.tensor([[0.001, 0.0]]), rtol=0, atol=0)


def test_autograd_notices_what_is_overwritten(backend):
    x, (weight, bias) = tensor(backend, (30,), 3), factors(3)
    kept = x.with_features(x.features.detach().clone())
    for change in (
        lambda: sparse.normalise(kept, weight.detach(), bias.detach(), eps=EPS),
        lambda: sparse.rectify(kept, weight.detach(), bias.detach()),
    ):
        total = (kept.features * weight).sum()
        change()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            total.backward()


def test_factors_of_another_shape_are_refused(backend):
    x, (weight, bias) = tensor(backend, (9,), 3), factors(3)
    with pytest.raises(ValueError, match=r"weight must have shape \(3,\); got \(1,\)"):
        sparse.normalise(x, weight[:1], bias, eps=EPS)


def test_what_is_not_a_number_stays(backend):
    x, (weight, bias) = tensor(backend, (20,), 3), factors(3)
    with torch.no_grad():
        x.features[4, 1] = float("nan")
    got = sparse.normalise(x, weight, bias, eps=EPS).features
    assert got.isnan().all(dim=0).tolist() == [False, True, False]
