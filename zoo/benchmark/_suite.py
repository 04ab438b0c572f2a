"""A series of measurements: which backends on which work, ratios between them, and a figure."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from zoo import registries
from zoo.benchmark._measure import Spec
from zoo.errors import MissingDependency
from zoo.models import versions
from zoo.volumes import atomic_path, occupied_share, pooled, read_volume

CONVOLUTIONS = {"cpu": ((1, 2), (8, 8), (32, 32)), "cuda": ((2, 2), (8, 8), (32, 32))}
TIMEOUT = 900.0  # seconds for one measurement
COLD, WARM = "cold start", "warm start"
PEERS = {"cpu": ("cpu", "torch", "dense", "minkowski"), "cuda": ("gpu", "torch", "dense")}
OWN = {"cpu": "cpu", "cuda": "gpu"}  # the backend that the others are compared with


class Row(BaseModel):
    """One measurement.

    Attributes:
        work: the work, as in `Spec`; or "cold start" and "warm start", a whole process that imports
            the zoo and makes one forward pass, the first time ever and the second time.
        resolution: voxels along the longest edge of the grid.
        voxels: number of occupied voxels.
        occupancy: their share of the bounding box.
        channels: channels, comma-separated.
        backend: name of the backend.
        seconds: the median time.
        first: the time of the first run, in seconds.
        repeats: of how many runs `seconds` is the median, without the first.
        peak_memory: peak memory in bytes, of the process or of the GPU.
        time_ratio, memory_ratio: this backend's time and memory divided by those of the zoo's own
            backend for the device, in the same series.
        bytes, operations: what the work takes at least.
        floor: the seconds that these take at rates measured on the device.
        error: why there is no measurement, if so.
    """

    work: str
    resolution: int
    voxels: int | None = None
    occupancy: float | None = None
    channels: str
    backend: str
    seconds: float | None = None
    first: float | None = None
    repeats: int | None = None
    peak_memory: int | None = None
    time_ratio: float | None = None
    memory_ratio: float | None = None
    bytes: int | None = None
    operations: int | None = None
    floor: float | None = None
    error: str | None = None


def machine(device: str = "cpu") -> dict[str, Any]:
    """Facts about the machine that the figures are measured on."""
    gpu = {} if kind(device) == "cpu" else {"device": torch.cuda.get_device_name(device)}
    return gpu | {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }


def kind(device: str) -> str:
    """The type of a device, such as "cuda" for "cuda:1"."""
    return torch.device(device).type


def run_suite(
    resolutions: list[int],
    channels: list[tuple[int, ...]],
    backends: list[str],
    *,
    device: str = "cpu",
    task: str = "completion",
    volume: Path | None,
    occupancies: list[float],
    train: bool,
    threads: int,
    timeout: float = TIMEOUT,
) -> Iterator[Row]:
    """Measure a task's workload on one backend after another, each in a process of its own.

    With `occupancies` the network runs on random shapes that fill these shares of a cube.
    """
    with TemporaryDirectory() as folder:
        shares: list[float | None] = [*occupancies] or [None]
        for resolution, share in product(resolutions, shares):
            grid = _grid(task, resolution, volume) if share is None else filled(resolution, share)
            path = Path(folder, f"{resolution}-{share}.npy")
            np.save(path, grid)
            workload = registries.tasks.get(task).benchmark(task)
            with_parts = workload.with_parts and share is None
            starts = with_parts and resolution == resolutions[0]
            for work, width in _works(channels, train, device, with_parts, starts):
                peers = [*backends, "spconv"] if work == "convolution" else backends
                spec = Spec(
                    work=work,
                    task=task,
                    backend=backends[0],
                    device=device,
                    volume=str(path),
                    channels=width,
                    threads=threads,
                    roofline=kind(device) != "cpu",
                )
                for row in _compare(spec, max(grid.shape), peers, timeout):
                    yield row.model_copy(update={"occupancy": occupied_share(grid)})


def _works(
    channels: list[tuple[int, ...]], train: bool, device: str, with_parts: bool, starts: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    if starts:
        yield COLD, channels[0]
        yield WARM, channels[0]
    yield "index", (1, 1)
    one = "convolution" if kind(device) == "cpu" else "convolution alone"
    if with_parts:
        yield from ((one, width) for width in CONVOLUTIONS[kind(device)])
    for width in channels:
        yield "forward", width
        if train:
            yield "train", width


def _compare(spec: Spec, resolution: int, peers: list[str], timeout: float) -> Iterator[Row]:
    own: Row | None = None
    for peer in sorted(peers, key=lambda peer: peer != OWN[kind(spec.device)]):
        spec = spec.model_copy(update={"backend": peer})
        if spec.work in (COLD, WARM):
            folder = Path(spec.volume).parent
            facts = measure_start(spec, timeout, cache=folder / f"compiled-by-{peer}")
        else:
            facts = run_measurement(spec, timeout)
        row = Row(
            work=spec.work,
            resolution=resolution,
            channels=",".join(map(str, spec.channels)),
            backend=peer,
            **{key: value for key, value in facts.items() if key in Row.model_fields},
        )
        own = row if peer == OWN[kind(spec.device)] else own
        if own and row.seconds and own.seconds and row.peak_memory and own.peak_memory:
            row.time_ratio = row.seconds / own.seconds
            row.memory_ratio = row.peak_memory / own.peak_memory
        yield row


def measure_start(spec: Spec, timeout: float, cache: Path) -> dict[str, Any]:
    """Measure a whole process that makes one forward pass, and compiles to the folder `cache`."""
    once = spec.model_copy(update={"work": "forward", "once": True, "roofline": False})
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "TRITON_CACHE_DIR": str(cache)}
    started = perf_counter()
    facts = run_measurement(once, timeout, environment)
    return facts if "error" in facts else facts | {"seconds": perf_counter() - started}


def as_it_comes(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for peers, without what `zoo` tells PyTorch for its own backend's sake."""
    told = ("OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE")
    return {name: value for name, value in environment.items() if name not in told}


def run_measurement(
    spec: Spec, timeout: float = TIMEOUT, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run one measurement in a child process; if it fails, the result is its `error`."""
    command = [sys.executable, "-m", "zoo.benchmark._measure", spec.model_dump_json()]
    environment = dict(environment or os.environ)
    if spec.backend not in OWN.values():
        environment = as_it_comes(environment)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {timeout:g} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"error": lines[-1][:200]}
    result: dict[str, Any] = _json_line(done.stdout)
    return result


def _json_line(output: str) -> Any:
    return json.loads(output.strip().splitlines()[-1])


def _grid(task: str, resolution: int, volume: Path | None) -> np.ndarray:
    """The grid of a task's workload, or a file's non-zero voxels any-pooled to the resolution."""
    if volume is None:
        made: np.ndarray = registries.tasks.get(task).benchmark(task).occupied(resolution)
        return made
    grid: np.ndarray = np.asarray(read_volume(volume).canonical().array, dtype=bool)
    return pooled(grid, max(1, max(grid.shape) // resolution))


def filled(resolution: int, share: float) -> NDArray[np.bool_]:
    """Random shapes that fill a share of a cube, bool (R, R, R): where smooth noise is greatest."""
    from scipy import ndimage

    noise = np.random.default_rng(0).normal(size=(resolution,) * 3)
    smooth = ndimage.gaussian_filter(noise, resolution / 16)
    found: NDArray[np.bool_] = smooth >= np.quantile(smooth, 1 - share)
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def plot(rows: list[Row], path: Path, *, by_occupancy: bool = False) -> None:
    """Plot time and memory of the network's forward pass, a line per backend.

    Against resolution, or against the share of the bounding box that is occupied: where the lines
    of two backends cross, the other one is faster.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator
    except ImportError as error:
        raise MissingDependency(
            "--plot needs matplotlib: pip install 'sparse-volume-zoo[bench]'"
        ) from error
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    forward = [row for row in rows if row.work == "forward" and row.seconds and row.peak_memory]
    along = "occupancy" if by_occupancy else "resolution"
    for backend, channels in dict.fromkeys((row.backend, row.channels) for row in forward):
        line = [row for row in forward if (row.backend, row.channels) == (backend, channels)]
        places = [getattr(row, along) for row in line]
        label = f"{backend} ({channels})"
        axes[0].plot(places, [row.seconds for row in line], "o-", label=label)
        axes[1].plot(places, [(row.peak_memory or 0) / 1e9 for row in line], "o-", label=label)
    for axis, title in zip(axes, ("seconds", "peak memory, GB"), strict=True):
        axis.set(yscale="log", title=title)
        if by_occupancy:
            axis.set(xlabel="share of the bounding box that is occupied")
        else:
            axis.set(xscale="log", xlabel="voxels along an edge")
            axis.set_xticks(sorted({row.resolution for row in forward}))
            axis.xaxis.set_major_formatter("{x:.0f}")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
