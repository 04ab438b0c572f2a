"""Dense networks as their users would run them, against the sparse network of the same layers.

    pip install openvino monai
    python benchmarks/dense.py [SKULL] [--resolution 128] [--channels 2,2,4,4,4,4,16] [-o RESULT]

The dense network has the sparse one's layers and weights, and computes on every voxel of SKULL's
box (a generated skull's if left out): with PyTorch as it is, with torch.compile, with autocast to
bfloat16, in OpenVINO, and in tiles, as MONAI's sliding window does it. First all are compared: on a
full cube, where sparse and dense are the same, the dense network with the sparse one; on the skull,
each way of running it with PyTorch's. There the sparse network prunes by the skull, as in `zoo
bench`. Each way is then a process of its own. Printed are seconds (the median of three runs after
one that is not counted), peak memory, and both as multiples of those of backend `cpu`. What a
machine cannot run says why.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import zoo
from zoo.benchmark import as_it_comes, machine
from zoo.models import peak_memory
from zoo.plugins import GenerativeTransposedConvolution, complete_skull
from zoo.sparse import SparseTensor, select_backend
from zoo.volumes import atomic_path, occupied_box, pooled, read_volume

Run = Callable[[Tensor], Tensor]
REPEATS = 3
TILE, OVERLAP = 128, 0.25  # of MONAI's window: its edge in voxels, and its default overlap
LEVELS, CUBE, MARGIN = 4, 96, 40  # of the comparison: levels, edge, and what edges influence


class Dense(nn.Module):
    """The layers of a `GenerativeNetwork` without pruning: grids (1, 1, I, J, K) to logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.encoder = nn.ModuleList()
        for block in network.encoder:  # type: ignore[union-attr]
            units = [block] if hasattr(block, "convolution") else list(block)
            self.encoder.append(nn.Sequential(*map(_unit, units)))
        self.decoder = nn.ModuleList(
            nn.Sequential(*map(_unit, block))
            for block in network.decoder  # type: ignore[union-attr]
        )
        self.output = _convolution(network.output)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in reversed(self.decoder):
            x = block(x) + skips.pop()
        logits: Tensor = self.output(x)
        return logits


def _unit(unit: Any) -> nn.Module:
    """Convolution, normalisation, ReLU."""
    norm = nn.BatchNorm3d(unit.norm.num_features)
    norm.load_state_dict(unit.norm.state_dict())
    return nn.Sequential(_convolution(unit.convolution), norm, nn.ReLU(inplace=True))


class Up(nn.Module):
    """A transposed convolution of stride 2, cut to twice the length of its input."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.transposed = nn.ConvTranspose3d(inputs, outputs, size, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        i, j, k = (2 * n for n in x.shape[2:])
        made: Tensor = self.transposed(x)
        return made[:, :, :i, :j, :k]


def _convolution(layer: Any) -> nn.Module:
    """The dense layer with a sparse one's kernel (K, C_in, C_out), whose first axis is fastest."""
    count, inputs, outputs = layer.kernel.shape
    size = round(count ** (1 / 3))
    kernel = layer.kernel.detach().reshape(size, size, size, inputs, outputs)
    if isinstance(layer, GenerativeTransposedConvolution):
        up = Up(inputs, outputs, size)
        up.transposed.weight.data = kernel.permute(3, 4, 2, 1, 0).contiguous()
        return up
    padding, has_bias = (size // 2 if layer.stride == 1 else 0), layer.bias is not None
    dense = nn.Conv3d(inputs, outputs, size, layer.stride, padding, bias=has_bias)
    dense.weight.data = kernel.permute(4, 3, 2, 1, 0).contiguous()
    if dense.bias is not None:
        dense.bias.data = layer.bias.detach().clone()
    return dense


def networks(channels: tuple[int, ...], threshold: float) -> tuple[nn.Module, Dense]:
    """A sparse network that keeps voxels above a threshold, and the dense one with its weights."""
    torch.manual_seed(0)
    config = {"channels": channels, "thresholds": [threshold] * (len(channels) - 1)}
    network = zoo.create("sparse-completion", config, backend="cpu", device="cpu").network.eval()
    return network, Dense(network).eval()


def check(channels: tuple[int, ...]) -> None:
    """Compare sparse and dense on a full cube, in the middle, where its edges have no influence."""
    levels = channels[:LEVELS]
    sparse, dense = networks(levels, -math.inf)  # all of them
    cube = np.ones((CUBE,) * 3, dtype=bool)
    with torch.inference_mode():
        x = SparseTensor.from_grids([cube], backend=select_backend("cpu", torch.device("cpu")))
        found = sparse(x, x.index).candidates
        wanted = dense(torch.ones(1, 1, *cube.shape))[0, 0]
        points = found.index.coordinates[:, 1:]
        inside = ((points >= MARGIN) & (points < CUBE - MARGIN)).all(dim=1)
        i, j, k = points[inside].T
        worst = (found.features[inside, 0] - wanted[i, j, k]).abs().max().item()
    if not inside.any() or worst > 1e-3:
        sys.exit(f"sparse and dense differ by {worst:g} on a full cube")
    print(f"on a full cube, sparse and dense differ by {worst:.1e} at most")


def eager(network: nn.Module, x: Tensor) -> Run:
    return network


def compiled(network: nn.Module, x: Tensor) -> Run:
    found: Run = torch.compile(network)
    return found


def bfloat16(network: nn.Module, x: Tensor) -> Run:
    def run(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            found: Tensor = network(x)
        return found

    return run


def openvino(network: nn.Module, x: Tensor, precision: str = "f32") -> Run:
    import openvino as ov

    core = ov.Core()
    hints = {"INFERENCE_PRECISION_HINT": precision}
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": torch.get_num_threads(), **hints})
    model = core.compile_model(ov.convert_model(network, example_input=x), "CPU")
    return lambda x: torch.from_numpy(model(x.numpy())[0])


def tiles(network: nn.Module, x: Tensor) -> Run:
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer((TILE,) * 3, overlap=OVERLAP)
    return lambda x: inferer(x, network)


WAYS = {
    "PyTorch": eager,
    "torch.compile": compiled,
    "bfloat16": bfloat16,
    "OpenVINO": openvino,
    "OpenVINO, bfloat16": partial(openvino, precision="bf16"),
    "MONAI, tiles": tiles,
}


def measure(way: str, volume: str, channels: tuple[int, ...]) -> dict[str, Any]:
    """Run one way a few times in this process, and compare it with PyTorch's."""
    grid: NDArray[np.bool_] = np.load(volume)
    sparse, dense = networks(channels, math.inf)  # none but those of the target
    with torch.inference_mode():
        if way == "cpu":
            backend = select_backend("cpu", torch.device("cpu"))

            def once() -> Any:
                x = SparseTensor.from_grids([grid], backend=backend)
                return sparse(x, x.index)
        else:
            block = 2 ** (len(channels) - 1)
            padded = np.pad(grid, [(0, -n % block) for n in grid.shape])
            x = torch.from_numpy(padded)[None, None].float()
            run = WAYS[way](dense, x)

            def once() -> Any:
                return run(x)

        answer, seconds = once(), []
        for _ in range(REPEATS):
            started = perf_counter()
            once()
            seconds.append(perf_counter() - started)
        facts: dict[str, Any] = {"seconds": median(seconds), "peak_memory": peak_memory()}
        if way != "cpu":
            wanted = dense(x)
            facts["difference"] = ((answer - wanted).abs().max() / wanted.abs().max()).item()
    return facts


def measured(way: str, volume: Path, channels: str) -> dict[str, Any]:
    """`measure` in a process of its own; why not, if it fails."""
    command = [sys.executable, __file__, str(volume), "--channels", channels, "--way", way]
    environment = dict(os.environ) if way == "cpu" else as_it_comes(os.environ)
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("skull", type=Path, nargs="?")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--channels", default="2,2,4,4,4,4,16")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    channels = tuple(map(int, given.channels.split(",")))
    if given.way:
        print(json.dumps(measure(given.way, str(given.skull), channels)))
        return
    check(channels)
    if given.skull:
        skull = np.asarray(read_volume(given.skull).canonical().array, dtype=bool)
        skull = pooled(skull, max(1, max(skull.shape) // given.resolution))
    else:
        skull = complete_skull(0, given.resolution)
    skull = skull[occupied_box(skull)]
    table = Table("way", "s", "x cpu", "GB", "x cpu", "differs by", "note")
    rows: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder, "skull.npy")
        np.save(path, skull)
        for way in ("cpu", *WAYS):
            row = rows[way] = measured(way, path, given.channels)
            if "error" in row:
                table.add_row(way, *["-"] * 5, row["error"])
                continue
            numbers = (row["seconds"], row["peak_memory"] / 1e9)
            own = rows["cpu"]
            times = row["seconds"] / own["seconds"], row["peak_memory"] / own["peak_memory"]
            differs = f"{row['difference']:.1e}" if "difference" in row else ""
            cells = (f"{value:.3g}" for pair in zip(numbers, times, strict=True) for value in pair)
            table.add_row(way, *cells, differs, "")
    Console(width=110).print(table)
    if given.output:
        facts = {"shape": skull.shape, "voxels": int(skull.sum()), "channels": channels}
        with atomic_path(given.output) as temporary:
            found = {"machine": machine(), **facts, "rows": rows}
            temporary.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
