"""Validation while training: the task's metrics on cases that are not trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from zoo.implants import without_specks
from zoo.metrics import dice, hd95
from zoo.sparse import Backend
from zoo.training.sources import Shapes
from zoo.voxels import complete_grid


@dataclass(frozen=True)
class Scores:
    """Means over a validation's cases.

    Attributes:
        implant_dice: of what was added, cleaned of specks, with what was cut out.
        complete_dice: of the completed skull with the whole one.
        implant_hd95: mm, over the cases where something was added; NaN if there is none.
    """

    implant_dice: float
    complete_dice: float
    implant_hd95: float


@torch.no_grad()
def score(
    network: nn.Module, cases: Iterable[Shapes], backend: Backend, device: torch.device
) -> Scores:
    """Score a network in eval mode, on the model's own grid."""
    rows = [_measures(network, case, backend, device) for case in cases]
    implant, complete, distance = np.array(rows).T
    known = distance[np.isfinite(distance)]
    return Scores(
        float(implant.mean()),
        float(complete.mean()),
        float(known.mean()) if len(known) else float("nan"),
    )


def _measures(
    network: nn.Module, case: Shapes, backend: Backend, device: torch.device
) -> tuple[float, float, float]:
    answer = complete_grid(network, case.defective, backend, device)
    implant = without_specks(answer & ~case.defective)
    return (
        dice(implant, case.implant),
        dice(implant | case.defective, case.complete),
        hd95(implant, case.implant, case.spacing),
    )
