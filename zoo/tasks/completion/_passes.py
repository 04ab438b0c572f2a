"""The passes of a prediction: runs of the network on the input as it is, and mirrored and moved.

A network computes on a grid of coarse voxels, and its prediction depends a little on how the input
lies on that grid, and on which side is left. Passes differ in both; their mean depends less on
either (test-time augmentation).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.errors import ConfigError
from zoo.models import Model
from zoo.networks import GeneratedCoverage, coarsest_voxel, generated_coverage, generated_occupancy
from zoo.volumes import Bools, common_box, from_bytes, laid_out_like

DEFAULT_PASSES = 2  # of a network that predicts coverage
# The R3 sequence, which spreads any number of points evenly over a cube: M. Roberts, "The
# unreasonable effectiveness of quasirandom sequences", 2018.
STEPS_OF_R3 = tuple(1.2207440846057596**-power for power in (1, 2, 3))
REACH = 8  # The cube is as wide as a network's coarsest voxel, divided by this.

Triple = tuple[int, int, int]


def number_of_passes(model: Model, wanted: int | None) -> int:
    """How many passes are averaged: so many as are wanted, or by default.

    Raises:
        ConfigError: several are wanted of a network that predicts occupancy.
    """
    if model.card.input.kind == "coverage":
        return wanted or DEFAULT_PASSES
    if wanted and wanted > 1:
        raise ConfigError(
            f"--passes: wanted 1, got {wanted}: {model.card.name} predicts occupancy, of which"
            " there is no mean; models that take coverage predict it"
        )
    return 1


def passes(model: Model, grid: NDArray[Any]) -> Iterator[Any]:
    """Run a model's network again and again, each time as the next pass has it.

    Args:
        model: the model.
        grid: (I, J, K), its first axis from left to right: uint8, coverage in steps of 1/255, or
            bool, as the model takes it.

    Yields:
        `GeneratedCoverage`, or bool (I, J, K): what the network predicts, on the grid as it was.
    """
    covered = model.card.input.kind == "coverage"
    predict: Any = cover if covered else run
    for mirrored, nudge in _moves(coarsest_voxel(model.network)):
        moved = grid[::-1] if mirrored else grid
        found = predict(model, moved, nudge)
        if mirrored:
            found = found.mirrored(grid.shape) if covered else found[::-1]
        yield found


def _moves(coarsest: int) -> Iterator[tuple[bool, Triple]]:
    """Whether the next pass mirrors, and by how many voxels it moves: the first does neither."""
    number = 0
    while True:
        places = ((number * step + 0.5) % 1 - 0.5 for step in STEPS_OF_R3)
        i, j, k = (round(place * coarsest / REACH) for place in places)
        yield number % 2 == 1, (i, j, k)
        number += 1


def averaged(found: Sequence[GeneratedCoverage], given: NDArray[np.uint8]) -> GeneratedCoverage:
    """The mean of what passes predict; none of them takes anything off the coverage that is given.

    Args:
        found: of one pass or more.
        given: uint8 (I, J, K), the coverage of the input in steps of 1/255.
    """
    if len(found) == 1:
        return found[0]
    i, j, k = common_box(each.box for each in found)
    base = from_bytes(given[i, j, k])
    total = np.zeros_like(base)
    for each in found:
        total += np.maximum(each.within((i, j, k)), base)
    total /= np.float32(len(found))
    return GeneratedCoverage((i.start, j.start, k.start), total)


def cover(model: Model, covered: NDArray[np.uint8], nudge: Triple = (0, 0, 0)) -> GeneratedCoverage:
    """Run the network on the coverage of a grid, uint8 (I, J, K) in steps of 1/255."""
    with torch.inference_mode():
        return generated_coverage(model.network, covered, model.backend, model.device, nudge)


def run(model: Model, grid: Bools, nudge: Triple = (0, 0, 0)) -> Bools:
    """Run the network on bool (I, J, K) `grid`; the result is in the same memory order."""
    with torch.inference_mode():
        found = generated_occupancy(model.network, grid, model.backend, model.device, nudge=nudge)
    return laid_out_like(found, grid)
