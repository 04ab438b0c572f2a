"""What differs from task to task in training."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo import registries
from zoo.sparse import Backend, SparseTensor
from zoo.training.config import TrainingConfig
from zoo.training.pairs import Batch
from zoo.training.scoring import Scores

MODULES = {
    "completion": "zoo.training.completion:CompletionTraining",
    "super-resolution": "zoo.training.super_resolution:SuperResolutionTraining",
    "segmentation": "zoo.training.segmentation:SegmentationTraining",
}


class TrainingTask(Protocol):
    """Samples, loss and scores of a task."""

    def sample(self, number: int) -> tuple[Any, Any]:
        """Sample n, an input and its target: by the config and n alone."""
        ...

    def tensors(
        self, batch: Batch, backend: Backend, device: torch.device
    ) -> tuple[SparseTensor, Any]:
        """A batch's inputs, and its targets as `loss` wants them."""
        ...

    def loss(self, network: nn.Module, x: SparseTensor, target: Any, *, forced: bool) -> Tensor:
        """The loss () of a network's answer to x; `forced` as in `TrainingConfig.forcing`."""
        ...

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        """Scores of a network in eval mode on cases that are never trained on."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the card of a model says of its task: `input` and whatever else it needs."""
        ...


def make_task(config: TrainingConfig, cache: Path, cell: int) -> TrainingTask:
    """The task of a config's architecture; `cell` is its network's, `cache` for what is made.

    An architecture may name a class of its own, "module:class", as `training_task`.
    """
    design = registries.architectures.get(config.architecture)
    module, name = getattr(design, "training_task", MODULES[design.task]).split(":")
    made: TrainingTask = getattr(import_module(module), name)(config, cache, cell)
    return made
