"""How `zoo train` trains a `vessel-segmentation`: on generated heads alone.

The axes of vessels count by themselves in its loss, so that a thin branch counts as much as a wide
one. That is half of clDice (Shit et al., "clDice", CVPR 2021), the half that keeps branches
together, with the true axes instead of skeletons of masks, as in Kirchhoff et al., "Skeleton recall
loss", ECCV 2024. The other half is left to Dice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor, nn

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
    SparseTensor,
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

HEADS = 600  # different ones; every sample has a contrast, a noise and an attitude of its own
RESOLUTION = 128
CROPPED = 0.5  # share of the samples that show a part of a head
SHOWN = 0.5, 1.0  # of a part's extent along each axis
VESSEL, AXIS = 1, 2  # the classes of a sample's voxels: AXIS is that of vessels along their axes


class VesselRun(TrainingConfig):
    """Config of a run; of `phantoms`, its `jitter` alone counts.

    Attributes:
        axis_recall: weight of the axes' recall in the loss: the greater, the more thin branches
            are found, and the more is labelled that is none.
    """

    phantoms: PhantomConfig = PhantomConfig()
    axis_recall: float = Field(default=2, ge=0, le=100)


class VesselTraining(SegmentationTraining):
    """Heads turned, mirrored and cropped, with a new contrast and noise in every sample."""

    config_class: ClassVar[type[TrainingConfig]] = VesselRun
    data = "generated heads"

    def __init__(self, config: VesselRun, cache: Path, cell: int) -> None:
        self.config, self.cell = config, cell
        self.cache = GridCache(cache)
        self.prefix = f"heads-with-axes-{RESOLUTION}-{generator_digest(anatomy, trees)}"
        self.contract = InputContract.around(1, finest=0.7, kind="intensity", windows=(WINDOW,))

    def sample(self, number: int) -> tuple[LabelledVoxels, LabelledVoxels]:
        rng = np.random.Generator(np.random.PCG64([self.config.seed, number]))
        seed = 2 * int(rng.integers(HEADS // 2)) + number % 2  # as many heads with bone as without
        tissues, axes = cropped(turned(self._grids(seed), rng), rng)
        scan, classes = intensities(tissues, rng, harder=True), labels_of(tissues)
        classes[(axes > 0) & (classes == VESSEL)] = AXIS
        return self.placed(scan, classes, rng)

    def loss(self, network: nn.Module, x: SparseTensor, target: Tensor, *, forced: bool) -> Tensor:
        """That of any segmentation, plus a multiple of one minus the soft recall of the axes."""
        logits: Tensor = network(x)
        shares = logits.float().softmax(dim=1)[:, VESSEL]
        along = target == AXIS
        recall = (shares[along].sum() + 1) / (along.sum() + 1)
        missed: Tensor = self.config.axis_recall * (1 - recall)
        return self.loss_of(logits, target.clamp(max=VESSEL)) + missed

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

    def preparations(self) -> Sequence[Callable[[], object]]:
        """Generate every head once."""
        return [partial(self._grids, seed) for seed in range(HEADS)]

    def facts(self) -> dict[str, Any]:
        return {"input": self.contract, "labels": ("vessel",)}

    def _grids(self, seed: int) -> Tissues:
        """A head's tissues, and the voxels along the axes of its vessels, 3 wide."""

        def make() -> Grids:
            made = head(seed, RESOLUTION)
            axes = np.zeros_like(made.tissues)
            axes[tuple(made.centrelines.T)] = 1
            return Grids(np.stack([made.tissues, ndimage.binary_dilation(axes)]), made.spacing)

        grids: Tissues = self.cache.get(f"{self.prefix}/head-{seed}", make).grids
        return grids


def turned(grids: Tissues, rng: np.random.Generator) -> Tissues:
    """The axes of grids (n, R, R, R) permuted and flipped: vessels have no up and down."""
    flipped = np.flip(grids, tuple(axis for axis in (1, 2, 3) if rng.random() < 0.5))
    i, j, k = (1 + rng.permutation(3)).tolist()
    return np.ascontiguousarray(flipped.transpose(0, i, j, k))


def cropped(grids: Tissues, rng: np.random.Generator) -> Tissues:
    """Grids (n, R, R, R), or a part of them: how much bone there is differs from scan to scan."""
    if rng.random() > CROPPED:
        return grids
    shape = np.array(grids.shape[1:])
    extent = np.rint(rng.uniform(*SHOWN, 3) * shape).astype(int)
    low = rng.integers(0, shape - extent + 1)
    i, j, k = map(slice, low, low + extent)
    return np.ascontiguousarray(grids[:, i, j, k])
