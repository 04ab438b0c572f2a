"""One model in many threads, in forked processes, and a cache of compiled code that is shared."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from command_line import hollow_box

import zoo

pytestmark = pytest.mark.slow

THREADS = 8
PROCESSES = 3


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    settings = {"channels": [2, 2, 4, 4, 4, 4, 16]}
    made = zoo.create("sparse-completion", settings, backend="cpu", device="cpu")
    made.shows_progress = False
    return made


@pytest.fixture(scope="module")
def volumes():
    """A box, at eight places of its grid."""
    box = hollow_box()
    return [zoo.Volume(np.roll(box.array, k - 4, 0), box.affine) for k in range(THREADS)]


@pytest.fixture(scope="module")
def wanted(model, volumes):
    return [model.predict(volume).volume.array for volume in volumes]


def same(found, wanted):
    return all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_threads_share_a_model(model, volumes, wanted):
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda volume: model.predict(volume).volume.array, volumes))
    assert len({array.tobytes() for array in wanted}) == THREADS
    assert same(found, wanted)


def test_an_event_loop_predicts(model, volumes, wanted):
    async def all_of_them():
        return await asyncio.gather(*(asyncio.to_thread(model.predict, v) for v in volumes))

    assert same([each.volume.array for each in asyncio.run(all_of_them())], wanted)


class Predicted(torch.utils.data.Dataset):
    """Volumes, predicted by whoever asks for one."""

    def __init__(self, model, volumes):
        self.model, self.volumes = model, volumes

    def __len__(self):
        return len(self.volumes)

    def __getitem__(self, number):
        return self.model.predict(self.volumes[number]).volume.array.copy()


def test_forked_workers_of_a_loader_predict(model, volumes, wanted):
    """After this process has computed, with threads that a fork does not have."""
    data = Predicted(model, volumes)
    context = multiprocessing.get_context("fork")
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=2, multiprocessing_context=context, timeout=120
    )
    assert same([array.numpy() for array in loader], wanted)


FIRST_TIME = """
import os, shutil, sys
import torch
from zoo import sparse
from zoo.sparse.backends.bitmap.cpu.backend import CpuBackend
from zoo.sparse.backends.bitmap.cpu import words

def index(k):
    at = torch.tensor([[1, 2, k]])
    return sparse.SparseTensor.from_coordinates(at, backend=CpuBackend()).index

def coarse(k):
    return sparse.coarsen(index(k)).coordinates.tolist() == [[0, 0, 2, k // 2 * 2]]

children = []
for number in range(int(sys.argv[1])):
    if child := os.fork():
        children.append(child)
    else:
        os._exit(0 if coarse(number) else 1)
statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
right = coarse(3)
compiled = sum(bool(f.stats.cache_misses) for f in (words.mark, words.count, words.coarsen))
shutil.rmtree(os.environ["NUMBA_CACHE_DIR"]) if "remove" in sys.argv else None
print(statuses, right, compiled, len(CpuBackend().unite(index(3), index(4))))
"""


def first_time(cache, *words, **more):
    """Whether processes that use a cache compute right, and how much the last one compiled."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_TIME, *map(str, words)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), **more},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_processes_that_are_all_the_first_share_a_cache_that_may_go(tmp_path):
    assert first_time(tmp_path, PROCESSES, "remove") == f"{[0] * PROCESSES} True 0 2"


def test_a_cache_of_another_processor_is_not_run(tmp_path):
    """A home folder that machines share: code for one may be an illegal instruction on another."""
    other = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert first_time(tmp_path, 0, **other) == "[] True 3 2"
    assert first_time(tmp_path, 0) == "[] True 3 2"


NAMED = """
import os
from numba import njit
from zoo.sparse.backends.bitmap.cpu import runtime

function = njit(lambda: 0)
os.fork()
function()
os.write(1, function.overloads[()].fndesc.mangled_name.encode() + b"\\n")
"""


def test_processes_give_functions_that_they_compile_different_names():
    """Where code of two of them is in the cache, one function of a name is called for all."""
    commands = [[sys.executable, "-c", NAMED]] * 2
    names = [name for words in commands for name in subprocess.check_output(words).split()]
    assert len(names) == len(set(names)) == 4
