"""How `zoo train` trains a `vessel-segmentation`: on generated heads alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from zoo.plugins import (
    VALIDATION_SEEDS,
    Backend,
    Card,
    GridCache,
    Grids,
    InputContract,
    LabelledVoxels,
    Model,
    PhantomConfig,
    Scores,
    SegmentationTraining,
    TrainingConfig,
    generator_digest,
)
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


class VesselRun(TrainingConfig):
    """Config of a run; of `phantoms`, its `jitter` alone counts."""

    phantoms: PhantomConfig = PhantomConfig()


class VesselTraining(SegmentationTraining):
    """Heads turned and mirrored, with a new contrast and noise in every sample."""

    config_class: ClassVar[type[TrainingConfig]] = VesselRun
    data = "generated heads"

    def __init__(self, config: VesselRun, cache: Path, cell: int) -> None:
        self.config, self.cell = config, cell
        self.cache = GridCache(cache)
        self.prefix = f"heads-{RESOLUTION}-{generator_digest(anatomy, trees)}"
        self.contract = InputContract.around(1, finest=0.7, kind="intensity", windows=(WINDOW,))

    def sample(self, number: int) -> tuple[LabelledVoxels, LabelledVoxels]:
        rng = np.random.Generator(np.random.PCG64([self.config.seed, number]))
        seed = 2 * int(rng.integers(HEADS // 2)) + number % 2  # every batch has as much bone
        tissues = turned(self._tissues(seed), rng)
        scan = intensities(tissues, rng)
        return self.placed(scan, labels_of(tissues), rng)

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        """Means of `dice` and of `centreline_recall`, of what the centrelines pass."""
        card = Card(
            name="trained",
            task="segmentation",
            architecture="vessel-segmentation",
            **self.facts(),
        )
        model, rows = Model(network, card, backend, device), []
        model.shows_progress = False  # that of the run is enough
        numbers = self.shared(self.config.validation_cases)
        for number in self.counted(numbers, len(numbers)):
            case = vessel_case(VALIDATION_SEEDS + number, RESOLUTION)
            predicted = model.predict(volume_of(case, case.hu)).volume.array
            rows.append(measures(predicted, case))
        shares = np.mean(self.gathered(rows), axis=0).tolist()
        return dict(zip(("dice", "centreline_recall"), shares, strict=True))

    def facts(self) -> dict[str, Any]:
        return {"input": self.contract, "labels": ("vessel",)}

    def _tissues(self, seed: int) -> Tissues:
        def make() -> Grids:
            made = head(seed, RESOLUTION)
            return Grids(made.tissues[None], made.spacing)

        tissues: Tissues = self.cache.get(f"{self.prefix}/head-{seed}", make).grids[0]
        return tissues


def turned(tissues: Tissues, rng: np.random.Generator) -> Tissues:
    """Axes permuted and flipped at random: vessels have no up and down."""
    flipped = np.flip(tissues, tuple(axis for axis in range(3) if rng.random() < 0.5))
    return np.ascontiguousarray(flipped.transpose(rng.permutation(3)))
