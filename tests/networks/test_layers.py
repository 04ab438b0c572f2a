"""Modules for sparse tensors."""

import numpy as np
import pytest
import torch
from torch import nn

from zoo import registries
from zoo.errors import VolumeError
from zoo.networks.layers import Convolution, GenerativeTransposedConvolution, Residual, Unit
from zoo.sparse import SparseTensor, pack


def tensor(backend, count, channels, stride=1):
    torch.manual_seed(count)
    points = torch.unique(torch.randint(0, 2 * count + 1, (count, 3)), dim=0) * stride
    features = torch.randn(len(points), channels)
    return SparseTensor.from_coordinates(points, features, backend=backend, stride=stride)


def plain(unit, x):
    """What a unit computes, by the textbook's modules."""
    y = unit.convolution(x)
    norm = nn.BatchNorm1d(y.channels)
    norm.load_state_dict(unit.norm.state_dict())
    norm.train(unit.training)
    return torch.relu(norm(y.features)), norm


def random_unit(channels, training):
    unit = Unit(Convolution(channels, channels, 3)).train(training)
    nn.init.normal_(unit.norm.weight)
    nn.init.normal_(unit.norm.bias)
    unit.norm.running_mean.normal_()
    unit.norm.running_var.uniform_(0.5, 2)
    return unit


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [1, 2, 8, 33])
@pytest.mark.parametrize("count", [2, 3, 50, 700])
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_unit_is_convolution_norm_and_relu(training, channels, count, layout):
    x = tensor(registries.backends.get("torch")(), count, channels)
    unit = random_unit(channels, training)
    wanted, norm = plain(unit, x)
    upstream = torch.randn(wanted.shape)
    if layout == "columns":
        upstream = upstream.t().contiguous().t()
    parameters = [unit.convolution.kernel, norm.weight, norm.bias]
    wanted_gradients = torch.autograd.grad(wanted, parameters, upstream)
    got = unit(x).features
    gradients = torch.autograd.grad(
        got, [unit.convolution.kernel, unit.norm.weight, unit.norm.bias], upstream
    )
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
    for a, b in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(unit.norm.running_var, norm.running_var)


@pytest.mark.slow
def test_generative_unit_halves_the_stride(backend):
    x = tensor(backend, 30, 3, stride=4)
    y = Unit(GenerativeTransposedConvolution(3, 5, 2)).eval()(x)
    assert y.stride == 2 and len(y) == 8 * len(x) and y.channels == 5


def test_one_voxel_cannot_be_normalised():
    x = tensor(registries.backends.get("torch")(), 1, 2)
    assert len(random_unit(2, training=False)(x)) == 1
    with pytest.raises(VolumeError, match="larger batch"):
        random_unit(2, training=True)(x)


def test_inference_leaves_the_input_as_it_was(backend):
    x = tensor(backend, 40, 4)
    before = x.features.clone()
    with torch.inference_mode():
        random_unit(4, training=False)(x)
    assert torch.equal(x.features, before)


@pytest.mark.parametrize("training", [True, False])
def test_instance_norm_is_that_of_every_item(backend, training):
    """Whatever else is in the batch, whatever the mode; a single voxel has no deviation."""
    torch.manual_seed(0)
    unit = Unit(Convolution(3, 5, 3), "instance").train(training)
    nn.init.normal_(unit.norm.weight)
    nn.init.normal_(unit.norm.bias)
    points = [torch.unique(torch.randint(0, 9, (count, 3)), dim=0) for count in (90, 40, 1)]
    features = [shift + torch.randn(len(each), 3) for shift, each in enumerate(points)]

    def found(points, features):
        y = unit(SparseTensor.from_coordinates(points, features, backend=backend))
        order = pack(y.coordinates).argsort()
        return y.coordinates[order], y.features[order]

    coordinates, together = found(points, features)
    for item, (place, values) in enumerate(zip(points, features, strict=True)):
        x = SparseTensor.from_coordinates(place, values, backend=backend)
        convolved = unit.convolution(x)
        rows = convolved.features[pack(convolved.coordinates).argsort()]
        if len(rows) > 1:
            rows = nn.functional.instance_norm(
                rows.t()[None], weight=unit.norm.weight, bias=unit.norm.bias
            )[0].t()
        else:
            rows = unit.norm.bias.expand_as(rows)
        of_item = together[coordinates[:, 0] == item]
        with torch.inference_mode():
            predicted = found(place, values)[1]
        for each in (of_item, found(place, values)[1], predicted):
            torch.testing.assert_close(each, torch.relu(rows), rtol=1e-4, atol=1e-5)


def test_instance_norm_has_the_textbook_gradient():
    torch.manual_seed(0)
    unit = Unit(Convolution(4, 4, 3), "instance")
    points = [torch.unique(torch.randint(0, 9, (count, 3)), dim=0) for count in (60, 30, 1)]
    features = [torch.randn(len(each), 4) for each in points]
    backend = registries.backends.get("torch")()

    def convolved(given, values):
        return unit.convolution(SparseTensor.from_coordinates(given, values, backend=backend))

    items = [convolved(*each).features for each in zip(points, features, strict=True)]
    whole = [
        nn.functional.instance_norm(rows.t()[None], weight=unit.norm.weight, bias=unit.norm.bias)
        for rows in items[:2]
    ]
    wanted = torch.relu(torch.cat([*(each[0].t() for each in whole), unit.norm.bias[None]]))
    x = SparseTensor.from_coordinates(points, features, backend=backend)
    upstream, parameters = torch.randn(wanted.shape), list(unit.parameters())
    expected = torch.autograd.grad(wanted, parameters, upstream)
    found = torch.autograd.grad(unit(x).features, parameters, upstream)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_instance_norm_of_a_large_scan_is_exact():
    """Whatever the number of threads: torch's batch_norm adds up millions of voxels in float32."""
    torch.manual_seed(0)
    x = SparseTensor.from_grids([np.ones((90, 90, 90))], backend=registries.backends.get("torch")())
    unit = Unit(Convolution(1, 2, 1), "instance").eval()
    values = torch.relu(torch.randn(len(x), 1)) + 3
    features = unit.convolution(x.with_features(values)).features.double()
    variance, mean = torch.var_mean(features, 0, correction=0)
    wanted = torch.relu((features - mean) / (variance + unit.norm.eps).sqrt())
    with torch.inference_mode():
        found = unit(x.with_features(values)).features
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=3e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_every_parameter_gets_a_gradient_of_one_voxel(count):
    backend = registries.backends.get("torch")()
    points = [torch.zeros(1, 3, dtype=torch.int64)] * count
    unit = Unit(Convolution(1, 3, 3), "instance")
    unit(SparseTensor.from_coordinates(points, backend=backend)).features.sum().backward()
    assert all(each.grad is not None for each in unit.parameters())


def test_a_residual_block_leaves_its_input_as_it_was(backend):
    x = tensor(backend, 40, 4)
    before, block = x.features.clone(), Residual(4).eval()
    nn.init.normal_(block.convolution.kernel)
    nn.init.normal_(block.convolution.bias)
    with_gradient = block(x).features.detach()
    with torch.inference_mode():
        assert torch.equal(block(x).features, with_gradient)
    assert torch.equal(x.features, before)
