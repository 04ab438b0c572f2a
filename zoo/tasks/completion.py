"""Completion: the input, and what is missing from it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from zoo.cards import Card
from zoo.conform import Bools, binarise, conform, laid_out_like
from zoo.implants import without_specks
from zoo.tasks.base import Answer, Engine, Steps
from zoo.volume import Volume
from zoo.voxels import generated_grid


class Completion:
    """Answers with all of the input and more, on the input's own grid."""

    def __init__(self, card: Card) -> None:
        self.contract = card.input

    def predict(
        self, engine: Engine, source: Volume, threshold: float | None, step: Steps
    ) -> Answer:
        with step("conform"):
            occupied = binarise(source, threshold)
            conformed = conform(source.with_array(occupied), self.contract)
        with step("network"):
            added = run(engine, conformed.grid) & ~conformed.grid
        with step("restore"):
            complete = conformed.back(added) | occupied
            implant = conformed.back(without_specks(added)) & ~occupied
        answer, piece, given = (
            source.with_array(grid.view(np.uint8)) for grid in (complete, implant, occupied)
        )
        voxels = int(np.count_nonzero(occupied))
        return Answer(answer, given, voxels, conformed.facts(), implant=piece)

    def trial(self, source: Volume, threshold: float | None) -> tuple[Bools, Callable[..., object]]:
        occupied = source.with_array(binarise(source, threshold))
        return conform(occupied, self.contract).grid, run


def run(engine: Engine, grid: Bools) -> Bools:
    """What the network sees in place of bool (I, J, K) `grid`, laid out like it."""
    with torch.inference_mode():
        found = generated_grid(engine.network, grid, engine.backend, engine.device)
    return laid_out_like(found, grid)
