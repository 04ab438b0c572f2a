"""Trains completion: the input is a defective skull, the target the complete one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zoo.networks import GeneratedCoverage, generated_coverage, generated_occupancy
from zoo.sparse import Backend
from zoo.tasks._generative_training import GenerativeTraining, GenerativeTrainingConfig
from zoo.tasks._skulls import Shapes
from zoo.tasks.completion._surface import filled
from zoo.training import Sample, Scores, TrainingConfig, augment, place_pair
from zoo.volumes import HALF, dice, hd95, surface_voxels, to_bytes, without_specks

FINE = 0.8  # mm: coarser voxels are divided where coverage is scored
# Coverage above which a voxel becomes 1: as in any-pooling (a deformation spreads the least amounts
# of it to voxels that have none), or half of it.
LEAST = (0.1, 0.1, 0.5)


class CompletionTraining(GenerativeTraining):
    """Samples of a defective skull and the complete one, centred on the coarsest voxels."""

    config_class: ClassVar[type[TrainingConfig]] = GenerativeTrainingConfig

    def sample(self, number: int) -> Sample:
        rng, extra = self.random(number)
        shapes = self.shapes(rng, extra)
        jitter = self.config.phantoms.jitter
        offset = rng.integers(-jitter, jitter + 1, 3)
        if self.config.coverage:
            return place_pair(*self._rounded(shapes, extra), offset, self.cell, self.block)
        pair = augment(shapes.defective, shapes.complete, self.config.augmentation, extra)
        return place_pair(*pair, offset, self.cell)

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        measure = covered_measures if self.config.coverage else None
        return score(network, self.validation(), backend, device, measure, self.gathered)

    def facts(self) -> dict[str, Any]:
        return {"input": self.contract}

    def _rounded(
        self, shapes: Shapes, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Both shapes, sometimes as a volume that is coarse itself has them: 0 or 1."""
        defective, complete = shapes.defective, shapes.complete
        if rng.random() >= self.config.augmentation.binary:
            return defective, complete
        least = LEAST[int(rng.integers(len(LEAST)))]
        complete = (complete > least).astype(np.float32)
        return complete * (defective > least), complete


Measure = Callable[[nn.Module, Shapes, Backend, torch.device], Scores]


@torch.no_grad()
def score(
    network: nn.Module,
    cases: Iterable[Shapes],
    backend: Backend,
    device: torch.device,
    measure: Measure | None = None,
    gathered: Callable[[list[Scores]], list[Scores]] = list,
) -> Scores:
    """Score a completion network in eval mode, on the model's own grid.

    Args:
        network, backend, device: as for `Training.score`.
        cases: the cases that this process scores.
        measure: what is measured of each; as for a network without coverage if left out.
        gathered: returns the rows of all processes.

    Returns:
        `implant_dice`, between the predicted implant, cleaned of specks, and what was cut out;
        `complete_dice`, between the completed and the complete skull, without coverage; and
        `implant_hd95`, in mm, averaged over the cases with a predicted implant, NaN if there are
        none.
    """
    rows = gathered([(measure or _measures)(network, case, backend, device) for case in cases])
    return {name: _finite_mean([row[name] for row in rows]) for name in rows[0]}


def _finite_mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _measures(network: nn.Module, case: Shapes, backend: Backend, device: torch.device) -> Scores:
    predicted = generated_occupancy(network, case.defective, backend, device)
    implant = without_specks(predicted & ~case.defective)
    return {
        "implant_dice": dice(implant, case.implant),
        "complete_dice": dice(implant | case.defective, case.complete),
        "implant_hd95": hd95(implant, case.implant, case.spacing),
    }


def covered_measures(
    network: nn.Module, case: Shapes, backend: Backend, device: torch.device
) -> Scores:
    """The same for coverage, on a grid that is fine enough for the surfaces within its voxels."""
    given = to_bytes(case.defective)
    predicted = generated_coverage(network, given, backend, device)
    factor = max(round(case.spacing[0] / FINE), 1)
    fine = (case.spacing[0] / factor,) * 3
    shape = tuple(n * factor for n in case.defective.shape)
    implant, truth = np.zeros((2, *shape), bool)
    complete = GeneratedCoverage((0, 0, 0), case.complete)
    for found, target in ((predicted, implant), (complete, truth)):
        hole = filled(found, given, case.spacing, fine, shape)
        if hole is not None:
            bone = surface_voxels(case.defective, case.spacing, fine, hole.box)
            target[hole.box] = (hole.values > HALF) & ~bone
    return {"implant_dice": dice(implant, truth), "implant_hd95": hd95(implant, truth, fine)}
