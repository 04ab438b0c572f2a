"""Trains completion: the input is a defective skull, the target the complete one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from zoo.datasets.phantoms import FIELD_OF_VIEW
from zoo.networks import generated_occupancy
from zoo.sparse import Backend
from zoo.tasks._generative_training import GenerativeTraining, GenerativeTrainingConfig
from zoo.tasks._skulls import Shapes
from zoo.training import Sample, Scores, TrainingConfig, augment, place_pair
from zoo.volumes import InputContract, dice, hd95, without_specks


class CompletionTraining(GenerativeTraining):
    """Samples of a defective skull and the complete one, centred on the coarsest voxels."""

    config_class: ClassVar[type[TrainingConfig]] = GenerativeTrainingConfig

    def sample(self, number: int) -> Sample:
        rng, extra = self.random(number)
        shapes = self.shapes(rng, extra)
        jitter = self.config.phantoms.jitter
        offset = rng.integers(-jitter, jitter + 1, 3)
        pair = augment(shapes.defective, shapes.complete, self.config.augmentation, extra)
        return place_pair(*pair, offset, self.cell)

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        return score(network, self.validation(), backend, device)

    def facts(self) -> dict[str, Any]:
        return {"input": InputContract.around(FIELD_OF_VIEW / self.config.phantoms.resolution)}


@torch.no_grad()
def score(
    network: nn.Module, cases: Iterable[Shapes], backend: Backend, device: torch.device
) -> Scores:
    """Score a completion network in eval mode, on the model's own grid.

    Returns:
        `implant_dice`, between the predicted implant, cleaned of specks, and what was cut out;
        `complete_dice`, between the completed and the complete skull; and `implant_hd95`, in mm,
        averaged over the cases with a predicted implant, NaN if there are none.
    """
    rows = [_measures(network, case, backend, device) for case in cases]
    implant, complete, distance = np.array(rows).T
    known = distance[np.isfinite(distance)]
    return {
        "implant_dice": float(implant.mean()),
        "complete_dice": float(complete.mean()),
        "implant_hd95": float(known.mean()) if len(known) else float("nan"),
    }


def _measures(
    network: nn.Module, case: Shapes, backend: Backend, device: torch.device
) -> tuple[float, float, float]:
    predicted = generated_occupancy(network, case.defective, backend, device)
    implant = without_specks(predicted & ~case.defective)
    return (
        dice(implant, case.implant),
        dice(implant | case.defective, case.complete),
        hd95(implant, case.implant, case.spacing),
    )
