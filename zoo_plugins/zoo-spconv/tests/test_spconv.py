"""Against the oracle, against backend `torch`, and what is refused."""

import sys

import numpy as np
import pytest
import torch
from zoo_spconv import SpconvBackend, pairs
from zoo_spconv.engine import spconv_ops

import zoo
from zoo import Volume, registries
from zoo.plugins import (
    BackendError,
    MissingDependency,
    SparseTensor,
    reference_input,
    sparse,
    verify,
)
from zoo.testing import CASES, Bench, check_backend, check_transposed_convolution

SKULL = "skull-completion-64"
NETWORKS = {
    "sparse-completion": {"channels": (2, 4, 8, 8)},
    "sparse-segmentation": {"channels": (4, 8, 8), "classes": 3},
}


def shell(backend, dtype, low=-9):
    """A batch of two hollow spheres, one with a hole; some coordinates are negative."""
    distance = np.linalg.norm(np.indices((20,) * 3) - 9.5, axis=0)
    whole = (distance < 9) & (distance > 7)
    holed = whole.copy()
    holed[12:, 6:13, 6:13] = False
    x = SparseTensor.from_grids([holed, whole], low=(low,) * 3, backend=backend)
    return x.with_features(x.features.to(dtype))


def answer(architecture, backend, dtype):
    """Logits of a network with random weights, level by level, and the gradients of them all."""
    torch.manual_seed(7)
    network = zoo.create(architecture, NETWORKS[architecture], backend=backend).network.to(dtype)
    for head in getattr(network, "heads", ()):  # as initialised, no logit depends on the input
        torch.nn.init.normal_(head.classifier.kernel)
    found = network(shell(registries.backends.get(backend)(), dtype))
    logits = [level.logits for level in getattr(found, "levels", ())] or [found]
    sum((torch.linspace(-1, 1, len(part)).to(part) @ part).sum() for part in logits).backward()
    return logits, [weight.grad for weight in network.parameters() if weight.grad is not None]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_computes_what_the_oracle_says(dtype):
    check_backend(SpconvBackend(), dtype=dtype)


@pytest.mark.parametrize("points", CASES.values(), ids=CASES)
def test_wide_kernels_onto_coordinates_that_are_given(points):
    check_transposed_convolution(Bench(SpconvBackend()), points, size=4, tensor_stride=2)


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_networks_agree_with_backend_torch(architecture, dtype, close):
    (logits, gradients), (wanted, wanted_gradients) = (
        answer(architecture, backend, dtype) for backend in ("spconv", "torch")
    )
    assert len(logits) == len(wanted) and sum(map(len, logits)) > 1000 and len(gradients) > 10
    for one, other in zip(logits, wanted, strict=True):
        assert one.shape == other.shape and (one - other).abs().max() < close
    for one, other in zip(gradients, wanted_gradients, strict=True):
        assert torch.allclose(one, other, rtol=close, atol=close * other.abs().max().item())


def test_a_second_run_is_the_same_to_the_last_bit():
    once, again = (answer("sparse-segmentation", "spconv", torch.float32) for _ in range(2))
    for parts, same in zip(once, again, strict=True):
        assert all(map(torch.equal, parts, same))


def test_a_model_that_ships_predicts_as_on_the_zoos_own_backend():
    volume = reference_input(zoo.info(SKULL))
    found, wanted = (
        zoo.load(SKULL, backend=backend, device="cpu").predict(volume).volume.array
        for backend in ("spconv", "cpu")
    )
    assert np.count_nonzero(wanted) > 1000 and np.array_equal(found, wanted)
    (verdict,) = verify(SKULL, ["spconv"])
    assert verdict.agrees and not verdict.differing


def test_the_kernel_map_of_a_level_is_made_once(monkeypatch):
    x = shell(SpconvBackend(), torch.float32)
    kernel = torch.ones(27, 1, 1)
    y = sparse.convolution(x, kernel)
    monkeypatch.setattr(pairs, "_kernel_map", None)
    assert torch.equal(sparse.convolution(x, kernel).features, y.features)


def test_it_is_found_by_its_entry_point():
    assert registries.backends.get("spconv") is SpconvBackend
    assert registries.backends.origin("spconv").startswith("zoo-spconv ")
    assert not [line for line in registries.backends.problems() if "spconv" in line]


@pytest.mark.parametrize(
    "points", [[(0, 0, 0), (1300, 1300, 1300)], [(0, 0, 0), (9, 16000, 16000)]]
)
def test_boxes_whose_voxels_32_bits_cannot_number_are_refused(points):
    x = SparseTensor.from_coordinates(torch.tensor(points) - 8000, backend=SpconvBackend())
    for kernel, stride in ((torch.ones(27, 1, 1), 1), (torch.ones(8, 1, 1), 2)):
        with pytest.raises(
            BackendError, match=r"at most 2,147,483,647 voxels.* got .*\d x 1: crop"
        ):
            sparse.convolution(x, kernel, stride=stride)
    coarse = SparseTensor.from_coordinates(
        torch.tensor(points) // 2 * 2 - 8000, backend=SpconvBackend(), stride=2
    )
    with pytest.raises(BackendError, match="crop the volume"):
        sparse.generative_transposed_convolution(coarse, torch.ones(64, 1, 1))


def test_a_large_box_is_right_up_to_the_last_voxel():
    """The edge is 1,286 voxels: 1 % less than what is refused."""
    points = torch.tensor([(0, 0, 0), (1281, 1281, 1280), (1281, 1281, 1281)]) - 700
    x = SparseTensor.from_coordinates(points, backend=SpconvBackend())
    y = sparse.convolution(x, torch.arange(27.0).reshape(27, 1, 1))
    assert y.features.ravel().tolist() == [13, 13 + 22, 13 + 4]


def test_types_that_spconv_does_not_compute_with_are_refused():
    x = shell(SpconvBackend(), torch.bfloat16)
    with pytest.raises(BackendError, match=r"float32 and torch.float64 on cpu; got torch.bfloat16"):
        sparse.convolution(x, torch.ones(27, 1, 1, dtype=torch.bfloat16))


def test_devices_are_refused():
    with pytest.raises(BackendError, match="cpu or cuda; got device mps"):
        SpconvBackend().check_device(torch.device("mps"))
    if spconv_ops().CPU_ONLY_BUILD:
        with pytest.raises(BackendError, match=r"built for the CPU; .*spconv-cu126"):
            SpconvBackend().check_device(torch.device("cuda"))


def test_without_spconv_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "spconv.pytorch", None)
    spconv_ops.cache_clear()
    with pytest.raises(MissingDependency, match="pip install spconv for the CPU"):
        SpconvBackend()


def test_one_voxel_from_a_grid():
    grid = np.zeros((3, 3, 3), bool)
    grid[1, 1, 1] = True
    x = SparseTensor.from_grids([grid], backend=SpconvBackend())
    y = sparse.convolution(x, torch.arange(27.0).reshape(27, 1, 1))
    assert y.features.tolist() == [[13]]


def test_a_volume_with_one_voxel_is_completed():
    array = np.zeros((20, 20, 20), np.uint8)
    array[10, 10, 10] = 1
    model = zoo.create("sparse-completion", NETWORKS["sparse-completion"], backend="spconv")
    assert model.predict(Volume(array, np.eye(4))).volume.shape == array.shape
