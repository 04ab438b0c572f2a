"""What is doubtful about how much finer a volume is made."""

from __future__ import annotations

from zoo.cards import Card
from zoo.volumes import Volume

STEP = 2  # how many times finer a model of a chain makes voxels


def doubts_of_step(card: Card, coarse: Volume, fine: Volume) -> list[str]:
    """Whether voxels were refined in one step which the models of a chain refine in several.

    Thick slices are a single step: they are coarse along one axis.
    """
    factor = min(n // m for n, m in zip(fine.shape, coarse.shape, strict=True))
    if card.after is None or factor <= STEP:
        return []
    return [
        f"{card.name} was trained to make voxels {STEP} times finer, and made these {factor} times"
        " finer: --chain runs the models for coarser grids first"
    ]
