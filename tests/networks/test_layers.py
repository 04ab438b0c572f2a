"""Modules for sparse tensors."""

import pytest
import torch
from torch import nn

from zoo import registries
from zoo.errors import VolumeError
from zoo.networks.layers import Convolution, GenerativeTransposedConvolution, Unit
from zoo.sparse import SparseTensor


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
