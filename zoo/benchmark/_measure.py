"""Makes one measurement in a process of its own, so that the peak memory is its own, too.

    python -m zoo.benchmark._measure '{"work": "forward", "backend": "cpu", ...}'

prints one line of JSON: seconds (the median of the repeats) and peak memory in bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from zoo import registries, sparse
from zoo.benchmark._roofline import rates, seconds, tallied
from zoo.errors import MissingDependency, ZooError
from zoo.models import peak_memory
from zoo.sparse import Backend, SparseTensor
from zoo.volumes import pooled

SECONDS = 5.0  # spent on repeats after the first run
REPEATS = {"cpu": 5, "cuda": 50}
SMALL = 16  # voxels along an edge of the grid that is run before anything is timed

Work = Callable[[], object]
Grid = NDArray[np.bool_]


class Spec(BaseModel):
    """The specification of a measurement.

    Attributes:
        work: `forward` or `train` (one step), for the network, which does the same on every
            backend; `convolution`, a single one of size 3 including its index; `convolution alone`,
            without building the index; or `index`, building it only.
        task: the task whose network is run.
        backend: name of a backend, or `spconv` for a convolution.
        volume: path of a .npy file with a bool grid.
        channels: channels of the network, or C_in and C_out of the convolution.
        threads: CPU threads of PyTorch.
        device: cpu, cuda, ... On a GPU the volume is there from the start, features are float16,
            and training multiplies matrices in bfloat16.
        once: run the work only once, including what is compiled on first use.
        roofline: also count the bytes and operations of the work, if the backend can tell.
    """

    work: str
    task: str = "completion"
    backend: str
    volume: str
    channels: tuple[int, ...]
    threads: int
    device: str = "cpu"
    once: bool = False
    roofline: bool = False

    @property
    def target(self) -> torch.device:
        """The device."""
        return torch.device(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of features and weights, except in training."""
        return torch.float32 if self.target.type == "cpu" else torch.float16


def main() -> None:
    """Make the measurement that the command line specifies, and print the result as JSON."""
    spec = Spec.model_validate_json(sys.argv[1])
    torch.set_num_threads(spec.threads)
    if spec.target.type == "cuda":
        torch.cuda.set_device(spec.target)
    try:
        result = _measure(spec)
    except ZooError as error:
        result = {"error": str(error)}
    except (MemoryError, RuntimeError) as error:
        result = {"error": " ".join(str(error).split())[:200]}
    print(json.dumps(result))


def _measure(spec: Spec) -> dict[str, Any]:
    grid = np.load(spec.volume, allow_pickle=False)
    work = WORKS[spec.work]
    backend: Any = None if spec.backend == "spconv" else _backend(spec)
    on_cpu = spec.target.type == "cpu"
    if on_cpu and not spec.once:  # not on a GPU, where tuning depends on sizes
        work(spec, backend, pooled(grid, max(1, max(grid.shape) // SMALL)))()  # compiles
    run = work(spec, backend, grid)
    first = seconds(run, spec.target)
    times = [first]
    if not spec.once:
        if not on_cpu:
            torch.cuda.reset_peak_memory_stats(spec.target)
        times = [seconds(run, spec.target)]
        while len(times) < REPEATS[spec.target.type] and sum(times) < SECONDS:
            times.append(seconds(run, spec.target))
    peak = peak_memory() if on_cpu else torch.cuda.max_memory_allocated(spec.target)
    facts: dict[str, Any] = {
        "first": first,
        "seconds": median(times),
        "repeats": len(times),
        "peak_memory": peak,
        "voxels": int(np.count_nonzero(grid)),
    }
    if spec.roofline and backend and backend.has_roofline:
        facts |= _floor(spec, backend, grid)
    return facts


def _floor(spec: Spec, backend: Backend, grid: Grid) -> dict[str, Any]:
    """Count bytes and operations of the work, and the seconds they take at the device's rates."""
    counting, tally = tallied(backend)
    try:
        WORKS[spec.work](spec, counting, grid)()
        moved, multiplied = rates(spec.target, spec.dtype)
    except torch.OutOfMemoryError:  # the measurement itself is still valid
        return {}
    least = max(tally.bytes / moved, tally.operations / multiplied)
    return {"bytes": tally.bytes, "operations": tally.operations, "floor": least}


def _backend(spec: Spec) -> Backend:
    backend: Backend = registries.backends.get(spec.backend)()
    backend.check_device(spec.target)
    return backend


def _input(
    spec: Spec, backend: Any, grid: Grid, dtype: torch.dtype = torch.float32
) -> Callable[[], SparseTensor]:
    """A function that makes the network's input: features of 1 on the voxels of the grid."""
    if spec.target.type == "cpu":
        return lambda: SparseTensor.from_grids([grid], backend=backend)
    mask = torch.from_numpy(grid).to(spec.target).unsqueeze(0)
    ones = torch.ones(1, 1, dtype=dtype, device=spec.target)

    def make() -> SparseTensor:
        index = backend.index_from_mask(mask.view(torch.uint8))
        return SparseTensor(ones.expand(len(index), 1), index)

    return make


def _workload(spec: Spec) -> Any:
    """The workload of the task, a `zoo.plugins.Workload`."""
    return registries.tasks.get(spec.task).benchmark(spec.task)


def _network(spec: Spec) -> torch.nn.Module:
    torch.manual_seed(0)
    network: torch.nn.Module = _workload(spec).network(spec.channels)
    return network


def _trained(network: torch.nn.Module) -> torch.nn.Module:
    """Set training mode except for BatchNorm: small grids have one voxel at the deepest level."""
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    return network


def _forward(spec: Spec, backend: Any, grid: Grid) -> Work:
    workload, network = _workload(spec), _network(spec).eval().to(spec.target, spec.dtype)
    make = _input(spec, backend, grid, spec.dtype)

    def run() -> None:
        with torch.inference_mode():
            workload.forward(network, make())

    return run


def _train(spec: Spec, backend: Any, grid: Grid) -> Work:
    workload, network = _workload(spec), _trained(_network(spec)).to(spec.target)
    make = _input(spec, backend, grid)
    return _steps(spec, network, make, lambda x: workload.loss(network, x))


def _steps(
    spec: Spec,
    network: torch.nn.Module,
    make: Callable[[], SparseTensor],
    loss: Callable[[SparseTensor], torch.Tensor],
) -> Work:
    """A function that makes one optimiser step, in mixed precision on a GPU."""
    optimizer = torch.optim.Adam(network.parameters(), amsgrad=True)
    mixed = spec.target.type == "cuda"

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast(spec.target.type, torch.bfloat16, enabled=mixed):
            value = loss(make())
        value.backward()
        optimizer.step()

    return run


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
    return features.to(spec.target, spec.dtype)


def _kernel(spec: Spec) -> torch.Tensor:
    return torch.rand(27, *spec.channels).to(spec.target, spec.dtype)


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
    "convolution": _convolution,
    "convolution alone": _convolution_alone,
    "index": _index,
}

if __name__ == "__main__":
    main()
