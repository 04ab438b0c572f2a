"""Plans many cases: from their headers, and from samples of a few of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from zoo.anatomy import AUTOMATIC, Threshold, bone_threshold
from zoo.errors import VolumeError, ZooError
from zoo.executors.inputs import Input
from zoo.executors.memory import DENSE, OCCUPIED, PROCESS
from zoo.models import Model
from zoo.tables import csv_of
from zoo.volumes import Volume, binarise, read_volume, size_in_header, windowed

SAMPLES = 3  # cases of a cohort that are read
SAMPLED = 2_000_000  # voxels of each that are looked at, about
PER_CASE = 0.1  # seconds that even an empty one takes
PER_OCCUPIED = 3e-6  # seconds of one thread per occupied voxel, by backend cpu
PER_VOXEL = 2.5e-8  # seconds per voxel of the input's grid: reading, resampling, writing


@dataclass(frozen=True)
class CasePlan:
    """What a case is expected to need.

    Attributes:
        case: its name.
        voxels: of the input's grid.
        occupied: of the model's grid.
        memory: bytes of the process, its model included.
        device_memory: bytes on the GPU; None on the CPU.
        seconds: with all threads of this process; None for a backend that is not known so well.
    """

    case: str
    voxels: int
    occupied: int
    memory: int
    device_memory: int | None
    seconds: float | None


def plan_cases(
    model: Model, cases: Sequence[Input], threshold: Threshold = None
) -> Iterator[CasePlan]:
    """Plan cases without the network.

    Their sizes are in the headers. What share of a grid is occupied is found from a sample of the
    voxels of some cases, evenly over the list, and taken to be the same for those between them.

    Args:
        model: what is to predict.
        cases: the inputs.
        threshold: as for `Model.predict`.

    Raises:
        ReadError, VolumeError: the only case cannot be read, or predicted on.
    """
    shares: list[float] = []
    step = max(math.ceil(len(cases) / SAMPLES), 1)
    for number, case in enumerate(cases):
        if number % step == 0:
            try:
                shares.append(occupied_share(model, read_volume(case.path), threshold))
            except ZooError:  # it is said when it is predicted
                if len(cases) == 1:
                    raise
        yield _plan(model, case, shares[-1] if shares else OCCUPIED)


def occupied_share(model: Model, volume: Volume, threshold: Threshold) -> float:
    """About which share of a volume's voxels is occupied, at least that of a sample of them.

    What is found out with more effort is counted in: headrest and neck of a CT.

    Raises:
        VolumeError: as for `Model.predict`.
    """
    array = volume.canonical().array
    step = max(1, round((array.size / SAMPLED) ** (1 / 3)))
    part = np.ascontiguousarray(array[::step, ::step, ::step])
    contract = model.card.input
    if contract.windows:
        return float(windowed(part.astype(np.float32), contract).mean())
    if threshold in AUTOMATIC:
        return float((part > bone_threshold(part)).mean())
    assert not isinstance(threshold, str)
    try:
        return float(binarise(Volume(part), threshold).mean())
    except VolumeError:  # of something small, or thin
        return float(binarise(volume, threshold).mean())


def _plan(model: Model, case: Input, share: float) -> CasePlan:
    voxels, mm3 = size_in_header(case.path)
    contract = model.card.input
    length = (mm3 / max(voxels, 1)) ** (1 / 3)
    fits = min(contract.finest) <= length <= max(contract.coarsest)
    occupied = round(share * (voxels if fits else mm3 / math.prod(contract.spacing)))
    network, dense = occupied * model.bytes_per_voxel, DENSE * voxels
    on_cpu = model.device.type == "cpu"
    seconds = None
    if on_cpu and "cpu" in model.backend.preferred_on:
        network_seconds = PER_OCCUPIED * occupied / torch.get_num_threads()
        seconds = PER_CASE + network_seconds + PER_VOXEL * voxels
    return CasePlan(
        case.name,
        voxels,
        occupied,
        PROCESS + dense + (network if on_cpu else 0),
        None if on_cpu else network,
        seconds,
    )


def plan_table(plans: Sequence[CasePlan]) -> str:
    """Plans as CSV, and a line for all of them: the sums, and the largest memory."""
    on_gpu = [plan.device_memory for plan in plans if plan.device_memory is not None]
    seconds = [plan.seconds for plan in plans if plan.seconds is not None]
    total = CasePlan(
        "total",
        sum(plan.voxels for plan in plans),
        sum(plan.occupied for plan in plans),
        max(plan.memory for plan in plans),
        max(on_gpu, default=None),
        sum(seconds) if len(seconds) == len(plans) else None,
    )
    rows = [_row(plan) for plan in (*plans, total)]
    return csv_of(rows, list(rows[0]))


def _row(plan: CasePlan) -> dict[str, str | int]:
    on_gpu, seconds = plan.device_memory, plan.seconds
    return {
        "case": plan.case,
        "voxels": plan.voxels,
        "occupied_voxels": plan.occupied,
        "memory_gb": f"{plan.memory / 1e9:.2f}",
        "gpu_memory_gb": "" if on_gpu is None else f"{on_gpu / 1e9:.2f}",
        "seconds": "" if seconds is None else f"{seconds:.1f}",
    }
