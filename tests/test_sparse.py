"""Every backend against the oracle, with one body for all."""

import numpy as np
import oracle
import pytest
import torch

from zoo import sparse
from zoo.errors import VolumeError
from zoo.sparse.backend import EmptyIndex

CASES = {
    "one voxel": [[(5, 6, 7)]],
    "corner": [[(0, 0, 0), (1, 0, 0), (0, 1, 1)]],
    "negative": [[(-1, -1, -1), (-2, 0, 3), (0, 0, 0), (1, 1, 1)]],
    "line": [[(2, 2, k) for k in range(9)]],
    "two far apart": [[(0, 0, 0), (400, 70, 1900)]],
    "batch": [[(0, 0, 0), (1, 1, 1), (3, 3, 2)], [(0, 0, 0), (7, 6, 5)]],
    "empty item": [[(0, 0, 0), (1, 1, 1)], []],
    "blob": [list({tuple(p) for p in np.random.default_rng(3).integers(0, 7, (90, 3)).tolist()})],
}


def values(count, channels, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (count, channels)))


def make(case, channels, backend, stride=1, seed=0):
    """A tensor in float64 that wants gradients, and its leaf features."""
    if backend.name == "dense" and case == "two far apart":
        pytest.skip("as a dense grid this has up to 3 billion voxels")
    items = [torch.tensor(item, dtype=torch.int64).reshape(-1, 3) * stride for item in CASES[case]]
    leaf = values(sum(map(len, items)), channels, seed).requires_grad_()
    return sparse.SparseTensor.from_coordinates(items, leaf, backend=backend, stride=stride), leaf


def as_dict(coordinates, features):
    points = map(tuple, coordinates.tolist())
    return dict(zip(points, features.detach().numpy(), strict=True))


def assert_same(got, wanted):
    assert set(got) == set(wanted)
    for point, value in wanted.items():
        np.testing.assert_allclose(got[point], value, rtol=1e-10, atol=1e-12)


def check_against_oracle(x, y, kernel, wanted, step, sign):
    """Outputs, and gradients with respect to features and kernel."""
    before = as_dict(x.coordinates, x.features)
    assert_same(as_dict(y.coordinates, y.features), wanted)
    upstream = values(len(y), y.channels, seed=9)
    to_x, to_kernel = torch.autograd.grad(y.features, [x.features, kernel], upstream)
    plain = kernel.detach().numpy()
    wanted_x, wanted_kernel = oracle.gradients(
        before, plain, as_dict(y.coordinates, upstream), step, sign
    )
    assert_same(as_dict(x.coordinates, to_x), wanted_x)
    np.testing.assert_allclose(to_kernel.numpy(), wanted_kernel, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (2, 2)])
@pytest.mark.parametrize("tensor_stride", [1, 4])
def test_convolution(backend, case, size, stride, tensor_stride):
    x, _ = make(case, 3, backend, tensor_stride)
    kernel = values(size**3 * 3, 4, seed=1).reshape(size**3, 3, 4).requires_grad_()
    y = sparse.convolution(x, kernel, stride=stride)
    wanted = oracle.convolution(
        as_dict(x.coordinates, x.features), kernel.detach().numpy(), stride, tensor_stride
    )
    assert y.stride == tensor_stride * stride
    check_against_oracle(x, y, kernel, wanted, tensor_stride, +1)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("tensor_stride", [2, 8])
def test_generative_transposed_convolution(backend, case, size, tensor_stride):
    x, _ = make(case, 3, backend, tensor_stride)
    kernel = values(size**3 * 3, 2, seed=1).reshape(size**3, 3, 2).requires_grad_()
    y = sparse.generative_transposed_convolution(x, kernel)
    wanted = oracle.generative_transposed_convolution(
        as_dict(x.coordinates, x.features), kernel.detach().numpy(), tensor_stride
    )
    assert y.stride == tensor_stride // 2
    check_against_oracle(x, y, kernel, wanted, tensor_stride // 2, -1)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("tensor_stride", [1, 4])
def test_transposed_convolution_onto_given_coordinates(backend, case, size, tensor_stride):
    """Onto the coordinates that a strided convolution came from, of which some are not reached."""
    fine, _ = make(case, 3, backend, tensor_stride)
    coarse = sparse.convolution(fine, values(8 * 3 * 3, 1).reshape(8, 3, 3), stride=2)
    x = sparse.prune(coarse, coarse.coordinates[:, 1] != coarse.coordinates[-1, 1])
    x = coarse if not len(x) else x
    kernel = values(size**3 * 3, 2, seed=1).reshape(size**3, 3, 2).requires_grad_()
    x = x.with_features(x.features.detach().requires_grad_())
    y = sparse.transposed_convolution(x, kernel, fine.index)
    assert y.index is fine.index
    wanted = oracle.transposed_convolution(
        as_dict(x.coordinates, x.features),
        kernel.detach().numpy(),
        as_dict(fine.coordinates, fine.features),
        2 * tensor_stride,
    )
    check_against_oracle(x, y, kernel, wanted, tensor_stride, -1)


def test_transposed_convolution_of_nothing_is_zero(backend):
    fine, _ = make("blob", 2, backend)
    kernel = torch.ones(8, 2, 3, dtype=torch.float64)
    coarse = sparse.convolution(fine, kernel, stride=2)
    nothing = sparse.prune(coarse, torch.zeros(len(coarse), dtype=torch.bool))
    up = torch.ones(8, 3, 4, dtype=torch.float64)
    y = sparse.transposed_convolution(nothing, up, fine.index)
    assert y.features.shape == (len(fine), 4) and not y.features.any()
    with pytest.raises(ValueError, match="2 times as fine"):
        sparse.transposed_convolution(coarse, up, coarse.index)


def test_concatenate_joins_channels_on_one_index(backend):
    x, _ = make("blob", 2, backend)
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
    corner = as_dict(y.coordinates, y.features)[(0, 13, 15, 17)]
    np.testing.assert_allclose(corner, 8 * x.features.detach().numpy()[0])


@pytest.mark.parametrize("case", CASES)
def test_prune(backend, case):
    x, leaf = make(case, 2, backend)
    keep = x.coordinates[:, 1:].sum(1) % 2 == 0
    y = sparse.prune(x, keep)
    wanted = oracle.prune(as_dict(x.coordinates, x.features), lambda p: sum(p[1:]) % 2 == 0)
    assert_same(as_dict(y.coordinates, y.features), wanted)
    y.features.sum().backward()
    assert leaf.grad.sum() == 2 * len(wanted)


def test_prune_to_nothing_and_on(backend):
    """An empty tensor goes through every operation."""
    x, _ = make("blob", 2, backend, stride=2)
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


@pytest.mark.parametrize("case", CASES)
def test_add_is_a_union(backend, case):
    x, leaf = make(case, 3, backend)
    even = x.coordinates[:, 1:].sum(1) % 2 == 0
    some = sparse.prune(x, even | (x.coordinates[:, 1] == x.coordinates[0, 1]))
    others = sparse.prune(x, ~even | (x.coordinates[:, 2] == x.coordinates[0, 2]))
    total = sparse.add(some, others.with_features(others.features * 10))
    wanted = oracle.add(
        as_dict(some.coordinates, some.features),
        as_dict(others.coordinates, 10 * others.features),
    )
    assert_same(as_dict(total.coordinates, total.features), wanted)
    total.features.sum().backward()
    counts = torch.as_tensor(leaf.grad).sum()
    np.testing.assert_allclose(counts, 3 * (len(some) + 10 * len(others)))


@pytest.mark.parametrize("case", ["corner", "blob", "batch"])
def test_add_may_overwrite_where_one_holds_the_other(backend, case):
    """The same sum, whether x's features serve for the result or are still needed."""
    x, _ = make(case, 3, backend)
    before = x.features.detach().clone()
    some = sparse.prune(x, x.coordinates[:, 1:].sum(1) % 2 == 0)
    total = sparse.add(x, some)
    wanted = as_dict(total.coordinates, total.features)
    differentiated = sparse.add(x, some, overwrite=True)
    assert differentiated.features.requires_grad and torch.equal(x.features, before)
    with torch.no_grad():
        got = sparse.add(x.with_features(before.clone()), some, overwrite=True)
        assert_same(as_dict(got.coordinates, got.features), wanted)
        ones = x.with_features(torch.ones(1, 1, dtype=torch.float64).expand(len(x), 3))
        sparse.add(ones, some, overwrite=True)
        assert (ones.features == 1).all()  # all its rows are one


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 2, 3, 8, 22, 40])
def test_rectify_scales_shifts_and_cuts(backend, channels, dtype):
    x, _ = make("blob", channels, backend)
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


@pytest.mark.parametrize("case", CASES)
def test_coarsening_and_membership(backend, case):
    x, _ = make(case, 1, backend)
    index = sparse.coarsen(sparse.coarsen(x.index))
    points = set(map(tuple, x.coordinates.tolist()))
    assert set(map(tuple, index.coordinates.tolist())) == oracle.coarse(points, 4)
    assert len(index) == len(oracle.coarse(points, 4)) and index.stride == 4
    target, _ = make("corner", 1, backend)
    if target.index.batch_size == x.index.batch_size:
        wanted = [
            point in set(map(tuple, target.coordinates.tolist()))
            for point in map(tuple, x.coordinates.tolist())
        ]
        assert sparse.contains(x.index, target.index).tolist() == wanted


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("low", [(0, 0, 0), (3, -5, 70), (-64, 1, -63)])
def test_grids_in_and_out(backend, order, low):
    """From dense arrays without and with an offset, and back in a box that cuts."""
    rng = np.random.default_rng(2)
    grids = [np.array(rng.random((5, 6, 150)) < 0.1, order=order) for _ in range(2)]
    x = sparse.SparseTensor.from_grids(grids, low=low, backend=backend)
    wanted = [(b, *(p + np.array(low))) for b in (0, 1) for p in np.argwhere(grids[b])]
    assert sorted(map(tuple, x.coordinates.tolist())) == sorted(wanted)
    assert x.features.shape == (len(wanted), 1) and bool((x.features == 1).all())
    assert (x.to_grid(low, grids[0].shape) == grids[0]).all()
    box = x.to_grid((low[0] + 2, low[1] - 1, low[2] + 66), (9, 4, 70))
    assert (box[:3, 1:4] == grids[0][2:5, 0:3, 66:136]).all()
    assert not box[3:].any() and not box[:, 0].any()


def test_reference_keeps_raster_order():
    from zoo.sparse.backends.torch import TorchBackend

    x, _ = make("blob", 2, TorchBackend(), stride=2)
    y = sparse.generative_transposed_convolution(x, torch.ones(64, 2, 1, dtype=torch.float64))
    assert y.coordinates.tolist() == sorted(y.coordinates.tolist())


def test_results_repeat_exactly(backend):
    def run():
        x, leaf = make("blob", 3, backend)
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
    x, _ = make("blob", 2, backend)
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
    x, _ = make("blob", 2, backend)
    with pytest.raises(ValueError, match=r"torch\.float64 like the features; got torch\.float32"):
        sparse.convolution(x, torch.ones(27, 2, 1))
