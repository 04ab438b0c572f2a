"""Where backend `gpu` computes, and what the compiler makes of its kernels for a GPU."""

import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import ON_A_GPU, WHERE

from zoo.errors import BackendError
from zoo.sparse.selection import _fastest, select_backend

pytest.importorskip("triton", minversion="3.3")  # before, its compiler was called otherwise

from zoo.sparse.backends.bitmap.gpu import runtime
from zoo.sparse.backends.bitmap.gpu.backend import GpuBackend

A_FEW_BYTES = 32  # of stack: none with Triton 3.9, 16 in one kernel with 3.6
HERE = os.path.dirname(__file__)
COMPILED = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
COMPILED |= {"CUDA_VISIBLE_DEVICES": ""}


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


@pytest.mark.slow
def test_kernels_compile_into_registers_alone(kernels):
    assert len(kernels) > 30
    spilled = {name: facts["stack"] for name, facts in kernels.items()}
    assert {name: size for name, size in spilled.items() if size > A_FEW_BYTES} == {}


def test_no_kernel_has_atomics_and_a_lookup_serves_all_channels(kernels):
    assert not any("atomics" in facts for facts in kernels.values())
    layers = {k: v for k, v in kernels.items() if k.startswith(("convolve", "correlate"))}
    # One for each voxel that a thread has, which may be two; some compilers do one several times.
    assert all(1 <= facts["popcounts"] <= 8 for facts in layers.values())


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
    arrays = {"mask", "words", "out", "rank", "positions", "counts", "keep", "found", "features"}
    arrays |= {"weights", "gradient", "scale", "shift", "others"}
    assert set().union(*(facts["compiled for"] for facts in kernels.values())) == arrays


@pytest.mark.slow
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
    assert _fastest(torch.device("cuda")).name == "torch"
    runtime._problem.cache_clear()


def test_auto_takes_the_best_that_works(monkeypatch):
    assert select_backend("auto", torch.device("cpu")).name == "cpu"
    assert select_backend("auto", torch.device("cpu"), 0.9, 64).name == "dense"
    assert select_backend("auto", torch.device("cpu"), 0.9, 8).name == "cpu"
    cuda = torch.device("cuda")
    monkeypatch.setattr(GpuBackend, "check_device", lambda self, device: None)
    assert _fastest(cuda).name == "gpu"

    def refuse(self, device):
        raise BackendError("no")

    monkeypatch.setattr(GpuBackend, "check_device", refuse)
    assert _fastest(cuda).name == "torch"
