"""One measurement in a process of its own, so that its peak memory is its alone.

    python -m zoo.benchmark.measure '{"work": "forward", "backend": "cpu", ...}'

prints one line of JSON: seconds (the median of the repeats) and peak memory in bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from statistics import median
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from zoo import registries, sparse
from zoo.architectures.completion import SparseCompletion
from zoo.architectures.generative import GenerativeConfig
from zoo.architectures.segmentation import SegmentationConfig, SparseSegmentation
from zoo.benchmark.roofline import rates, seconds, tallied
from zoo.errors import MissingDependency, ZooError
from zoo.report import peak_memory
from zoo.sparse import Backend, Index, SparseTensor
from zoo.sparse.backends.bitmap.backend import BitmapBackend
from zoo.training.losses import deep_supervision
from zoo.voxels import pooled

BUDGET = {"cpu": 5.0, "cuda": 120.0}  # seconds of the first run, to be repeated; cuda: with tuning
SECONDS = 5.0  # of repeats after the first
REPEATS = {"cpu": 5, "cuda": 50}
CLASSES = 5
SMALL = 16  # voxels along an edge of what is run before anything is timed

Work = Callable[[], object]
Grid = NDArray[np.bool_]
Network = TypeVar("Network", bound=torch.nn.Module)


@runtime_checkable
class TakesMasks(Protocol):
    """A backend that indexes what is on the GPU already."""

    def index_from_mask(self, mask: torch.Tensor) -> Index: ...


class Spec(BaseModel):
    """What to measure.

    Attributes:
        work: `forward` and `train` (one step) of the network, both with pruning given by the
            target, so that every backend does the same work; `segment` and `train segmentation`,
            the same of the U-Net; `convolution` (one, 3x3x3, with building its index) and
            `convolution alone` (the index is there); `index` (building it alone).
        backend: name of a backend, or `spconv` for a convolution.
        device: cpu, cuda, ... On a GPU the volume is there from the start, features are float16,
            and training multiplies in bfloat16.
        volume: .npy of a bool grid.
        channels: of the network, or C_in and C_out of the convolution.
        once: run the work once, with all that is compiled on first use.
        roofline: count what the work takes at least, on backends on bitmaps.
    """

    work: str
    backend: str
    volume: str
    channels: tuple[int, ...]
    threads: int
    device: str = "cpu"
    once: bool = False
    roofline: bool = False

    @property
    def place(self) -> torch.device:
        return torch.device(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of features and weights, but in training."""
        return torch.float32 if self.place.type == "cpu" else torch.float16


def main() -> None:
    spec = Spec.model_validate_json(sys.argv[1])
    torch.set_num_threads(spec.threads)
    if spec.place.type == "cuda":
        torch.cuda.set_device(spec.place)
    try:
        result = _measure(spec)
    except ZooError as error:
        result = {"error": str(error)}
    except (MemoryError, RuntimeError) as error:
        result = {"error": " ".join(str(error).split())[:200]}
    print(json.dumps(result))


def _measure(spec: Spec) -> dict[str, Any]:
    grid = np.load(spec.volume)
    work = WORKS[spec.work]
    backend: Any = None if spec.backend == "spconv" else _backend(spec)
    on_cpu = spec.place.type == "cpu"
    if on_cpu and not spec.once:  # on a GPU, sizes have a part in what is tuned
        work(spec, backend, pooled(grid, max(1, max(grid.shape) // SMALL)))()  # compiles
    run = work(spec, backend, grid)
    first = seconds(run, spec.place)
    times = [first]
    if first < BUDGET[spec.place.type] and not spec.once:
        if not on_cpu:
            torch.cuda.reset_peak_memory_stats(spec.place)
        times = [seconds(run, spec.place)]
        while len(times) < REPEATS[spec.place.type] and sum(times) < SECONDS:
            times.append(seconds(run, spec.place))
    peak = peak_memory() if on_cpu else torch.cuda.max_memory_allocated(spec.place)
    facts: dict[str, Any] = {
        "first": first,
        "seconds": median(times),
        "repeats": len(times),
        "peak_memory": peak,
        "voxels": int(np.count_nonzero(grid)),
    }
    if spec.roofline and isinstance(backend, BitmapBackend):
        facts |= _floor(spec, backend, grid)
    return facts


def _floor(spec: Spec, backend: BitmapBackend, grid: Grid) -> dict[str, Any]:
    """Bytes and operations of the work, and the seconds that they take at this device's rates."""
    counting, tally = tallied(backend)
    try:
        WORKS[spec.work](spec, counting, grid)()
        moved, multiplied = rates(spec.place, spec.dtype)
    except torch.OutOfMemoryError:  # what was measured counts nevertheless
        return {}
    least = max(tally.bytes / moved, tally.operations / multiplied)
    return {"bytes": tally.bytes, "operations": tally.operations, "floor": least}


def _backend(spec: Spec) -> Backend:
    backend: Backend = registries.backends.get(spec.backend)()
    backend.check_device(spec.place)
    return backend


def _input(
    spec: Spec, backend: Any, grid: Grid, dtype: torch.dtype = torch.float32
) -> Callable[[], SparseTensor]:
    """What makes the network's input: ones on the voxels of the grid."""
    if spec.place.type == "cpu":
        return lambda: SparseTensor.from_grids([grid], backend=backend)
    mask = torch.from_numpy(grid).to(spec.place).unsqueeze(0)
    ones = torch.ones(1, 1, dtype=dtype, device=spec.place)

    def make() -> SparseTensor:
        if isinstance(backend, TakesMasks):
            index = backend.index_from_mask(mask.view(torch.uint8))
        else:
            index = backend.index(mask.nonzero(), batch_size=1, stride=1)[0]
        return SparseTensor(ones.expand(len(index), 1), index)

    return make


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


def _forward(spec: Spec, backend: Any, grid: Grid) -> Work:
    network = _network(spec).eval().to(spec.place, spec.dtype)
    make = _input(spec, backend, grid, spec.dtype)

    def run() -> None:
        with torch.inference_mode():
            x = make()
            network(x, x.index)

    return run


def _train(spec: Spec, backend: Any, grid: Grid) -> Work:
    network = _trained(_network(spec)).to(spec.place)
    return _steps(
        spec,
        network,
        _input(spec, backend, grid),
        lambda x: deep_supervision(network(x, x.index).levels),
    )


def _steps(
    spec: Spec,
    network: torch.nn.Module,
    make: Callable[[], SparseTensor],
    loss: Callable[[SparseTensor], torch.Tensor],
) -> Work:
    """An optimiser's steps, on a GPU in mixed precision."""
    optimizer = torch.optim.Adam(network.parameters(), amsgrad=True)
    mixed = spec.place.type == "cuda"

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast(spec.place.type, torch.bfloat16, enabled=mixed):
            value = loss(make())
        value.backward()
        optimizer.step()

    return run


def _unet(spec: Spec) -> SparseSegmentation:
    torch.manual_seed(0)
    return SparseSegmentation(SegmentationConfig(channels=spec.channels, classes=CLASSES))


def _segment(spec: Spec, backend: Any, grid: Grid) -> Work:
    network = _unet(spec).eval().to(spec.place, spec.dtype)
    make = _input(spec, backend, grid, spec.dtype)

    def run() -> None:
        with torch.inference_mode():
            network(make())

    return run


def _train_segmentation(spec: Spec, backend: Any, grid: Grid) -> Work:
    network = _trained(_unet(spec)).to(spec.place)

    def loss(x: SparseTensor) -> torch.Tensor:
        target = torch.arange(len(x), device=spec.place) % CLASSES
        return torch.nn.functional.cross_entropy(network(x), target)

    return _steps(spec, network, _input(spec, backend, grid), loss)


def _convolution(spec: Spec, backend: Any, grid: Grid) -> Work:
    features, outputs = _features(spec, grid), spec.channels[1]
    if spec.backend == "spconv":
        return _spconv(torch.from_numpy(np.argwhere(grid)), features, outputs)
    make, kernel = _input(spec, backend, grid), _kernel(spec)

    def run() -> None:
        with torch.inference_mode():
            sparse.convolution(make().with_features(features), kernel)

    return run


def _convolution_alone(spec: Spec, backend: Any, grid: Grid) -> Work:
    x = _input(spec, backend, grid)().with_features(_features(spec, grid))
    kernel = _kernel(spec)

    def run() -> None:
        with torch.inference_mode():
            sparse.convolution(x, kernel)

    return run


def _features(spec: Spec, grid: Grid) -> torch.Tensor:
    count, inputs = int(np.count_nonzero(grid)), spec.channels[0]
    features = torch.ones(count, 1) if inputs == 1 else torch.rand(count, inputs)
    return features.to(spec.place, spec.dtype)


def _kernel(spec: Spec) -> torch.Tensor:
    return torch.rand(27, *spec.channels).to(spec.place, spec.dtype)


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


def _index(spec: Spec, backend: Any, grid: Grid) -> Work:
    return _input(spec, backend, grid)


WORKS: dict[str, Callable[[Spec, Any, Grid], Work]] = {
    "forward": _forward,
    "train": _train,
    "segment": _segment,
    "train segmentation": _train_segmentation,
    "convolution": _convolution,
    "convolution alone": _convolution_alone,
    "index": _index,
}

if __name__ == "__main__":
    main()
