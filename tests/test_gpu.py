"""What backend `gpu` promises beyond the operations that every backend is tested for.

Without a GPU its kernels run in Triton's interpreter, and are compiled for a GPU that is not there.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ON_A_GPU

import zoo
from zoo import registries, sparse
from zoo.architectures.completion import SparseCompletion
from zoo.architectures.generative import GenerativeConfig
from zoo.benchmark.measure import Spec
from zoo.benchmark.roofline import tallied
from zoo.benchmark.suite import run_measurement
from zoo.cli import main
from zoo.devices import DeviceMemory
from zoo.errors import BackendError
from zoo.layers import Convolution, Unit
from zoo.loading import _fastest, select_backend
from zoo.sparse import SparseTensor
from zoo.sparse.backends.cpu import CpuBackend
from zoo.testing import check_backend
from zoo.testing.backends import CASES
from zoo.training.losses import deep_supervision

pytest.importorskip("triton")

from zoo.sparse.backends.gpu import convolution, index, narrow, runtime, wide
from zoo.sparse.backends.gpu.backend import GpuBackend

HERE = os.path.dirname(__file__)
WHERE = "cuda" if ON_A_GPU else "cpu"
COMPILED = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
COMPILED |= {"CUDA_VISIBLE_DEVICES": ""}
needs_gpu = pytest.mark.skipif(not ON_A_GPU, reason="needs a GPU")

OPERATIONS = {
    "k3": (27, lambda x, kernel: sparse.convolution(x, kernel)),
    "k2 down": (8, lambda x, kernel: sparse.convolution(x, kernel, stride=2)),
    "k2 up": (8, sparse.generative_transposed_convolution),
    "k4 up": (64, sparse.generative_transposed_convolution),
}
# What one rounding makes of the largest value: outputs are rounded once, after sums in float32.
ROUNDING = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8, torch.float32: 1e-6}
TYPES = [torch.float32, torch.float16, *([torch.bfloat16] if ON_A_GPU else [])]


def points(count, edge, seed=0):
    """Coordinates (N, 3) about the place where one word of a line ends and the next begins."""
    drawn = np.random.default_rng(seed).integers(0, edge, (count, 3))
    return torch.tensor(np.unique(drawn, axis=0)) + torch.tensor([-1, -3, 62 - edge // 2])


def outcome(backend, name, given, kernel, dtype, upstream=None):
    """Outputs and both gradients, as float64 on the CPU."""
    where = WHERE if backend.name == "gpu" else "cpu"
    features, kernel = (t.to(where, dtype).requires_grad_() for t in (given[1], kernel))
    at = given[0].to(where)
    x = SparseTensor.from_coordinates(2 * at, features, backend=backend, stride=2)
    y = OPERATIONS[name][1](x, kernel).features
    if upstream is None:
        upstream = torch.rand(y.shape, generator=torch.manual_seed(9)) - 0.5
    upstream = upstream.to(ROUNDED).to(y)
    gradients = torch.autograd.grad(y, [features, kernel], upstream)
    return [t.detach().double().cpu() for t in (y, *gradients)]


ROUNDED = torch.bfloat16  # what is exact in every type


def largest_error(name, c_in, c_out, dtype, count=60, edge=6):
    """Largest errors of outputs and gradients, in units of the largest value, against float64."""
    generator = torch.Generator().manual_seed(3)
    at = points(count, edge)
    features = (torch.rand(len(at), c_in, generator=generator) - 0.5).to(ROUNDED)
    kernel = (torch.rand(OPERATIONS[name][0], c_in, c_out, generator=generator) - 0.5).to(ROUNDED)
    wanted = outcome(CpuBackend(), name, (at, features), kernel, torch.float64)
    got = outcome(GpuBackend(), name, (at, features), kernel, dtype)
    return [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(got, wanted, strict=True)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("c_in", "c_out"), [(1, 2), (4, 5), (8, 8), (22, 40)])
def test_errors_are_those_of_one_rounding(name, c_in, c_out, dtype):
    if name == "k4 up" and c_in > 8 and not ON_A_GPU:
        pytest.skip("for a GPU: Triton's interpreter would take minutes")
    few = (12, 3) if name == "k4 up" else (60, 6)
    errors = largest_error(name, c_in, c_out, dtype, *few)
    assert max(errors) <= ROUNDING[dtype], f"{name}: outputs and gradients are off by {errors}"


@pytest.mark.parametrize("c", [3, 20])
def test_many_blocks_and_parts_are_summed(monkeypatch, c):
    monkeypatch.setattr(convolution, "ROWS_PER_PART", 40)
    assert max(largest_error("k3", c, c, torch.float32, count=400, edge=8)) <= 1e-6


def test_the_conformance_kit_passes():
    left = [] if ON_A_GPU else [case for case in CASES if case != "negative"]
    check_backend(GpuBackend(), device=WHERE, leave_out=left)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_indices_are_those_of_the_cpu(monkeypatch, seed, wide):
    """Of every operation on them, the same coordinates in the same order."""
    if wide:
        monkeypatch.setattr(index, "NARROW_PLACES", 0)
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
        made += [sparse.generative_transposed_convolution(b, kernel).index]
        return [level.coordinates.cpu() for level in made] + [
            sparse.contains(a.index, b.index).cpu(),
            sparse.contains(b.index, sparse.prune(a, keep).index).cpu(),
        ]

    got, wanted = levels(GpuBackend(), WHERE), levels(CpuBackend(), "cpu")
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
    kind = torch.int64 if wide else torch.int32
    made = SparseTensor.from_coordinates(one.to(WHERE), backend=GpuBackend())
    assert made.index.places.dtype == kind


def test_a_mask_on_the_device_is_an_index():
    mask = torch.zeros(2, 3, 4, 130, dtype=torch.uint8, device=WHERE)
    mask[0, 1, 2, 63:66] = 1
    mask[1, 2, 3, 129] = 255
    made = GpuBackend().index_from_mask(mask, low=(5, 6, -7))
    assert made.coordinates.tolist() == [
        *([0, 6, 8, k] for k in (56, 57, 58)),
        [1, 7, 9, 122],
    ]


def test_a_network_gives_the_numbers_of_the_reference():
    """Logits, loss and gradients of the whole of it."""
    config = GenerativeConfig(channels=(2, 3, 4, 16), residuals=(1, 0, 0), thresholds=(-1, -1, -1))
    axes = torch.meshgrid(torch.arange(17), torch.arange(4), torch.arange(3), indexing="ij")
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


def test_what_convolutions_must_move_and_multiply_is_counted():
    """In bytes and operations, of a convolution whose pairs of voxels can be counted by hand."""
    counting, tally = tallied(CpuBackend())
    line = torch.tensor([[0, 0, k] for k in range(10)])
    x = SparseTensor.from_coordinates(line, torch.rand(10, 2), backend=counting)
    kernel = torch.rand(27, 2, 3)
    sparse.convolution(x, kernel)
    assert tally.operations == 2 * 2 * 3 * (10 + 9 + 9)
    assert tally.bytes == 4 * (10 * 2 + kernel.numel() + 10 * 3)
    tally.bytes = tally.operations = 0
    features = torch.rand(10, 2, requires_grad=True)
    sparse.convolution(x.with_features(features), kernel.requires_grad_()).features.sum().backward()
    assert tally.operations == 3 * 2 * 2 * 3 * (10 + 9 + 9)


def test_a_measurement_may_say_how_far_from_the_roofline_it_is(tmp_path):
    grid = np.zeros((20, 20, 20), dtype=bool)
    grid[3:17, 3:17, 3:17] = True
    np.save(tmp_path / "grid.npy", grid)
    facts = {"volume": str(tmp_path / "grid.npy"), "backend": "cpu", "threads": 1, "roofline": True}
    result = run_measurement(Spec(work="convolution alone", channels=(8, 8), **facts))
    pairs = (3 * 14 - 2) ** 3
    assert result["operations"] == 2 * 8 * 8 * pairs and 0 < result["floor"] < result["seconds"]


@pytest.fixture(scope="module")
def kernels():
    """What the compiler makes of the kernels for a GPU with compute capability 9.0."""
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "gpu_compiler.py")],
        capture_output=True,
        text=True,
        env=COMPILED,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_kernels_compile_into_registers_alone(kernels):
    assert len(kernels) > 30
    assert {name: facts for name, facts in kernels.items() if facts["stack"]} == {}


def test_no_kernel_has_atomics_and_every_lookup_one_popcount(kernels):
    assert not any("atomics" in facts for facts in kernels.values())
    layers = {k: v for k, v in kernels.items() if k.startswith(("convolve", "correlate"))}
    # Two, where a thread has two voxels.
    assert {facts["popcounts"] for facts in layers.values()} == {1, 2}
    assert all(v["popcounts"] == 1 for k, v in layers.items() if not k.endswith(" 1"))


def test_wide_layers_use_matrix_units_and_narrow_ones_multiply_adds(kernels):
    half = {k: v for k, v in kernels.items() if "torch.float16" in k}
    for name, facts in half.items():
        c_in, c_out = name.split(" torch")[0].split()[-2:]
        wide = int(c_in) * int(c_out) >= 64
        assert ("matrix units" in facts, "multiply-adds" in facts) == (wide, not wide)
    # A multiply-add for each product, of one line at a time.
    assert kernels["convolve same 2 2 torch.float16 0"]["multiply-adds"] == 3 * 2 * 2


def test_no_size_of_a_volume_is_compiled_in(kernels):
    """All that Triton compiles anew for some values of is how arrays are aligned."""
    arrays = {"mask", "words", "out", "rank", "places", "counts", "keep", "found", "features"}
    arrays |= {"weights", "gradient", "scale", "shift"}
    assert set().union(*(facts["compiled for"] for facts in kernels.values())) == arrays


def test_where_it_cannot_compute_it_says_so():
    ask = "from zoo import registries; import torch; registries.backends.get('gpu')().check_device"
    for device, hidden, wanted in (
        ("cpu", "", "backend gpu computes on GPUs, and PyTorch finds none here; got device cpu"),
        (
            "cpu",
            "import sys; sys.modules['triton'] = None; ",
            "needs Triton, which comes with",
        ),
    ):
        code = f"{hidden}{ask}(torch.device('{device}'))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=COMPILED
        )
        assert wanted in done.stderr.splitlines()[-1]
    with pytest.raises(BackendError, match="got device meta"):
        GpuBackend().check_device(torch.device("meta"))


class Fails:
    def __getitem__(self, grid):
        raise RuntimeError("Failed to find\nC compiler")


def test_a_compiler_that_fails_is_one_line_and_auto_goes_on(monkeypatch):
    monkeypatch.setattr(runtime, "_probe", type("Probe", (Fails,), {"function": None})())
    monkeypatch.setattr(runtime, "interpreted", lambda: not ON_A_GPU)
    runtime._problem.cache_clear()
    with pytest.raises(BackendError, match=f"on {WHERE}: Failed to find C compiler"):
        GpuBackend().check_device(torch.device(WHERE))
    assert _fastest(torch.device("cuda")) == "torch"
    runtime._problem.cache_clear()


def test_more_voxels_than_rows_can_number_are_refused(monkeypatch):
    monkeypatch.setattr(index, "NARROW_PLACES", 0)
    monkeypatch.setattr(index, "MOST_ROWS", 3)
    with pytest.raises(BackendError, match="numbers at most 3 voxels"):
        SparseTensor.from_coordinates(points(20, 4).to(WHERE), backend=GpuBackend())


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


def test_auto_takes_the_best_that_works(monkeypatch):
    assert select_backend("auto", torch.device("cpu")).name == "cpu"
    cuda = torch.device("cuda")
    monkeypatch.setattr(GpuBackend, "check_device", lambda self, device: None)
    assert _fastest(cuda) == "gpu"

    def refuse(self, device):
        raise BackendError("no")

    monkeypatch.setattr(GpuBackend, "check_device", refuse)
    assert _fastest(cuda) == "torch"


class OutOfMemory(CpuBackend):
    """A device that has no memory left."""

    name = "full"

    def convolve(self, *arguments):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.50 GiB. GPU 0 has a total capacity of 8 GiB"
        )


def test_out_of_memory_is_one_line_that_offers_the_cpu(tmp_path, monkeypatch, capsys):
    volume = np.zeros((20, 20, 20), np.uint8)
    volume[4:16, 4:16, 4:16] = 1
    zoo.Volume(volume, np.diag([3.2, 3.2, 3.2, 1])).save(tmp_path / "in.nii.gz")
    monkeypatch.setitem(registries.backends.own, "full", f"{__name__}:OutOfMemory")
    words = ["predict", "skull-completion-64", "-i", str(tmp_path / "in.nii.gz"), "-q"]
    out = tmp_path / "out.nii.gz"
    assert main([*words, "-o", str(out), "--backend", "full", "-d", "cpu"]) == 2
    complaint = capsys.readouterr().err
    assert "out of memory: needed 20.50 GiB more" in complaint and "use -d cpu" in complaint
    assert complaint.count("\n") == 1 and not out.exists()


def test_other_errors_pass_and_a_report_has_the_peak():
    with pytest.raises(ZeroDivisionError), DeviceMemory(torch.device("cpu")):
        raise ZeroDivisionError
    volume = np.zeros((20, 20, 20), np.uint8)
    volume[4:16, 4:16, 4:16] = 1
    given = zoo.Volume(volume, np.diag([3.2, 3.2, 3.2, 1]))
    model = zoo.load("skull-completion-64", device=WHERE)
    peak = model.predict(given).report["peak_device_memory"]
    planned = model.plan(given)
    if ON_A_GPU:
        assert 1e6 < peak < 2e9 and planned.peak_device_memory > 1e6
    else:
        assert peak is planned.peak_device_memory is planned.free_device_memory is None


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


@needs_gpu
def test_the_whole_suite_of_measurements_runs(capsys):
    assert main(["bench", "-d", "cuda", "--resolutions", "32", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    own = [row for row in rows if row["backend"] == "gpu"]
    assert own and all(row["error"] is None and row["seconds"] > 0 for row in own)
