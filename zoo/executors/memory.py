"""How much memory a job is expected to need: from its input's header, then from jobs like it."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

from zoo.executors.runs import Outcome
from zoo.models import Model
from zoo.volumes import size_in_header

PROCESS = 400_000_000  # bytes of a process with PyTorch, Numba and a model
DENSE = 5  # bytes per voxel of the input's grid: as read, occupied or not, predicted, written
OCCUPIED = 0.05  # share of a grid's voxels that are, before anything is known of them
MARGIN = 1.1  # over what jobs of about the same size needed
STEPS = 4  # classes of size between one and twice as much


class Memory:
    """The memory that jobs are expected to need.

    Before any is finished, it is counted from the number and the size of the voxels in the header
    of the input; later, jobs of about the same size say how much they needed.
    """

    def __init__(self, model: Model, source: Callable[[Any], Path] = attrgetter("source")) -> None:
        """Begin without knowing any job.

        Args:
            model: what predicts.
            source: returns the file or folder that a job reads.
        """
        self._source = source
        self._per_mm3 = OCCUPIED / math.prod(model.card.input.spacing)
        self._per_mm3 *= model.bytes_per_voxel if model.device.type == "cpu" else 0
        self._peaks: dict[int, int] = {}

    def __call__(self, job: Any) -> int:
        """The bytes that a job is expected to need, its process included."""
        counted = self._counted(job)
        known = self._peaks.get(_class(counted))
        return int(MARGIN * known) if known else PROCESS + counted

    def learn(self, outcome: Outcome[Any]) -> None:
        """Take into account what a job has needed."""
        if peak := outcome.facts.get("peak_memory"):
            size = _class(self._counted(outcome.job))
            self._peaks[size] = max(self._peaks.get(size, 0), peak)

    def _counted(self, job: Any) -> int:
        voxels, mm3 = size_in_header(self._source(job))
        return int(DENSE * voxels + self._per_mm3 * mm3)


def _class(counted: int) -> int:
    return round(STEPS * math.log2(max(counted, 1)))
