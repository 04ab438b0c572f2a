"""What the tasks share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from zoo.conform import Bools
from zoo.prediction import Probabilities
from zoo.sparse import Backend
from zoo.volume import Volume

Steps = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Engine:
    """A network, what computes its convolutions, and where."""

    network: nn.Module
    backend: Backend
    device: torch.device


@dataclass(frozen=True)
class Answer:
    """What a task answers.

    Attributes:
        volume: uint8, the answer.
        occupied: uint8 {0, 1} on the answer's grid, what of the input was taken as occupied.
        voxels: how many the input had of them, on its own grid.
        grid: facts on the grid that the network saw.
        implant: uint8 {0, 1}, what completion added, cleaned of specks.
        probabilities: of the labels, for segmentation.
    """

    volume: Volume
    occupied: Volume
    voxels: int
    grid: dict[str, Any]
    implant: Volume | None = None
    probabilities: Probabilities | None = None


class Task(Protocol):
    """One task, for one model's card."""

    def predict(
        self, engine: Engine, source: Volume, threshold: float | None, step: Steps
    ) -> Answer:
        """Answer on a volume; `step` is entered with the name of every stage.

        Raises:
            VolumeError: a volume that the task cannot use.
        """
        ...

    def trial(self, source: Volume, threshold: float | None) -> tuple[Bools, Callable[..., object]]:
        """For a plan: the grid that the network sees, and what to run on a grid like it.

        That is called with an engine and bool (I, J, K).
        """
        ...
