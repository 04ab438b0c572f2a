"""What `zoo bench` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from rich.console import Console

from zoo import registries
from zoo.architectures.generative import GenerativeConfig
from zoo.architectures.segmentation import SegmentationConfig
from zoo.benchmark.suite import MEDIUM, OWN, PEERS, SMALL, UNET, Row, kind, machine, plot, run_suite
from zoo.errors import ConfigError, ReadError
from zoo.files import atomic_path, check_output
from zoo.loading import torch_device
from zoo.validation import validate

# Super-resolution has the network of completion.
DESIGNS: dict[str, tuple[type[BaseModel], dict[str, list[tuple[int, ...]]]]] = {
    "completion": (GenerativeConfig, {"cpu": [SMALL], "cuda": [SMALL, MEDIUM]}),
    "segmentation": (SegmentationConfig, {"cpu": [UNET], "cuda": [UNET]}),
}
RESOLUTIONS = {"cpu": "64,128,256", "cuda": "128,256,512"}


def bench(
    resolutions: str,
    channels: list[str],
    backends: str,
    *,
    task: str,
    device: str,
    volume: Path | None,
    train: bool,
    timeout: float,
    picture: Path | None,
    output: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Run the suite; returns what `--json` prints. On a GPU training is always measured.

    Raises:
        BackendError: the device does not work.
        ConfigError: a resolution, a channel list or a backend that makes no sense.
        ReadError: `volume` does not exist.
    """
    device = str(torch_device(device))
    where = kind(device)
    sizes = _integers(resolutions or RESOLUTIONS[where], "--resolutions")
    peers = backends.split(",") if backends else list(PEERS[where])
    if task not in DESIGNS:
        raise ConfigError(f"--task: wanted one of {', '.join(DESIGNS)}, got {task!r}")
    config, usual = DESIGNS[task]
    widths = [tuple(_integers(text, "--channels")) for text in channels] or usual[where]
    for width in widths:
        validate(config, {"channels": width}, source="--channels")
    for peer in peers:
        registries.backends.get(peer)
    if volume is not None and not volume.is_file():
        raise ReadError(f"{volume}: no such file; check the path")
    for path in filter(None, (picture, output)):
        check_output(path)
    rows: list[Row] = []
    with console.status("") as status:
        for row in run_suite(
            sizes,
            widths,
            peers,
            device=device,
            segmentation=task == "segmentation",
            volume=volume,
            train=train or where != "cpu",
            threads=torch.get_num_threads(),
            timeout=timeout,
        ):
            rows.append(row)
            status.update(f"{row.work} {row.resolution} {row.channels} {row.backend}")
    result = {
        "machine": machine(device),
        "device": device,
        "rows": [row.model_dump() for row in rows],
    }
    if output is not None:
        with atomic_path(output) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")
    if picture is not None:
        plot(rows, picture)
    return result


def table(result: dict[str, Any]) -> list[dict[str, str]]:
    """A result's rows as a person reads them."""
    where = kind(result["device"])
    own, on_gpu = OWN[where], where != "cpu"
    return [
        {
            "work": row["work"],
            "grid": str(row["resolution"]),
            "channels": row["channels"],
            "backend": row["backend"],
            "seconds": f"{row['seconds']:.{5 if on_gpu else 3}f}" if row["seconds"] else "-",
            "GB": f"{row['peak_memory'] / 1e9:.2f}" if row["peak_memory"] else "-",
            f"time / {own}'s": f"{row['time_ratio']:.1f}" if row["time_ratio"] else "-",
            f"memory / {own}'s": f"{row['memory_ratio']:.1f}" if row["memory_ratio"] else "-",
            **({"of the roofline": _share(row)} if on_gpu else {}),
            "note": row["error"] or "",
        }
        for row in result["rows"]
    ]


def _share(row: dict[str, Any]) -> str:
    """How much of the time the bytes and operations alone would take."""
    return f"{100 * row['floor'] / row['seconds']:.0f} %" if row["floor"] else "-"


def _integers(text: str, option: str) -> list[int]:
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"{option} takes numbers between commas, got {text!r}") from error
    if min(values) < 1:
        raise ConfigError(f"{option} takes numbers from 1 on, got {text!r}")
    return values
