"""One measurement in a process of its own, so that its peak memory is its alone.

    python -m zoo.benchmark.measure '{"work": "forward", "backend": "cpu", ...}'

prints one line of JSON: seconds (the median of the repeats) and peak memory in bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from zoo import registries, sparse
from zoo.architectures.completion import SparseCompletion
from zoo.architectures.generative import GenerativeConfig
from zoo.architectures.segmentation import SegmentationConfig, SparseSegmentation
from zoo.errors import MissingDependency, ZooError
from zoo.report import peak_memory
from zoo.sparse import Backend, SparseTensor
from zoo.training.losses import deep_supervision
from zoo.voxels import pooled

BUDGET = 5.0  # seconds of repeats after the first
REPEATS = 5
CLASSES = 5
SMALL = 16  # voxels along an edge of what is run before anything is timed

Work = Callable[[], object]
Grid = NDArray[np.bool_]
Network = TypeVar("Network", bound=torch.nn.Module)


class Spec(BaseModel):
    """What to measure.

    Attributes:
        work: `forward` and `train` (one step) of the network, both with pruning given by the
            target, so that every backend does the same work; `segment` and `train segmentation`,
            the same of the U-Net; `convolution` (one, 3x3x3, with building its index); `index`
            (building it alone).
        backend: name of a backend, or `spconv` for a convolution.
        volume: .npy of a bool grid.
        channels: of the network, or C_in and C_out of the convolution.
        once: run the work once, with all that is compiled on first use.
    """

    work: str
    backend: str
    volume: str
    channels: tuple[int, ...]
    threads: int
    once: bool = False


def main() -> None:
    spec = Spec.model_validate_json(sys.argv[1])
    torch.set_num_threads(spec.threads)
    try:
        result = _measure(spec)
    except ZooError as error:
        result = {"error": str(error)}
    except (MemoryError, RuntimeError) as error:
        result = {"error": " ".join(str(error).split())[:200]}
    print(json.dumps(result))


def _measure(spec: Spec) -> dict[str, Any]:
    grid = np.load(spec.volume)
    if not spec.once:
        WORKS[spec.work](spec, pooled(grid, max(1, max(grid.shape) // SMALL)))()  # compiles
    run = WORKS[spec.work](spec, grid)
    first = _seconds(run)
    seconds = [first]
    if first < BUDGET and not spec.once:
        seconds = [_seconds(run)]
        while len(seconds) < REPEATS and sum(seconds) < BUDGET:
            seconds.append(_seconds(run))
    return {
        "first": first,
        "seconds": median(seconds),
        "repeats": len(seconds),
        "peak_memory": peak_memory(),
        "voxels": int(np.count_nonzero(grid)),
    }


def _seconds(run: Work) -> float:
    started = perf_counter()
    run()
    return perf_counter() - started


def _backend(spec: Spec) -> Backend:
    backend: Backend = registries.backends.get(spec.backend)()
    return backend


def _network(spec: Spec) -> SparseCompletion:
    torch.manual_seed(0)
    thresholds = (float("inf"),) * (len(spec.channels) - 1)  # only the target decides
    return SparseCompletion(GenerativeConfig(channels=spec.channels, thresholds=thresholds))


def _trained(network: Network) -> Network:
    """In training mode but for BatchNorm: a small grid has one voxel at the deepest level."""
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    return network


def _forward(spec: Spec, grid: Grid) -> Work:
    backend, network = _backend(spec), _network(spec).eval()

    def run() -> None:
        with torch.inference_mode():
            x = SparseTensor.from_grids([grid], backend=backend)
            network(x, x.index)

    return run


def _train(spec: Spec, grid: Grid) -> Work:
    backend, network = _backend(spec), _trained(_network(spec))
    optimizer = torch.optim.Adam(network.parameters(), amsgrad=True)

    def run() -> None:
        x = SparseTensor.from_grids([grid], backend=backend)
        optimizer.zero_grad()
        deep_supervision(network(x, x.index).levels).backward()
        optimizer.step()

    return run


def _unet(spec: Spec) -> SparseSegmentation:
    torch.manual_seed(0)
    return SparseSegmentation(SegmentationConfig(channels=spec.channels, classes=CLASSES))


def _segment(spec: Spec, grid: Grid) -> Work:
    backend, network = _backend(spec), _unet(spec).eval()

    def run() -> None:
        with torch.inference_mode():
            network(SparseTensor.from_grids([grid], backend=backend))

    return run


def _train_segmentation(spec: Spec, grid: Grid) -> Work:
    backend, network = _backend(spec), _trained(_unet(spec))
    optimizer = torch.optim.Adam(network.parameters(), amsgrad=True)

    def run() -> None:
        x = SparseTensor.from_grids([grid], backend=backend)
        optimizer.zero_grad()
        target = torch.arange(len(x)) % CLASSES
        torch.nn.functional.cross_entropy(network(x), target).backward()
        optimizer.step()

    return run


def _convolution(spec: Spec, grid: Grid) -> Work:
    inputs, outputs = spec.channels
    count = int(np.count_nonzero(grid))
    features = torch.ones(count, 1) if inputs == 1 else torch.rand(count, inputs)
    if spec.backend == "spconv":
        return _spconv(torch.from_numpy(np.argwhere(grid)), features, outputs)
    backend, kernel = _backend(spec), torch.rand(27, inputs, outputs)

    def run() -> None:
        with torch.inference_mode():
            x = SparseTensor.from_grids([grid], backend=backend).with_features(features)
            sparse.convolution(x, kernel)

    return run


def _spconv(coordinates: torch.Tensor, features: torch.Tensor, outputs: int) -> Work:
    try:
        import spconv.pytorch as spconv
    except ImportError as error:
        raise MissingDependency(f"spconv is not installed: pip install spconv ({error})") from error
    layer = spconv.SubMConv3d(features.shape[1], outputs, 3, bias=False)
    indices = torch.nn.functional.pad(coordinates, (1, 0)).int()
    shape = (coordinates.max(0).values + 1).tolist()

    def run() -> None:
        with torch.inference_mode():
            layer(spconv.SparseConvTensor(features, indices, shape, 1))

    return run


def _index(spec: Spec, grid: Grid) -> Work:
    backend = _backend(spec)
    return lambda: SparseTensor.from_grids([grid], backend=backend)


WORKS: dict[str, Callable[[Spec, Grid], Work]] = {
    "forward": _forward,
    "train": _train,
    "segment": _segment,
    "train segmentation": _train_segmentation,
    "convolution": _convolution,
    "index": _index,
}

if __name__ == "__main__":
    main()
