"""What is doubtful about an implant, and about a skull that is said to be complete."""

from __future__ import annotations

import numpy as np

from zoo.anatomy import PART, opening_of
from zoo.models import Prediction
from zoo.volumes import Volume, components, occupied_box

LARGE = 250.0  # ml: half of a vault
OPEN = 5.0  # cm2: complete skulls have none, official defects of SkullFix 26 or more


def doubts_of_implant(prediction: Prediction) -> list[str]:
    """Whether an implant is in several parts, or larger than any."""
    assert prediction.implant is not None
    mask = prediction.implant.array
    if not mask.any():
        return []
    sizes = np.bincount(components(mask[occupied_box(mask)]).ravel())[1:]
    ml = sizes * float(np.prod(prediction.implant.spacing)) / 1000
    parts = sorted(ml[ml >= PART], reverse=True)
    doubts = []
    if len(parts) > 1:
        doubts.append(
            f"the implant is in {len(parts)} parts, of {', '.join(f'{size:.1f}' for size in parts)}"
            " ml: --region or --seed chooses one"
        )
    if ml.sum() > LARGE:
        doubts.append(f"the implant is very large: {ml.sum():.0f} ml")
    return doubts


def doubts_of_complete(skull: Volume) -> list[str]:
    """Whether a skull that counts as complete has a hole, into which nothing should be cut."""
    canonical = skull.canonical()
    area = opening_of(np.asarray(canonical.array, dtype=bool), canonical.spacing)
    if area < OPEN:
        return []
    return [
        f"{area:.0f} cm2 of the vault, or more, have no bone, though it is scored as a complete"
        " skull: it is defective, or the field of view ends there"
    ]
