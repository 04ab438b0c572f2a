"""The training loop."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from zoo import registries
from zoo.data.phantoms import skull_case
from zoo.errors import ConfigError
from zoo.implants import without_specks
from zoo.metrics import dice
from zoo.sparse import Backend, SparseTensor
from zoo.training.checkpoint import load_checkpoint, save_checkpoint
from zoo.training.config import VALIDATION_SEEDS, TrainingConfig
from zoo.training.data import Batch, batches
from zoo.training.losses import deep_supervision
from zoo.validation import validate
from zoo.voxels import complete_grid, sparse_input

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.csv"
COLUMNS = ["step", "loss", "learning_rate", "seconds", "implant_dice"]


@dataclass(frozen=True)
class Progress:
    """One line of the log: the mean loss since the last one, and the validation's mean Dice."""

    step: int
    loss: float
    learning_rate: float
    seconds: float
    implant_dice: float


class Trainer:
    """Trains one network; `run` goes on from wherever the state is."""

    def __init__(
        self, config: TrainingConfig, folder: Path, backend: Backend, device: torch.device
    ) -> None:
        self.config, self.folder, self.backend, self.device = config, folder, backend, device
        self.step = 0
        torch.manual_seed(config.seed)
        architecture = registries.architectures.get(config.architecture)
        settings = validate(architecture.config_class, config.config, source="config")
        self.network: nn.Module = architecture(settings).to(device)
        average = get_ema_multi_avg_fn(config.average)
        self.average = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
        self.optimizer = torch.optim.Adam(self.network.parameters(), amsgrad=True)

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, "average": self.average}

    def resume(self) -> None:
        """Go back to the checkpoint in the folder."""
        path = self.folder / CHECKPOINT
        self.step = load_checkpoint(path, self.config, self.modules, self.optimizer)

    def run(self, workers: int, on_step: Callable[[int, float], None]) -> None:
        """Train to the last step, with a log line and a checkpoint after every validation."""
        started, losses = perf_counter(), []
        for sources, targets in batches(self.config, self.step, self.config.steps, workers):
            losses.append(self.update(sources, targets))
            on_step(self.step, losses[-1])
            if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
                rate, seconds = learning_rate(self.config, self.step), perf_counter() - started
                line = Progress(self.step, float(np.mean(losses)), rate, seconds, self.validate())
                append_log(self.folder / LOG, line)
                path = self.folder / CHECKPOINT
                save_checkpoint(path, self.config, self.step, self.modules, self.optimizer)
                started, losses = perf_counter(), []

    def update(self, sources: list[torch.Tensor], targets: list[torch.Tensor]) -> float:
        """One optimiser step on a batch; returns its loss."""
        self.network.train()
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.config, self.step)
        x, target = (sparse_input(items, self.backend, self.device) for items in (sources, targets))
        loss = deep_supervision(self.network(x, target.index).levels)
        if not torch.isfinite(loss):
            raise ConfigError(
                f"the loss became {loss.item()} at step {self.step + 1}: lower learning_rate;"
                f" the last checkpoint in {self.folder} is kept"
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return loss.item()

    @torch.no_grad()
    def validate(self) -> float:
        """Mean implant Dice of the averaged network on phantoms that are not trained on."""
        network = self.average.module.eval()
        scores = []
        for number in range(self.config.validation_cases):
            case = skull_case(VALIDATION_SEEDS + number, self.config.phantoms.resolution)
            answer = complete_grid(network, case.defective, self.backend, self.device)
            scores.append(dice(without_specks(answer & ~case.defective), case.implant))
        return float(np.mean(scores))

    @torch.no_grad()
    def finish(self, workers: int) -> nn.Module:
        """The averaged network, its BatchNorm statistics measured on pruning without a target.

        Training prunes with the target's help, so the statistics gathered there are not those that
        a prediction meets.
        """
        update_bn(self._inputs(workers), self.average)
        return self.average.module.eval()

    def _inputs(self, workers: int) -> Iterator[SparseTensor]:
        first = self.config.steps
        data: Iterator[Batch] = batches(
            self.config, first, first + self.config.statistics_batches, workers
        )
        for sources, _ in data:
            yield sparse_input(sources, self.backend, self.device)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to zero."""
    warm = config.warmup * config.steps
    if step < warm:
        return config.learning_rate * (step + 1) / (warm + 1)
    progress = (step - warm) / max(config.steps - warm, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def append_log(path: Path, line: Progress) -> None:
    """Append to the CSV log, dropping what an interrupted run wrote after its checkpoint."""
    rows = []
    if path.exists():
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) < line.step]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([*rows, vars(line)])
