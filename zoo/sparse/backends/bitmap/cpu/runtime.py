"""How compiled code is made and run: cached if it can be, on as many threads as PyTorch uses.

The threads are plain Python threads that call code which lets go of the GIL. Numba's own parallel
loops are avoided: their OpenMP layer does not survive a fork, their work queue does not bear two
callers at once, and setting their thread count changes PyTorch's.
"""

from __future__ import annotations

import inspect
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cache, partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from subprocess import Popen
from time import sleep
from typing import Any

import numba
import torch
from numba.core import event
from numba.core.bytecode import FunctionIdentity

from zoo.errors import BackendError
from zoo.memory import free_memory
from zoo.sparse.convolution_relation import Relation

Span = tuple[int, int]

ROWS_PER_SPAN = 8192
LEAST = 400 << 20  # bytes; compiling everything for a network took 390 MB of address space

Types = tuple[Any, ...]

_elsewhere: dict[Any, tuple[Popen[bytes], Types]] = {}

# Numba tells functions of one name and of the same types apart by a number: for instance, closures
# over different values. Each process counts from 1; but what is cached comes from many, and of two
# functions with the same number, either is called for both. So the numbers are random here.
_numbered: Any = FunctionIdentity
KEEPS = hasattr(_numbered, "_unique_ids")  # not a public part of Numba
_numbered._unique_ids = iter(partial(secrets.randbits, 64), None)


def jit(function: Callable[..., Any]) -> Any:
    """Compile on first use, for the types of its arguments; without a cache if none can be kept."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    try:
        compiled = numba.njit(function, cache=KEEPS, **options)
    except RuntimeError:  # Numba finds no folder that it can write to
        return numba.njit(function, **options)
    # Numba would look at the function's own file only, and miss changes in what the function calls.
    with suppress(AttributeError):  # not a public part of Numba
        kept = compiled._cache._cache_file
        kept._source_stamp = _stamp()
        kept.load = partial(_load, kept, kept.load)
        kept.save = partial(_save, kept)
    return compiled


@contextmanager
def compiling(compilation: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Run each compilation, by whichever thread, within what `compilation` returns.

    Raises:
        BackendError: there is so little memory that LLVM would end the process.
    """
    if (free := free_memory()) < LEAST:
        raise BackendError(
            f"backend cpu needs {LEAST >> 20} MiB to compile and run; got {free >> 20} MiB that are"
            " free for this process: free some memory, or raise the limit (ulimit -v, --mem)"
        )
    with event.install_listener("numba:compile", _Listener(compilation)):
        yield


def is_kept(kernel: Any) -> bool:
    """Whether some of a kernel's compiled code is in the cache; also if that cannot be known."""
    try:
        return bool(kernel._cache._cache_file._load_index())
    except (AttributeError, ImportError):
        return True


def compile_elsewhere(process: Popen[bytes], kernels: Mapping[Any, Types]) -> None:
    """Let `run` wait for what a process compiles into the cache, for types of arguments."""
    _elsewhere.update({kernel: (process, types) for kernel, types in kernels.items()})


def _await(kernel: Any, process: Popen[bytes]) -> None:
    """Wait for a kernel; meanwhile compile those that the process will come to last."""
    with event.trigger_event("numba:compile"):
        while not is_kept(kernel) and process.poll() is None:
            for other, (_, types) in reversed(list(_elsewhere.items())):
                if other is not kernel and not other.signatures and not is_kept(other):
                    other.compile(types)
                    break
            else:
                sleep(0.02)
    _elsewhere.pop(kernel, None)


class _Listener(event.Listener):
    """Hears of compilations, and of those of what they call, which are a part of them."""

    def __init__(self, compilation: Callable[[], AbstractContextManager[None]]) -> None:
        self.compilation, self.depth, self.opened = compilation, 0, ExitStack()

    def on_start(self, event: Any) -> None:
        if not self.depth:
            self.opened.enter_context(self.compilation())
        self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if not self.depth:
            self.opened.close()


def _load(kept: Any, load: Callable[..., Any], key: Any) -> Any:
    """What is cached, if it is of this version: another one may have had types of other names."""
    try:
        return load(key)
    except (AttributeError, ImportError):
        kept.flush()
        return None


def _save(kept: Any, key: Any, data: Any) -> None:
    """Keep what was compiled for a key, in a file of its own.

    Numba would number the files. Two processes that compile for different types at the same time
    then give both the same number, and whoever comes next runs code that was made for other types.
    """
    digest = sha256(f"{_stamp()} {key!r}".encode()).hexdigest()[:24]
    name = f"{Path(kept._index_name).stem}.{digest}.nbc"
    kept._save_data(name, data)
    overloads = kept._load_index()
    overloads[key] = name
    kept._save_index(overloads)


@cache
def _stamp() -> str:
    relation = Path(inspect.getfile(Relation))  # whose fields are compiled in
    sources = [*sorted(Path(__file__).parent.glob("*.py")), relation]
    return sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def spans(count: int, rows: int, least: int = ROWS_PER_SPAN, most: int = 64) -> list[Span]:
    """Cut range(count), which holds `rows` rows, into spans; threads have no part in where.

    There are at most `most` spans, and `least` rows in a span on average, or more.
    """
    parts = max(1, min(count, most, rows // least))
    edges = [count * part // parts for part in range(parts + 1)]
    return list(pairwise(edges))


def run(kernel: Callable[..., Any], cut: Sequence[Span], *arguments: Any) -> None:
    """Call kernel(number, begin, end, *arguments) for every span, in any order, on all threads."""
    if compiled_elsewhere := _elsewhere.get(kernel):
        _await(kernel, compiled_elsewhere[0])
    todo = iter([(number, *span) for number, span in enumerate(cut)])

    def work() -> None:
        for span in todo:
            kernel(*span, *arguments)

    helpers = min(torch.get_num_threads(), len(cut)) - 1
    if helpers <= 0:
        return work()
    pool = _pool(os.getpid(), torch.get_num_threads() - 1)
    running = [pool.submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        for helper in running:
            helper.result()


@cache
def _pool(process: int, helpers: int) -> ThreadPoolExecutor:
    """The helpers of this process: a forked child has its parent's pool, but not the threads."""
    return ThreadPoolExecutor(helpers, thread_name_prefix="zoo-cpu")
