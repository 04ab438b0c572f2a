"""Predicts the fine shape for a coarse volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.errors import VolumeError
from zoo.models import Model, Prediction
from zoo.networks import generated_occupancy
from zoo.tasks.super_resolution._scanner import values_of
from zoo.tasks.task import Bools, Stage
from zoo.volumes import (
    InputContract,
    Volume,
    binarise,
    check_extent,
    corner_shift,
    laid_out_like,
    replicated,
)

Factors = tuple[int, int, int]
HALF = 0.5  # the value at a scan's threshold; also tells a mask's two values apart


def predict(model: Model, source: Volume, threshold: float | None, stage: Stage) -> Prediction:
    """Predict the refined volume, on the finer grid over the same field of view."""
    with stage("conform"):
        occupied = binarise(source, threshold)
        finer = _finer(model, source, occupied, threshold)
        grid = np.asarray(finer.canonical().array)
    with stage("network"):
        found = run(model, grid)
    with stage("restore"):
        volume = finer.with_array(finer.restore(laid_out_like(found, grid)).view(np.uint8))
    facts = {
        "resampled": True,
        "spacing_in": list(source.canonical().spacing),
        "spacing": list(finer.canonical().spacing),
    }
    taken = finer.with_array((finer.array >= HALF).view(np.uint8))
    report = {"voxels_in": int(np.count_nonzero(occupied)), "grid": facts}
    return Prediction(volume, None, taken, report)


def trial(
    model: Model, source: Volume, threshold: float | None
) -> tuple[Bools, Callable[[Bools], object]]:
    """Prepare a trial run; see `Task.trial`."""
    finer = _finer(model, source, binarise(source, threshold), threshold)
    grid = np.asarray(finer.canonical().array)
    return grid > 0, lambda part: run(model, part.astype(grid.dtype))


def _finer(model: Model, coarse: Volume, occupied: Bools, threshold: float | None) -> Volume:
    """What a model gets: the volume divided into smaller voxels that the contract accepts.

    Bool, in blocks; or values, for a model that knows those of scans.

    Raises:
        VolumeError: an axis is finer than the contract allows, none is coarser, or there are
            more voxels than any patient needs.
    """
    contract = model.card.input
    check_extent(coarse, contract)
    factors = factors_to(coarse.spacing, contract)
    if factors is None:
        got = " x ".join(f"{length:.3g}" for length in coarse.spacing)
        raise VolumeError(
            f"wanted voxels larger than the {contract.spacing[0]:g} mm of {model.card.name}'s"
            f" predictions, and smaller along no axis; got {got} mm: use a model with smaller"
            f" voxels"
        )
    if contract.kind == "coverage":
        return coarse.rescaled(values_of(coarse, threshold, factors), _ratios(factors))
    return refined(coarse.with_array(occupied), factors)


def run(model: Model, grid: NDArray[Any]) -> Bools:
    """Run the network on a grid (I, J, K), bool or values, whose coarse voxels are blocks."""
    with torch.inference_mode():
        return generated_occupancy(
            model.network, grid, model.backend, model.device, corner_shift(grid)
        )


def factors_to(spacing: tuple[float, float, float], contract: InputContract) -> Factors | None:
    """The whole numbers that bring voxels of that spacing, in mm, nearest to the contract's.

    None if there is nothing to divide, or if no whole number brings an axis within the limits.
    """
    found = [_factor(length, contract) for length in spacing]
    if None in found or set(found) == {1}:
        return None
    i, j, k = (factor or 1 for factor in found)
    return i, j, k


def _factor(length: float, contract: InputContract) -> int | None:
    """The factor for one axis; the contract's limits are the same along all axes."""
    wanted = contract.spacing[0]
    nearest = round(length / wanted)
    tried = sorted(
        (n for n in (nearest - 1, nearest, nearest + 1) if n > 0),
        key=lambda n: abs(length / n - wanted),
    )
    fitting = (n for n in tried if contract.finest[0] <= length / n <= contract.coarsest[0])
    return next(fitting, None)


def refined(coarse: Volume, factors: Factors) -> Volume:
    """Replace every voxel by a block of factors[0] x factors[1] x factors[2] smaller ones."""
    return coarse.rescaled(replicated(coarse.array, factors), _ratios(factors))


def _ratios(factors: Factors) -> list[float]:
    return [1 / factor for factor in factors]
