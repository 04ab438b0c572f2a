"""A run of measurements: what against what, a table with ratios, and the paper's figure."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch
from pydantic import BaseModel

from zoo.benchmark.measure import Spec
from zoo.cards import InputContract
from zoo.data.phantoms import complete_skull
from zoo.data.thorax import thorax_case
from zoo.errors import MissingDependency
from zoo.files import atomic_path, read_volume
from zoo.intensity import windowed
from zoo.report import versions
from zoo.training.config import EXTERIOR, WINDOWS
from zoo.voxels import pooled

SMALL = (2, 2, 4, 4, 4, 4, 16)
MEDIUM = (8, 8, 16, 16, 32, 32, 64)
UNET = (8, 16, 32, 64, 64)
CONVOLUTIONS = {"cpu": ((1, 2), (8, 8), (32, 32)), "cuda": ((2, 2), (8, 8), (32, 32))}
TIMEOUT = 900.0  # seconds for one measurement
COLD, WARM = "cold start", "warm start"
PEERS = {"cpu": ("cpu", "torch", "dense", "minkowski"), "cuda": ("gpu", "torch", "dense")}
OWN = {"cpu": "cpu", "cuda": "gpu"}  # what the others are compared with


class Row(BaseModel):
    """One measurement; ratios are of this backend to the zoo's own for the device, in the same run.

    A start is a whole process, from its launch to its end, that imports and makes one forward pass:
    cold the first time ever, warm the second time. On a GPU, memory is the device's. `floor` is how
    many seconds the work's bytes and operations take at rates measured on the device.
    """

    work: str
    resolution: int
    voxels: int | None = None
    channels: str
    backend: str
    seconds: float | None = None
    first: float | None = None
    peak_memory: int | None = None
    time_ratio: float | None = None
    memory_ratio: float | None = None
    bytes: int | None = None
    operations: int | None = None
    floor: float | None = None
    error: str | None = None


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the figures were measured on."""
    gpu = {} if kind(device) == "cpu" else {"device": torch.cuda.get_device_name(device)}
    return gpu | {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }


def kind(device: str) -> str:
    return torch.device(device).type


def run_suite(
    resolutions: list[int],
    channels: list[tuple[int, ...]],
    backends: list[str],
    *,
    device: str = "cpu",
    segmentation: bool = False,
    volume: Path | None,
    train: bool,
    threads: int,
    timeout: float = TIMEOUT,
) -> Iterator[Row]:
    """Measure, peer after peer, each in a process of its own.

    Skulls in a generative network or, for `segmentation`, chests in a U-Net.
    """
    with TemporaryDirectory() as folder:
        for resolution in resolutions:
            make = _chest if segmentation and volume is None else _grid
            path, grid = Path(folder, f"{resolution}.npy"), make(resolution, volume)
            np.save(path, grid)
            works = _works(channels, train, device, starts=resolution == resolutions[0])
            for work, width in _unet_works(channels, train) if segmentation else works:
                peers = [*backends, "spconv"] if work == "convolution" else backends
                spec = Spec(
                    work=work,
                    backend=backends[0],
                    device=device,
                    volume=str(path),
                    channels=width,
                    threads=threads,
                    roofline=kind(device) != "cpu",
                )
                yield from _compare(spec, max(grid.shape), peers, timeout)


def _works(
    channels: list[tuple[int, ...]], train: bool, device: str, starts: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    if starts:
        yield COLD, channels[0]
        yield WARM, channels[0]
    yield "index", (1, 1)
    one = "convolution" if kind(device) == "cpu" else "convolution alone"
    yield from ((one, width) for width in CONVOLUTIONS[kind(device)])
    for width in channels:
        yield "forward", width
        if train:
            yield "train", width


def _unet_works(
    channels: list[tuple[int, ...]], train: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "index", (1, 1)
    for width in channels:
        yield "segment", width
        if train:
            yield "train segmentation", width


def _compare(spec: Spec, resolution: int, peers: list[str], timeout: float) -> Iterator[Row]:
    own: Row | None = None
    for peer in peers:
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
    """Seconds of a whole process that makes one forward pass; it compiles into `cache`."""
    once = spec.model_copy(update={"work": "forward", "once": True, "roofline": False})
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "TRITON_CACHE_DIR": str(cache)}
    started = perf_counter()
    facts = run_measurement(once, timeout, environment)
    return facts if "error" in facts else facts | {"seconds": perf_counter() - started}


def run_measurement(
    spec: Spec, timeout: float = TIMEOUT, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The result of one child process, or an `error` that says how it ended."""
    command = [sys.executable, "-m", "zoo.benchmark.measure", spec.model_dump_json()]
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


def _grid(resolution: int, volume: Path | None) -> np.ndarray:
    """The phantom of seed 0, or a file's non-zero voxels any-pooled to so many along an edge."""
    if volume is None:
        return complete_skull(0, resolution)
    grid: np.ndarray = np.asarray(read_volume(volume).canonical().array, dtype=bool)
    return pooled(grid, max(1, max(grid.shape) // resolution))


def _chest(resolution: int, volume: Path | None) -> np.ndarray:
    """What the windows of the zoo's recipes leave of the chest of seed 0."""
    contract = InputContract.around(1.0, windows=WINDOWS, exterior=EXTERIOR)
    return windowed(thorax_case(0, resolution).hu.astype(np.float32), contract)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def plot(rows: list[Row], path: Path) -> None:
    """Time and memory of the network's forward pass against resolution, one line per backend.

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
    forward = [
        row
        for row in rows
        if row.work in ("forward", "segment") and row.seconds and row.peak_memory
    ]
    for backend, channels in dict.fromkeys((row.backend, row.channels) for row in forward):
        line = [row for row in forward if (row.backend, row.channels) == (backend, channels)]
        resolutions = [row.resolution for row in line]
        label = f"{backend} ({channels})"
        axes[0].plot(resolutions, [row.seconds for row in line], "o-", label=label)
        axes[1].plot(resolutions, [(row.peak_memory or 0) / 1e9 for row in line], "o-", label=label)
    for axis, title in zip(axes, ("seconds", "peak memory, GB"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="voxels along an edge", title=title)
        axis.set_xticks(sorted({row.resolution for row in forward}))
        axis.xaxis.set_major_formatter("{x:.0f}")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
