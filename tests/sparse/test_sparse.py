"""Every backend against the oracle, with one body for all."""

import inspect

import numpy as np
import pytest
import torch
from conftest import ON_A_GPU

from zoo import sparse
from zoo.errors import VolumeError
from zoo.sparse.tensor import EmptyIndex, SparseTensor
from zoo.testing.backends import (
    CASES,
    Bench,
    check_add,
    check_coarsening,
    check_convolution,
    check_generative_transposed_convolution,
    check_prune,
    check_transposed_convolution,
    rows,
    same,
)

pytestmark = pytest.mark.small

GRID_TOO_LARGE = "as a dense grid this has up to 3 billion voxels"
INTERPRETED = ("one voxel", "corner", "negative", "batch", "empty item")


def values(count, channels, seed=0):
    return torch.tensor(np.random.default_rng(seed).uniform(-1, 1, (count, channels)))


def make(case, channels, backend, stride=1, seed=0):
    """A tensor in float64 that wants gradients, and its leaf features."""
    bench(backend, case)
    items = [torch.tensor(item, dtype=torch.int64).reshape(-1, 3) * stride for item in CASES[case]]
    leaf = values(sum(map(len, items)), channels, seed).requires_grad_()
    return sparse.SparseTensor.from_coordinates(items, leaf, backend=backend, stride=stride), leaf


def bench(backend, case):
    if backend.name == "dense" and case == "two far apart":
        pytest.skip(GRID_TOO_LARGE)
    if backend.name == "gpu" and not ON_A_GPU and case not in INTERPRETED:
        pytest.skip("for a GPU: Triton's interpreter would take minutes")
    return Bench(backend, torch.get_default_device())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (2, 2)])
@pytest.mark.parametrize("tensor_stride", [1, 4])
def test_convolution(backend, case, size, stride, tensor_stride):
    check_convolution(bench(backend, case), CASES[case], size, stride, tensor_stride)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("tensor_stride", [2, 8])
def test_generative_transposed_convolution(backend, case, size, tensor_stride):
    check_generative_transposed_convolution(bench(backend, case), CASES[case], size, tensor_stride)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("tensor_stride", [1, 4])
def test_transposed_convolution_onto_given_coordinates(backend, case, size, tensor_stride):
    check_transposed_convolution(bench(backend, case), CASES[case], size, tensor_stride)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("check", [check_prune, check_add, check_coarsening])
def test_what_changes_coordinates(backend, case, check):
    check(bench(backend, case), CASES[case])


def test_transposed_convolution_of_nothing_is_zero(backend):
    fine, _ = make("batch", 2, backend)
    kernel = torch.ones(8, 2, 3, dtype=torch.float64)
    coarse = sparse.convolution(fine, kernel, stride=2)
    nothing = sparse.prune(coarse, torch.zeros(len(coarse), dtype=torch.bool))
    up = torch.ones(8, 3, 4, dtype=torch.float64)
    y = sparse.transposed_convolution(nothing, up, fine.index)
    assert y.features.shape == (len(fine), 4) and not y.features.any()
    with pytest.raises(ValueError, match="2 times as fine"):
        sparse.transposed_convolution(coarse, up, coarse.index)


def test_concatenate_joins_channels_on_one_index(backend):
    x, _ = make("batch", 2, backend)
    y = sparse.concatenate(x, x.with_features(x.features[:, :1] * 3))
    assert y.index is x.index
    assert torch.equal(y.features, torch.cat([x.features, x.features[:, :1] * 3], dim=1))
    some = sparse.prune(x, x.coordinates[:, 1] > 2)
    with pytest.raises(ValueError, match="one and the same index"):
        sparse.concatenate(x, some)


def test_kernel_of_four_reaches_beyond_the_bounding_box(backend):
    """What lies outside takes part in the next convolution: nothing is clipped in between."""
    x, _ = make("one voxel", 1, backend, stride=2)
    up = sparse.generative_transposed_convolution(x, torch.ones(64, 1, 1, dtype=torch.float64))
    assert up.coordinates[:, 1:].max(0).values.tolist() == [13, 15, 17]
    y = sparse.convolution(up, torch.ones(27, 1, 1, dtype=torch.float64))
    corner = rows(y)[(0, 13, 15, 17)]
    np.testing.assert_allclose(corner, 8 * x.features.detach().cpu().numpy()[0])


def test_prune_to_nothing_and_on(backend):
    """An empty tensor goes through every operation."""
    x, _ = make("batch", 2, backend, stride=2)
    nothing = sparse.prune(x, torch.zeros(len(x), dtype=torch.bool))
    assert len(nothing) == 0 and nothing.stride == 2
    kernel = torch.ones(8, 2, 3, dtype=torch.float64)
    assert sparse.convolution(nothing, kernel, stride=2).features.shape == (0, 3)
    up = sparse.generative_transposed_convolution(nothing, kernel)
    assert up.features.shape == (0, 3) and up.stride == 1
    assert isinstance(sparse.coarsen(nothing.index), EmptyIndex)
    assert not sparse.contains(x.index, nothing.index).any()
    assert sparse.contains(nothing.index, x.index).shape == (0,)
    assert sparse.add(nothing, x) is x and sparse.add(x, nothing) is x


def test_at_other_coordinates_features_are_found_or_zero(backend):
    """And so are gradients."""
    grid = np.random.default_rng(0).random((2, 4, 4, 4)) < 0.5
    items = [torch.from_numpy(np.argwhere(item)) * 2 for item in grid]
    leaf = values(grid.sum(), 3).requires_grad_()
    x = SparseTensor.from_coordinates(items, leaf, backend=backend, stride=2)
    row = torch.arange(len(x))
    some, others = sparse.prune(x, row % 4 < 3), sparse.prune(x, row % 3 > 0)
    got = sparse.at(some, others.index)
    there = sparse.contains(others.index, some.index)
    assert got.index is others.index and there.any() and not there.all()
    assert not got.features[~there].any()
    torch.testing.assert_close(got.features[there], others.features[there], rtol=0, atol=0)
    weights = torch.randn_like(got.features)
    (gradient,) = torch.autograd.grad((got.features * weights).sum(), some.features)
    back = sparse.at(others.with_features(weights), some.index)
    torch.testing.assert_close(gradient, back.features, rtol=0, atol=0)
    nothing = sparse.prune(x, torch.zeros(len(x), dtype=torch.bool))
    assert not sparse.at(nothing, x.index).features.any()
    assert len(sparse.at(x, nothing.index)) == 0


@pytest.mark.parametrize("laid_out", [np.array, np.asfortranarray, np.flip])
def test_floating_point_grids_are_features(backend, laid_out):
    grids = np.random.default_rng(0).random((2, 5, 6, 7)).astype(np.float32) - 0.7
    grids[grids < -0.2] = 0  # and some are below zero
    given = [laid_out(grid) for grid in grids]
    x = SparseTensor.from_grids(given, low=(-3, 2, 1), backend=backend)
    item, *at = x.coordinates.numpy().T
    at = [axis - low for axis, low in zip(at, (-3, 2, 1), strict=True)]
    assert len(x) == np.count_nonzero(grids)
    assert (x.features[:, 0].numpy() == np.stack(given)[item, *at]).all()


@pytest.mark.parametrize("case", ["corner", "blob", "batch"])
def test_add_may_overwrite_where_one_holds_the_other(backend, case):
    """The same sum, whether x's features serve for the result or are still needed."""
    x, _ = make(case, 3, backend)
    before = x.features.detach().clone()
    some = sparse.prune(x, x.coordinates[:, 1:].sum(1) % 2 == 0)
    total = sparse.add(x, some)
    wanted = rows(total)
    differentiated = sparse.add(x, some, overwrite=True)
    assert differentiated.features.requires_grad and torch.equal(x.features, before)
    with torch.no_grad():
        got = sparse.add(x.with_features(before.clone()), some, overwrite=True)
        same(bench(backend, case), rows(got), wanted)
        for dtype in (before.dtype, torch.float32):  # on one index, and where y has another type
            other = x.with_features(before.to(dtype))
            mine = x.with_features(before.clone())
            added = sparse.add(mine, other, overwrite=True)
            assert torch.equal(added.features, before + other.features)
            assert torch.equal(other.features, before.to(dtype))
            assert (added.features is mine.features) == (dtype == before.dtype)
        ones = x.with_features(torch.ones(1, 1, dtype=torch.float64).expand(len(x), 3))
        sparse.add(ones, some, overwrite=True)
        assert (ones.features == 1).all()  # all its rows are one


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 2, 3, 8, 22, 40])
def test_rectify_scales_shifts_and_cuts(backend, channels, dtype):
    x, _ = make("batch", channels, backend)
    features = x.features.detach().to(dtype)
    features[1, 0] = float("nan")
    scale, shift = (values(channels, 1, seed).squeeze(1).to(dtype) for seed in (4, 5))
    wanted = torch.relu(features * scale + shift)
    got = sparse.rectify(x.with_features(features.clone()), scale, shift)
    torch.testing.assert_close(got.features, wanted, equal_nan=True)
    wide = torch.cat([features, features], dim=1)
    part = sparse.rectify(x.with_features(wide[:, :channels]), scale, shift)
    torch.testing.assert_close(part.features, wanted, equal_nan=True)
    torch.testing.assert_close(wide[:, channels:], features, equal_nan=True)


def test_rectify_lets_gradients_through_and_checks_its_arguments(backend):
    x, leaf = make("corner", 3, backend)
    scale, shift = torch.full((3,), 2.0).double(), torch.full((3,), 0.1).double()
    sparse.rectify(x, scale, shift).features.sum().backward()
    torch.testing.assert_close(leaf.grad, 2 * (leaf * 2 + 0.1 > 0).double())
    with pytest.raises(ValueError, match=r"scale must be .* of shape \(3,\)"):
        sparse.rectify(x, scale[:1], shift)
    with pytest.raises(ValueError, match="shift must be"):
        sparse.rectify(x, scale, shift.float())


@pytest.mark.slow
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("low", [(0, 0, 0), (3, -5, 70), (-64, 1, -63)])
def test_grids_in_and_out(backend, order, low):
    """From dense arrays without and with an offset, and back in a box that cuts."""
    rng = np.random.default_rng(2)
    grids = [np.array(rng.random((5, 6, 150)) < 0.1, order=order) for _ in range(2)]
    where = torch.get_default_device()
    x = sparse.SparseTensor.from_grids(grids, low=low, backend=backend, device=where)
    wanted = [(b, *(p + np.array(low))) for b in (0, 1) for p in np.argwhere(grids[b])]
    assert sorted(map(tuple, x.coordinates.tolist())) == sorted(wanted)
    assert x.features.shape == (len(wanted), 1) and bool((x.features == 1).all())
    assert (x.to_grid(low, grids[0].shape) == grids[0]).all()
    box = x.to_grid((low[0] + 2, low[1] - 1, low[2] + 66), (9, 4, 70))
    assert (box[:3, 1:4] == grids[0][2:5, 0:3, 66:136]).all()
    assert not box[3:].any() and not box[:, 0].any()


def test_reference_keeps_raster_order():
    from zoo.sparse.backends.reference import TorchBackend

    x, _ = make("blob", 2, TorchBackend(), stride=2)
    y = sparse.generative_transposed_convolution(x, torch.ones(64, 2, 1, dtype=torch.float64))
    assert y.coordinates.tolist() == sorted(y.coordinates.tolist())


@pytest.mark.slow
def test_results_repeat_exactly(backend):
    def run():
        x, leaf = make("batch", 3, backend)
        y = sparse.convolution(x, values(81, 5).reshape(27, 3, 5))
        y.features.square().sum().backward()
        return y.features.detach(), leaf.grad

    first, second = run(), run()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("coordinates", "stride", "message"),
    [
        (torch.tensor([[0, 0, 0], [0, 0, 0]]), 1, "repeated"),
        (torch.tensor([[0, 0, 1]]), 2, "multiples of 2"),
        (torch.tensor([[0, 0, 1 << 15]]), 1, "within"),
        (torch.tensor([[0.0, 0, 1]]), 1, "integers"),
        (torch.tensor([[0, 0]]), 1, r"\(N, 3\)"),
    ],
)
def test_bad_coordinates_are_refused(backend, coordinates, stride, message):
    with pytest.raises(VolumeError, match=message):
        sparse.SparseTensor.from_coordinates(coordinates, backend=backend, stride=stride)


def test_kernels_that_do_not_fit_are_refused(backend):
    x, _ = make("batch", 2, backend)
    with pytest.raises(ValueError, match=r"\(K, 2, C_out\)"):
        sparse.convolution(x, torch.ones(27, 3, 1))
    with pytest.raises(ValueError, match="2 at stride 2"):
        sparse.convolution(x, torch.ones(27, 2, 1), stride=2)
    with pytest.raises(ValueError, match="stride 1 cannot be upsampled"):
        sparse.generative_transposed_convolution(x, torch.ones(8, 2, 1, dtype=torch.float64))


def test_no_coordinate_at_all(backend):
    x = sparse.SparseTensor.from_coordinates(torch.empty(0, 3, dtype=torch.int64), backend=backend)
    assert len(x) == 0 and x.features.shape == (0, 1)
    assert len(sparse.convolution(x, torch.ones(27, 1, 2))) == 0


def test_kernel_of_another_dtype_is_refused(backend):
    x, _ = make("batch", 2, backend)
    with pytest.raises(ValueError, match=r"torch\.float64 like the features; got torch\.float32"):
        sparse.convolution(x, torch.ones(27, 2, 1))


def test_a_backend_adds_no_operation_that_nothing_calls(backend):
    methods = {name for name, _ in inspect.getmembers(type(backend), inspect.isfunction)}
    public = {name for name in methods if not name.startswith("_")}
    assert "convolve" in public
    assert public <= set(dir(sparse.Backend))
