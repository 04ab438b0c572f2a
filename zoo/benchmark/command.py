"""Runs the benchmark that `zoo bench` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from zoo import registries
from zoo.benchmark._suite import OWN, PEERS, Row, kind, machine, plot, run_suite
from zoo.errors import ConfigError, ReadError
from zoo.sparse import torch_device
from zoo.validation import validate
from zoo.volumes import atomic_path, check_output

RESOLUTIONS = {"cpu": "64,128,256", "cuda": "128,256,512"}


def bench(
    resolutions: str,
    channels: list[str],
    backends: str,
    *,
    task: str,
    device: str,
    volume: Path | None,
    occupancies: str,
    train: bool,
    timeout: float,
    picture: Path | None,
    output: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Run the benchmark.

    Args:
        resolutions: voxels along an edge, comma-separated; empty for the device's defaults.
        channels: channel lists of the network, comma-separated each; empty for the task's defaults.
        backends: names of backends, comma-separated; empty for all on the device.
        task: name of the task whose workload is run.
        device: as for `zoo.load`.
        volume: a binary volume to use instead of a phantom.
        occupancies: shares of a cube, comma-separated, that are filled instead of a phantom; then
            the figure is against them.
        train: also measure training steps; they are always measured on a GPU.
        timeout: time limit per measurement, in seconds.
        picture: PNG file for the figure; not drawn if None.
        output: JSON file for the result; not written if None.
        console: shows every row as soon as it is measured.

    Returns:
        The machine, the device and the rows, as `--json` prints them.

    Raises:
        BackendError: the device does not work.
        ConfigError: a resolution, a channel list, the task or a backend is not valid.
        NotRegistered: there is no such backend.
        ReadError: `volume` does not exist.
        WriteError: an output cannot be written.
    """
    device = str(torch_device(device))
    where = kind(device)
    sizes = _integers(resolutions or RESOLUTIONS[where], "--resolutions")
    peers = backends.split(",") if backends else list(PEERS[where])
    if task not in registries.tasks:
        known = ", ".join(registries.tasks.names())
        raise ConfigError(f"--task: wanted one of {known}, got {task!r}")
    workload = registries.tasks.get(task).benchmark(task)
    design = registries.architectures.get(workload.architecture)
    for text in channels:
        width = _integers(text, "--channels")
        validate(design.config_class, {"channels": width}, source="--channels")
    asked = [tuple(_integers(text, "--channels")) for text in channels]
    widths = asked or list(dict(workload.widths).get(where, ((),)))
    for peer in peers:
        registries.backends.get(peer)
    if volume is not None and not volume.is_file():
        raise ReadError(f"{volume}: no such file; check the path")
    shares = _shares(occupancies) if occupancies else []
    if shares and volume is not None:
        raise ConfigError("--volume and --occupancies exclude each other; leave one out")
    for path in filter(None, (picture, output)):
        check_output(path)
    rows: list[Row] = []
    result: dict[str, Any] = {"machine": machine(device), "device": device, "rows": []}
    with console.status("measuring"):
        for row in run_suite(
            sizes,
            widths,
            peers,
            device=device,
            task=task,
            volume=volume,
            occupancies=shares,
            train=train or where != "cpu",
            threads=torch.get_num_threads(),
            timeout=timeout,
        ):
            result["rows"].append(row.model_dump())
            rows.append(row)
            console.print(_line(row), highlight=False)
            if output is not None:  # each time, as the next row may take minutes
                with atomic_path(output) as temporary:
                    temporary.write_text(json.dumps(result, indent=1) + "\n")
    if picture is not None:
        plot(rows, picture, by_occupancy=bool(shares))
    return result


def table(result: dict[str, Any]) -> list[dict[str, str]]:
    """Format the rows of a result from `bench` for the terminal."""
    where = kind(result["device"])
    own, on_gpu = OWN[where], where != "cpu"
    return [
        {
            "work": row["work"],
            "grid": str(row["resolution"]),
            "full": f"{100 * row['occupancy']:.0f} %",
            "channels": row["channels"],
            "backend": row["backend"],
            "seconds": f"{row['seconds']:.{5 if on_gpu else 3}f}" if row["seconds"] else "-",
            "GB": f"{row['peak_memory'] / 1e9:.2f}" if row["peak_memory"] else "-",
            f"time / {own}'s": f"{row['time_ratio']:.1f}" if row["time_ratio"] else "-",
            f"memory / {own}'s": f"{row['memory_ratio']:.1f}" if row["memory_ratio"] else "-",
            **({"% of roofline": _share(row)} if on_gpu else {}),
            "note": row["error"] or "",
        }
        for row in result["rows"]
    ]


def _line(row: Row) -> str:
    """What a row says while others are still measured."""
    found = row.error or f"{row.seconds:.3g} s, {(row.peak_memory or 0) / 1e9:.2f} GB"
    return f"{row.work}, {row.resolution}, {row.channels}, {row.backend}: {found}"


def _share(row: dict[str, Any]) -> str:
    """The share of the time that moving the bytes and doing the operations alone would take."""
    return f"{100 * row['floor'] / row['seconds']:.0f}" if row["floor"] else "-"


def _shares(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--occupancies takes shares such as 0.1,0.5,1, got {text!r}") from error
    if not all(0 < value <= 1 for value in values):
        raise ConfigError(f"--occupancies takes shares above 0 and up to 1, got {text!r}")
    return values


def _integers(text: str, option: str) -> list[int]:
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"{option} takes numbers separated by commas, got {text!r}") from error
    if min(values) < 1:
        raise ConfigError(f"{option} takes numbers of at least 1, got {text!r}")
    return values
