"""Validation while training: the task's metrics on cases that are not trained on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from zoo.implants import without_specks
from zoo.metrics import dice, hd95
from zoo.sparse import Backend
from zoo.training.sources import Shapes
from zoo.voxels import generated_grid

Scores = dict[str, float]  # means over a validation's cases; the first one decides, high is good


@torch.no_grad()
def score(
    network: nn.Module, cases: Iterable[Shapes], backend: Backend, device: torch.device
) -> Scores:
    """Score a completion network in eval mode, on the model's own grid.

    `implant_dice` is of what was added, cleaned of specks, with what was cut out; `complete_dice`
    of the completed skull with the whole one; `implant_hd95` in mm, over the cases where something
    was added, NaN if there is none.
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
    answer = generated_grid(network, case.defective, backend, device)
    implant = without_specks(answer & ~case.defective)
    return (
        dice(implant, case.implant),
        dice(implant | case.defective, case.complete),
        hd95(implant, case.implant, case.spacing),
    )
