"""How `zoo train` trains a `vessel-segmentation`: on generated heads alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo.cards import Card, InputContract
from zoo.errors import ConfigError
from zoo.intensity import normalised, windowed
from zoo.sparse import Backend
from zoo.tasks.base import Engine
from zoo.tasks.segmentation import Segmentation
from zoo.training.cache import GridCache, Grids
from zoo.training.config import VALIDATION_SEEDS, TrainingConfig
from zoo.training.pairs import Shape
from zoo.training.scoring import Scores
from zoo.training.segmentation import SegmentationTraining, Values
from zoo.training.sources import generator_digest
from zoo.voxels import bounds, centring_shift
from zoo_vessels import anatomy, trees
from zoo_vessels.anatomy import Tissues, head
from zoo_vessels.scans import (
    WINDOW,
    intensities,
    labels_of,
    measures,
    vessel_case,
    volume_of,
)

HEADS = 200  # different ones; every sample has a contrast, a noise and an attitude of its own
RESOLUTION = 128
PLANES = 4  # bits of a tissue's number
UNUSED = {"dataset", "augmentation", "loss_weights", "refinement", "thorax"}


class VesselTraining(SegmentationTraining):
    """Heads turned and mirrored, with a new contrast and noise in every sample."""

    def __init__(self, config: TrainingConfig, cache: Path, cell: int) -> None:
        self.config, self.cell = config, cell
        self.cache = GridCache(cache)
        self.prefix = f"vessels-{RESOLUTION}-{generator_digest(anatomy, trees)}"
        self.contract = InputContract.around(1, finest=0.7, kind="intensity", windows=(WINDOW,))
        if unused := UNUSED & config.model_fields_set:
            raise ConfigError(
                f"{min(unused)}: {config.architecture} is trained on generated heads; leave it out"
            )

    def sample(self, number: int) -> tuple[Values, Values]:
        rng = np.random.Generator(np.random.PCG64([self.config.seed, number]))
        seed = 2 * int(rng.integers(HEADS // 2)) + number % 2  # every batch has as much bone
        tissues = turned(self._tissues(seed), rng)
        scan = intensities(tissues, rng)
        occupied = windowed(scan, self.contract)
        jitter = self.config.phantoms.jitter
        shift = centring_shift(*bounds(occupied), self.cell) + rng.integers(-jitter, jitter + 1, 3)
        shape = Shape.cut_out(occupied, shift)
        values = torch.from_numpy(normalised(scan[occupied], self.contract))
        classes = torch.from_numpy(labels_of(tissues)[occupied])
        return Values(shape, values.half()), Values(shape, classes)

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        """Means of `dice` and of `centreline_recall`, of what the centrelines pass."""
        engine, rows = Engine(network, backend, device), []
        card = Card(name="trained", task="segmentation", architecture="", **self.facts())
        for number in range(self.config.validation_cases):
            case = vessel_case(VALIDATION_SEEDS + number, RESOLUTION)
            found = Segmentation(card).predict(engine, volume_of(case, case.hu), None, _unmeasured)
            rows.append(measures(found.volume.array, case))
        shares = np.mean(rows, axis=0).tolist()
        return dict(zip(("dice", "centreline_recall"), shares, strict=True))

    def facts(self) -> dict[str, Any]:
        return {"input": self.contract, "labels": ("vessel",)}

    def _made(self, seed: int) -> Grids:
        made = head(seed, RESOLUTION)
        planes = [(made.tissues >> bit & 1).astype(bool) for bit in range(PLANES)]
        return Grids(np.stack(planes), made.spacing)


def turned(tissues: Tissues, rng: np.random.Generator) -> Tissues:
    """Axes permuted and flipped at random: vessels have no up and down."""
    flipped = np.flip(tissues, tuple(axis for axis in range(3) if rng.random() < 0.5))
    return np.ascontiguousarray(flipped.transpose(rng.permutation(3)))


def _unmeasured(stage: str) -> AbstractContextManager[None]:
    return nullcontext()
