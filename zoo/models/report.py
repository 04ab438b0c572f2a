"""Facts for the report of a prediction: time, memory, versions."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

from zoo.version import __version__

LOG = logging.getLogger(__name__)
COMPILING = "compiling kernels (once per machine)"


class Stopwatch:
    """Measures the seconds of named stages, one after another, and of compiling kernels in them."""

    def __init__(self, announce: Callable[[str], None] | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._announce = announce
        self.compiling = 0.0
        self._stage = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage, and measure how long its block takes but for compiling kernels."""
        self._say(name)
        self._stage = name
        started, compiled = perf_counter(), self.compiling
        yield
        self.seconds[name] = perf_counter() - started - (self.compiling - compiled)
        LOG.debug("%s: %.3f s", name, self.seconds[name])

    @contextmanager
    def compilation(self) -> Iterator[None]:
        """Announce that kernels are compiled, and measure how long; then it is the stage again."""
        self._say(COMPILING)
        started = perf_counter()
        yield
        seconds = perf_counter() - started
        self.compiling += seconds
        LOG.info("compiled kernels in %.1f s, once per machine", seconds)
        self._say(self._stage)

    def _say(self, name: str) -> None:
        if self._announce is not None:
            self._announce(name)


def forget_peak_memory() -> None:
    """Let `peak_memory` count from now on, on Linux; elsewhere it still counts from the start."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, in bytes; None where it is not known."""
    with suppress(OSError, StopIteration):  # of this program only: rusage survives exec on Linux
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions() -> dict[str, str]:
    """The versions of the packages that compute a prediction, and of Python."""
    found = {"zoo": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "numba", "triton", "MinkowskiEngine"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
