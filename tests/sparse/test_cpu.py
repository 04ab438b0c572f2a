"""What backend `cpu` promises beyond the operations that every backend is tested for."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numba
import numpy as np
import pytest
import torch
from convolutions import OPERATIONS

import zoo
from zoo import sparse
from zoo.errors import BackendError
from zoo.sparse.backends.bitmap.bounds import Bounds
from zoo.sparse.backends.bitmap.cpu import ahead, runtime
from zoo.sparse.backends.bitmap.cpu.backend import CpuBackend
from zoo.sparse.backends.bitmap.cpu.convolution import Method
from zoo.sparse.backends.bitmap.cpu.index import Bitmap, seal
from zoo.sparse.backends.reference import TorchBackend


def shell(size, seed=0):
    """A hollow ball (size, size, size) of uint8 with some noise."""
    axis = np.arange(size) - size / 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    noise = np.random.default_rng(seed).random((size,) * 3) < 0.01
    return ((abs(radius - 0.4 * size) < 2) | noise).astype(np.uint8)


MANY = 90  # size of a shell whose rows are cut into several spans of work at every level


def tensor(backend, channels, size, dtype=torch.float32):
    coordinates = torch.from_numpy(np.argwhere(shell(size))) * 2
    features = torch.randn(len(coordinates), channels, generator=seeded(1), dtype=dtype)
    features.requires_grad_()
    return features, sparse.SparseTensor.from_coordinates(
        coordinates, features, backend=backend, stride=2
    )


def seeded(number):
    """A generator of its own: that of torch.manual_seed is shared by all threads."""
    return torch.Generator().manual_seed(number)


def outcome(backend, name, c_in, c_out, dtype=torch.float32, size=MANY):
    """Coordinates, features and both gradients of one operation."""
    rows, operation = OPERATIONS[name]
    features, x = tensor(backend, c_in, size, dtype)
    kernel = torch.randn(rows, c_in, c_out, generator=seeded(2), dtype=dtype)
    kernel.requires_grad_()
    y = operation(x, kernel)
    upstream = torch.randn(y.features.shape, generator=seeded(3), dtype=dtype)
    y.features.backward(upstream)
    return [y.coordinates, y.features.detach(), features.grad, kernel.grad]


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("c_in", "c_out"), [(1, 2), (17, 33)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_number_of_channels_takes_its_kernel_to_the_reference(name, c_in, c_out, dtype):
    """Few and many channels are computed differently, as are one or two registers of outputs."""
    got = outcome(CpuBackend(), name, c_in, c_out, dtype, size=16)
    wanted = outcome(TorchBackend(), name, c_in, c_out, dtype, size=16)
    assert torch.equal(got[0], wanted[0])
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for a, b in zip(got[1:], wanted[1:], strict=True):
        assert (a - b).abs().max() <= tolerance * b.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("c_in", "c_out"), [(2, 4), (16, 24)])
def test_bits_do_not_depend_on_the_number_of_threads(name, c_in, c_out, threads):
    threads(1)
    one = outcome(CpuBackend(), name, c_in, c_out)
    for count in (2, 3):
        threads(count)
        more = outcome(CpuBackend(), name, c_in, c_out)
        assert all(torch.equal(a, b) for a, b in zip(one, more, strict=True))


def test_few_voxels_of_many_channels_are_work_for_several_threads(threads):
    """At a network's coarse levels; and the bits do not depend on the threads there, either."""
    _, x = tensor(CpuBackend(), 1, size := 40)
    wide, thin = (Method.choose(c, c, torch.float32, 0).rows_per_span(c, c) for c in (96, 2))
    assert len(x) > 8 * wide
    assert len(x.index.spans(wide)) > 8
    assert len(x.index.spans(thin)) == 1
    threads(1)
    one = outcome(CpuBackend(), "k3", 96, 96, size=size)
    threads(3)
    more = outcome(CpuBackend(), "k3", 96, 96, size=size)
    assert all(torch.equal(a, b) for a, b in zip(one, more, strict=True))


def test_the_number_of_threads_is_left_as_it_was(threads):
    for count in (1, 3):
        threads(count)
        outcome(CpuBackend(), "k3", 2, 4)
        assert torch.get_num_threads() == count


def test_index_from_arrays_is_that_from_coordinates():
    backend = CpuBackend()
    arrays = [shell(70), np.asfortranarray(shell(66, seed=1) > 0)]
    index = backend.index_from_grids(arrays, (0, 0, 0), torch.device("cpu"))
    coordinates = [torch.from_numpy(np.argwhere(array)) for array in arrays]
    wanted = sparse.SparseTensor.from_coordinates(coordinates, backend=backend).index
    assert len(index) == len(wanted) == sum(np.count_nonzero(array) for array in arrays)
    assert torch.equal(index.coordinates, wanted.coordinates)
    assert index.stride == 1 and index.batch_size == 2


def test_structure_against_brute_force():
    """Sets of words against sets of points, across word borders and below zero."""
    backend = CpuBackend()
    rng = np.random.default_rng(5)
    a, b = ({tuple(p) for p in rng.integers(-70, 70, (3000, 3)).tolist()} for _ in range(2))
    x, y = (
        sparse.SparseTensor.from_coordinates(torch.tensor(sorted(s)), backend=backend)
        for s in (a, b)
    )
    points = lambda index: list(map(tuple, index.coordinates[:, 1:].tolist()))  # noqa: E731
    assert points(x.index) == sorted(a)
    assert points(sparse.add(x, y).index) == sorted(a | b)
    assert points(sparse.coarsen(x.index)) == sorted({tuple(n // 2 * 2 for n in p) for p in a})
    assert sparse.contains(x.index, y.index).tolist() == [p in b for p in sorted(a)]
    keep = torch.tensor([sum(p) % 3 == 0 for p in sorted(a)])
    assert points(sparse.prune(x, keep).index) == [p for p in sorted(a) if sum(p) % 3 == 0]


def test_what_is_generated_from_pruned_voxels_takes_a_box_of_their_size():
    coordinates = torch.tensor([[-300, 20, -5], [40, 41, 1], [41, 40, 700], [42, 41, 65]])
    x = sparse.SparseTensor.from_coordinates(coordinates, backend=CpuBackend())
    kept = sparse.prune(x, torch.tensor([False, True, False, True]))
    assert kept.index.bounds == ((40, 41, 1), (43, 42, 66))
    assert kept.index.bitmap.words.shape == (1, 3, 1, 2)
    assert kept.coordinates[:, 1:].tolist() == [[40, 41, 1], [42, 41, 65]]
    kernel = torch.ones(8, 1, 1)
    coarse = sparse.SparseTensor.from_coordinates(2 * coordinates, backend=CpuBackend(), stride=2)
    few = sparse.prune(coarse, torch.tensor([False, True, False, True]))
    found = sparse.generative_transposed_convolution(few, kernel)
    assert found.index.bitmap.words.size <= 6 * 2 * 3
    assert len(found) == 16


def test_a_box_out_of_all_proportion_is_refused():
    far = torch.tensor([[-15000] * 3, [15000] * 3])
    with pytest.raises(BackendError, match="use backend torch"):
        sparse.SparseTensor.from_coordinates(far, backend=CpuBackend())


@pytest.mark.slow
def test_more_voxels_than_ranks_can_count_are_refused():
    """2^31 of them, in words of 268 MB."""
    bitmap = Bitmap.empty(1, Bounds((0, 0, 0), (1, 1, 1 << 31)))
    bitmap.words[:] = ~np.uint64(0)
    with pytest.raises(BackendError, match=r"at most 2,147,483,647 voxels; use a coarser grid"):
        seal(CpuBackend(), 1, Bounds((0, 0, 0), (1, 1, 1 << 31)), bitmap)
    bitmap.words[0, 0, 0, 0] -= np.uint64(1)
    index = seal(CpuBackend(), 1, Bounds((0, 0, 0), (1, 1, 1 << 31)), bitmap)
    assert len(index) == (1 << 31) - 1


def test_other_devices_are_refused():
    with pytest.raises(BackendError, match="-d cpu"):
        CpuBackend().check_device(torch.device("cuda"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_computes_too(threads):
    """The parent's threads do not exist in the child; whoever waits for them waits for ever."""
    threads(2)
    backend = CpuBackend()
    _, x = tensor(backend, 2, MANY)
    wanted = sparse.contains(x.index, x.index).numpy()
    assert len(x.index.spans()) > 1
    child = multiprocessing.get_context("fork").Process(
        # nothing here makes PyTorch's own threads work, which do not survive a fork either
        target=lambda: os._exit(int(not sparse.contains(x.index, x.index).numpy().all())),
        daemon=True,
    )
    child.start()
    child.join(30)
    child.kill()
    assert wanted.all() and child.exitcode == 0


class Shells(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, item):
        return outcome(CpuBackend(), "k3", 2, 4)[1]


def test_data_loader_workers_compute_too():
    here = outcome(CpuBackend(), "k3", 2, 4)[1]
    loader = torch.utils.data.DataLoader(Shells(), num_workers=2, batch_size=None, timeout=300)
    assert all(torch.equal(there, here) for there in loader)


def test_two_callers_at_once():
    wanted = outcome(CpuBackend(), "k3", 2, 4)
    with ThreadPoolExecutor(2) as callers:
        got = list(callers.map(lambda _: outcome(CpuBackend(), "k3", 2, 4), range(4)))
    assert all(torch.equal(a, b) for one in got for a, b in zip(one, wanted, strict=True))


SMALL = """
import torch
from zoo import sparse
from zoo.sparse.backends.bitmap.cpu.backend import CpuBackend
x = sparse.SparseTensor.from_coordinates(torch.tensor([[1, 2, 3]]), backend=CpuBackend())
print(sparse.coarsen(x.index).coordinates.tolist())
"""


@pytest.mark.slow
def test_works_where_no_cache_can_be_written(tmp_path):
    """A file where the only folder should be: not even root can write below it."""
    obstacle = tmp_path / "file"
    obstacle.touch()
    done = subprocess.run(
        [sys.executable, "-c", SMALL],
        env={
            **os.environ,
            "NUMBA_CACHE_DIR": str(obstacle / "cache"),
            "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[[0, 0, 2, 2]]\n", done.stderr


def run_small(cache):
    """The output of a small program, and how many functions it compiled."""
    code = (
        SMALL
        + """
from zoo.sparse.backends.bitmap.cpu import words
print(sum(bool(f.stats.cache_misses) for f in (words.mark, words.count, words.coarsen)))
"""
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout.split("\n")[:2] if done.returncode == 0 else done.stderr


@pytest.mark.slow
def test_a_second_process_compiles_nothing_and_another_versions_cache_is_no_obstacle(tmp_path):
    right = "[[0, 0, 2, 2]]"
    assert run_small(tmp_path) == [right, "3"]
    assert run_small(tmp_path) == [right, "0"]
    kept = [path for path in tmp_path.rglob("*.nbi") if b"\x06Bitmap" in path.read_bytes()]
    for path in kept:
        path.write_bytes(path.read_bytes().replace(b"\x06Bitmap", b"\x06Bitmop"))
    assert kept and run_small(tmp_path)[0] == right


MEETING = """
import subprocess, sys
import numba
import numpy as np
import zoo.sparse.backends.bitmap.cpu.runtime as runtime

@runtime.jit
def add(a, b):
    return a + b

floats, integers = np.full(3, 0.5), np.ones(3, np.int32)
kept, role = add._cache._cache_file, sys.argv[1]
if role == "first":  # the second one keeps its code while this one is about to
    save = kept._save_data
    def meet(*given):
        subprocess.run([sys.executable, "-c", sys.argv[2], "second"], check=True)
        save(*given)
    kept._save_data = meet
    add(floats, floats)
elif role == "second":  # which looked for what there is before the first one kept anything
    kept._load_index = dict
    add(integers, integers)
else:
    print(add(floats, floats), add(integers, integers))
"""


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_mix_up_their_code(tmp_path):
    """Whoever comes next must find the code that was made for its types."""
    (tmp_path / "meeting.py").write_text(MEETING)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import meeting"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for role in ("first", "next"):
        command = [sys.executable, "-c", code, role, code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "[1. 1. 1.] [2 2 2]\n"


def test_what_is_compiled_ahead_is_what_a_network_calls():
    zoo.load("skull-completion-64", backend="cpu").predict(shell(24))
    for kernel, types in ahead.kernels().items():
        assert types in kernel.signatures


@pytest.mark.slow
def test_a_process_compiles_ahead_and_another_one_takes_it(tmp_path):
    """Nothing of these is compiled by whoever comes first, which waits instead."""
    code = """
from contextlib import nullcontext
import torch
from zoo.sparse.backends.bitmap.cpu import ahead, runtime, words
from zoo.sparse.backends.bitmap.cpu.backend import CpuBackend
from zoo.sparse import SparseTensor
torch.set_num_threads(2)
with CpuBackend().compiling(nullcontext):
    backend = CpuBackend()
    x = SparseTensor.from_coordinates(torch.zeros(1, 3).long(), backend=backend, stride=2)
    assert words.refine in runtime._elsewhere
    backend.refine(x.index, 2)
    assert words.refine not in runtime._elsewhere
print(sum(words.refine.stats.cache_misses.values()), sum(words.refine.stats.cache_hits.values()))
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "0 1\n", done.stderr


def test_what_a_process_did_not_compile_is_compiled_here(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))  # nothing is kept of earlier runs

    @runtime.jit
    def twice(number, begin, end, out):
        out[number] = 2 * end

    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.2)"])
    runtime.compile_elsewhere(process, {twice: ()})
    out = np.zeros(1)
    runtime.run(twice, [(0, 3)], out)
    assert out[0] == 6 and process.poll() is not None and not runtime._elsewhere
    assert sum(twice.stats.cache_misses.values()) == 1


@pytest.mark.slow
def test_importing_the_zoo_does_not_import_numba():
    code = "import sys, zoo, zoo.sparse, zoo.registries; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_compilation_is_told_apart():
    """Once for a function and the types of its arguments, with what it calls."""
    heard = []

    @contextmanager
    def compilation():
        heard.append("begins")
        yield
        heard.append("ends")

    inner = numba.njit(lambda x: x + 1)
    outer = numba.njit(lambda x: inner(x) + inner(x))
    with CpuBackend().compiling(compilation):
        assert (outer(1), outer(2), outer(1.5)) == (4, 6, 5.0)
    outer(np.int8(1))
    assert heard == ["begins", "ends"] * 2
