"""Verifies models through an executor."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.cards import info
from zoo.executors.memory import DENSE, OCCUPIED, PROCESS
from zoo.models import reference_input, verify

PER_VOXEL = 4000  # bytes per occupied voxel, of the widest network that ships


@dataclass(frozen=True)
class Verify:
    """The work of verifying models, whose names are the jobs.

    Attributes:
        backends: as for `zoo.models.verify`.
        local_files_only: never use the network.
        key: the public key by which all files must be signed; None: none need be.
        device: what it computes on, as for `zoo.load`.
    """

    backends: tuple[str, ...] | None = None
    local_files_only: bool = False
    key: Path | None = None
    device: str = "auto"

    def load(self) -> None:
        """There is nothing that all models share."""

    def __call__(self, job: str) -> dict[str, Any]:
        """Verify one model; returns the fields of its verdicts."""
        found = verify(job, self.backends, local_files_only=self.local_files_only, key=self.key)
        return {"verdicts": [asdict(verdict) for verdict in found]}


def memory_to_verify(name: str) -> int:
    """The bytes that verifying a model is expected to need, its process included."""
    card = info(name)
    volume = reference_input(card)
    finer = math.prod(volume.spacing) / math.prod(card.input.spacing)
    return int(PROCESS + (DENSE + OCCUPIED * PER_VOXEL) * volume.array.size * finer)
