"""What backend `gpu` promises beyond the operations that every backend is tested for.

Without a GPU its kernels run in Triton's interpreter.
"""

import numpy as np
import pytest
import torch
from conftest import ON_A_GPU, WHERE
from convolutions import OPERATIONS

from zoo import sparse
from zoo.cli import main
from zoo.errors import BackendError
from zoo.networks.completion import SparseCompletion
from zoo.networks.generative import GenerativeConfig
from zoo.networks.layers import Convolution, Unit
from zoo.sparse import SparseTensor
from zoo.sparse.backends.bitmap.cpu.backend import CpuBackend
from zoo.testing import check_backend
from zoo.testing.backends import CASES
from zoo.training.losses import deep_supervision

pytest.importorskip("triton")

from zoo.sparse.backends.bitmap import bounds
from zoo.sparse.backends.bitmap.gpu import convolution, index, narrow, runtime, wide
from zoo.sparse.backends.bitmap.gpu.backend import GpuBackend

needs_gpu = pytest.mark.skipif(not ON_A_GPU, reason="needs a GPU")

ROUNDED = torch.bfloat16  # what is exact in every type
# What one rounding makes of the largest value: outputs are rounded once, after sums in float32.
ROUNDING = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8, torch.float32: 1e-6}
TYPES = [torch.float32, torch.float16, *([torch.bfloat16] if ON_A_GPU else [])]


def points(count, edge, seed=0):
    """Coordinates (N, 3) about the place where one word of a line ends and the next begins."""
    drawn = np.random.default_rng(seed).integers(0, edge, (count, 3))
    return torch.tensor(np.unique(drawn, axis=0)) + torch.tensor([-1, -3, 62 - edge // 2])


def outcome(backend, name, given, kernel, dtype):
    """Outputs and both gradients, as float64 on the CPU."""
    where = WHERE if backend.name == "gpu" else "cpu"
    features, kernel = (t.to(where, dtype).requires_grad_() for t in (given[1], kernel))
    at = given[0].to(where)
    x = SparseTensor.from_coordinates(2 * at, features, backend=backend, stride=2)
    y = OPERATIONS[name][1](x, kernel).features
    upstream = (
        (torch.rand(y.shape, generator=torch.Generator().manual_seed(9)) - 0.5).to(ROUNDED).to(y)
    )
    gradients = torch.autograd.grad(y, [features, kernel], upstream)
    return [t.detach().double().cpu() for t in (y, *gradients)]


def largest_error(name, c_in, c_out, dtype, count=60, edge=6):
    """Largest errors of outputs and gradients, in units of the largest value, against float64."""
    generator = torch.Generator().manual_seed(3)
    at = points(count, edge)
    features = (torch.rand(len(at), c_in, generator=generator) - 0.5).to(ROUNDED)
    kernel = (torch.rand(OPERATIONS[name][0], c_in, c_out, generator=generator) - 0.5).to(ROUNDED)
    wanted = outcome(CpuBackend(), name, (at, features), kernel, torch.float64)
    got = outcome(GpuBackend(), name, (at, features), kernel, dtype)
    return [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(got, wanted, strict=True)]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("c_in", "c_out"), [(1, 2), (4, 5), (8, 8), (22, 40)])
def test_errors_are_those_of_one_rounding(name, c_in, c_out, dtype):
    if name == "k4 up" and (c_in != 4 or dtype != TYPES[0]) and not ON_A_GPU:
        pytest.skip("for a GPU: Triton's interpreter would take minutes")
    few = (12, 3) if name == "k4 up" else (60, 6)
    errors = largest_error(name, c_in, c_out, dtype, *few)
    assert max(errors) <= ROUNDING[dtype], f"{name}: outputs and gradients are off by {errors}"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("c", [3, 20])
def test_many_blocks_and_parts_are_summed(monkeypatch, c):
    monkeypatch.setattr(convolution, "ROWS_PER_PART", 40)
    assert max(largest_error("k3", c, c, torch.float32, count=400, edge=8)) <= 1e-6


@pytest.mark.slow
def test_the_conformance_kit_passes():
    left = [] if ON_A_GPU else [case for case in CASES if case != "negative"]
    check_backend(GpuBackend(), device=WHERE, leave_out=left)


@pytest.mark.slow
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(3 if ON_A_GPU else 1))
def test_indices_are_those_of_the_cpu(monkeypatch, seed, wide):
    """Every operation on them gives the same coordinates in the same order."""
    if wide:
        monkeypatch.setattr(index, "NARROW_POSITIONS", 0)
    one, two = points(90, 9, seed), points(90, 9, seed + 10) + torch.tensor([2, -1, 3])

    def levels(backend, where):
        a, b = (
            SparseTensor.from_coordinates(at.to(where) * 2, backend=backend, stride=2)
            for at in (one, two)
        )
        keep = a.coordinates[:, 1:].sum(1) % 3 != 0
        kernel = torch.ones(64, 1, 1, device=where)
        made = [a.index, sparse.coarsen(a.index), sparse.coarsen(sparse.coarsen(a.index))]
        made += [sparse.prune(a, keep).index, sparse.add(a, b).index, sparse.add(b, a).index]
        made += [sparse.generative_transposed_convolution(a, kernel[:8]).index]
        for x in (b, sparse.prune(a, keep)):
            made += [sparse.generative_transposed_convolution(x, kernel).index]
        return [level.coordinates.cpu() for level in made] + [
            sparse.contains(a.index, b.index).cpu(),
            sparse.contains(b.index, sparse.prune(a, keep).index).cpu(),
        ]

    got, wanted = levels(GpuBackend(), WHERE), levels(CpuBackend(), "cpu")
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
    kind = torch.int64 if wide else torch.int32
    made = SparseTensor.from_coordinates(one.to(WHERE), backend=GpuBackend())
    assert made.index.positions.dtype == kind


def test_a_mask_on_the_device_is_an_index():
    mask = torch.zeros(2, 3, 4, 130, dtype=torch.uint8, device=WHERE)
    mask[0, 1, 2, 63:66] = 1
    mask[1, 2, 3, 129] = 255
    made = GpuBackend().index_from_mask(mask, low=(5, 6, -7))
    assert made.coordinates.tolist() == [
        *([0, 6, 8, k] for k in (56, 57, 58)),
        [1, 7, 9, 122],
    ]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["bool", "u1", ">i2", ">f4", "f8"])
@pytest.mark.parametrize("shape", [(3, 4, 70), (5, 1, 1), (1, 1, 1)])
def test_any_array_is_a_grid(dtype, shape):
    array = np.asfortranarray(np.arange(np.prod(shape)).reshape(shape) % 3 == 0).astype(dtype)
    array[0, 0, 0] = -1 if dtype[-2] in "if" else 1
    for given in (array, np.ascontiguousarray(array), array[:, ::-1]):
        given.flags.writeable = False
        x = SparseTensor.from_grids([given], backend=GpuBackend(), device=WHERE)
        whole = tuple(np.int64(n) for n in shape)
        assert (x.to_grid((0, 0, 0), whole) == (given != 0)).all()


def test_more_voxels_than_rows_can_number_are_refused(monkeypatch):
    monkeypatch.setattr(index, "NARROW_POSITIONS", 0)
    monkeypatch.setattr(bounds, "MOST_ROWS", 3)
    with pytest.raises(BackendError, match="numbers at most 3 voxels"):
        SparseTensor.from_coordinates(points(20, 4).to(WHERE), backend=GpuBackend())


@pytest.mark.slow
@pytest.mark.long
def test_a_network_gives_the_numbers_of_the_reference():
    """Logits, loss and gradients of the whole of it."""
    config = GenerativeConfig(channels=(2, 3, 4, 16), residuals=(1, 0, 0), thresholds=(-1, -1, -1))
    axes = torch.meshgrid(torch.arange(9), torch.arange(4), torch.arange(3), indexing="ij")
    at = torch.stack(axes, dim=3).reshape(-1, 3)
    whole, holed = at, at[(at != 2).any(1)]

    def results(backend, where):
        torch.manual_seed(0)
        made = SparseCompletion(config).train()
        for head in made.heads:
            torch.nn.init.normal_(head.classifier.kernel)
        made = made.to(where)
        x, target = (
            SparseTensor.from_coordinates(each.to(where), backend=backend)
            for each in (holed, whole)
        )
        output = made(x, target.index)
        loss = deep_supervision(output.levels)
        loss.backward()
        gradients = [p.grad for p in made.parameters() if p.grad is not None]
        return [t.detach().cpu() for t in (output.levels[-1].logits, loss, *gradients)]

    wanted, got = results(CpuBackend(), "cpu"), results(GpuBackend(), WHERE)
    assert len(got) == len(wanted) > 20
    for a, b in zip(got, wanted, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max().clamp(min=1e-6)


@pytest.mark.slow
def test_autocast_computes_in_its_type_and_keeps_the_weights():
    at = points(40, 4)
    x = SparseTensor.from_coordinates(at.to(WHERE), backend=GpuBackend())
    kernel = torch.rand(27, 1, 8, device=WHERE, requires_grad=True)
    wanted = sparse.convolution(x, kernel).features
    with torch.autocast(WHERE, torch.float16):
        y = sparse.convolution(x, kernel)
        z = sparse.convolution(y, torch.rand(8, 8, 4, device=WHERE), stride=2)
        unit = Unit(Convolution(8, 8, 3)).eval().to(WHERE)(y)  # as a part that is not trained
    assert y.features.dtype == z.features.dtype == torch.float16
    torch.testing.assert_close(y.features.float(), wanted, rtol=1e-2, atol=1e-2)
    assert unit.features.dtype == torch.float16
    z.features.sum().backward()
    assert kernel.grad.dtype == torch.float32 and kernel.grad.abs().sum() > 0


@needs_gpu
def test_features_may_take_more_than_two_gigabytes():
    mask = torch.ones(1, 256, 256, 256, dtype=torch.uint8, device="cuda")
    level = GpuBackend().index_from_mask(mask)
    features = torch.zeros(len(level), 136, dtype=torch.float16, device="cuda")
    features[-1] = 1
    assert features.numel() > 2**31
    kernel = torch.ones(27, 136, 4, dtype=torch.float16, device="cuda")
    y = sparse.convolution(SparseTensor(features, level), kernel).features
    assert y[-1].tolist() == y[-2].tolist() == [136.0] * 4 and int((y != 0).sum()) == 8 * 4


@needs_gpu
@pytest.mark.parametrize("c", [4, 40])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_shape_of_a_kernel_gives_the_same_bits(monkeypatch, name, c):
    monkeypatch.setattr(runtime, "WORTH_TUNING", 1 << 40)
    kernel = (narrow if c == 4 else wide).convolve
    at = points(4000, 30).to("cuda")
    features = torch.rand(len(at), c, device="cuda").half()
    x = SparseTensor.from_coordinates(2 * at, features, backend=GpuBackend(), stride=2)
    weights = torch.rand(OPERATIONS[name][0], c, c, device="cuda").half()
    found = []
    for shape in kernel.configs:
        monkeypatch.setattr(kernel, "configs", [shape])
        found.append(OPERATIONS[name][1](x, weights).features)
    assert len(found) > 1 and all(torch.equal(found[0], other) for other in found)


@needs_gpu
@pytest.mark.parametrize("name", ["skull-completion-64", "skull-completion-128"])
def test_predictions_are_those_of_the_cpu(name, capsys):
    assert main(["verify", name, "--backends", "gpu"]) == 0
    assert "gpu" in capsys.readouterr().out
