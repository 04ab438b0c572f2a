"""Super-resolution: the same shape, on a grid of smaller voxels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from zoo.cards import Card, InputContract
from zoo.conform import Bools, binarise, check_extent, laid_out_like
from zoo.errors import VolumeError
from zoo.tasks.base import Answer, Engine, Steps
from zoo.volume import Volume
from zoo.voxels import corner_shift, generated_grid, replicated

Factors = tuple[int, int, int]


class SuperResolution:
    """Answers on the finer grid over the same field of view.

    Each axis is divided by a whole number, the one that comes nearest to the model's spacing, so
    the corner of the first voxel stays where it was.
    """

    def __init__(self, card: Card) -> None:
        self.name, self.contract = card.name, card.input

    def predict(
        self, engine: Engine, source: Volume, threshold: float | None, step: Steps
    ) -> Answer:
        with step("conform"):
            occupied = binarise(source, threshold)
            finer = self._finer(source.with_array(occupied))
            grid = np.asarray(finer.canonical().array, dtype=bool)
        with step("network"):
            found = run(engine, grid)
        with step("restore"):
            answer = finer.with_array(finer.restore(laid_out_like(found, grid)).view(np.uint8))
        facts = {
            "resampled": True,
            "spacing_in": list(source.canonical().spacing),
            "spacing": list(finer.canonical().spacing),
        }
        given = finer.with_array(finer.array.view(np.uint8))
        return Answer(answer, given, int(np.count_nonzero(occupied)), facts)

    def trial(self, source: Volume, threshold: float | None) -> tuple[Bools, Callable[..., object]]:
        finer = self._finer(source.with_array(binarise(source, threshold)))
        return np.asarray(finer.canonical().array, dtype=bool), run

    def _finer(self, coarse: Volume) -> Volume:
        """The volume in smaller voxels, which the contract accepts; each has its old one's value.

        Raises:
            VolumeError: an axis that is finer than the contract, none that is coarser, or more
                voxels than any patient needs.
        """
        check_extent(coarse, self.contract)
        factors = factors_to(coarse.spacing, self.contract)
        if factors is None:
            got = " x ".join(f"{length:.3g}" for length in coarse.spacing)
            raise VolumeError(
                f"wanted voxels larger than those of {self.contract.spacing[0]:g} mm that"
                f" {self.name} answers with, and along no axis smaller; got {got} mm:"
                " take a model with smaller voxels"
            )
        return refined(coarse, factors)


def run(engine: Engine, grid: Bools) -> Bools:
    """What the network sees in place of bool (I, J, K) `grid`, which is made of blocks."""
    with torch.inference_mode():
        return generated_grid(
            engine.network, grid, engine.backend, engine.device, corner_shift(grid)
        )


def factors_to(spacing: tuple[float, float, float], contract: InputContract) -> Factors | None:
    """By what to divide voxels of that spacing, mm, to come nearest to the contract's.

    None if there is nothing to divide, or an axis that no whole number brings into its limits.
    """
    found = [_factor(length, contract) for length in spacing]
    if None in found or set(found) == {1}:
        return None
    i, j, k = (factor or 1 for factor in found)
    return i, j, k


def _factor(length: float, contract: InputContract) -> int | None:
    """Of one axis; the contract's limits are the same along all of them."""
    wanted = contract.spacing[0]
    nearest = round(length / wanted)
    tried = sorted(
        (n for n in (nearest - 1, nearest, nearest + 1) if n > 0),
        key=lambda n: abs(length / n - wanted),
    )
    fitting = (n for n in tried if contract.finest[0] <= length / n <= contract.coarsest[0])
    return next(fitting, None)


def refined(coarse: Volume, factors: Factors) -> Volume:
    """Every voxel as a block of factors[0] x factors[1] x factors[2] smaller ones of its value."""
    to_index = np.diag([*(1 / factor for factor in factors), 1.0])
    to_index[:3, 3] = [0.5 / factor - 0.5 for factor in factors]
    return coarse.regrid(replicated(coarse.array, factors), to_index)
