"""One chest CT with its labels, from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.datasets.phantoms.chests._airways import paint_airways, paint_oesophagus
from zoo.datasets.phantoms.chests._bones import paint_ribs, paint_spine
from zoo.datasets.phantoms.chests._trunk import (
    paint_abdomen,
    paint_lungs,
    paint_surroundings,
    paint_trunk,
)
from zoo.datasets.phantoms.chests._vessels import (
    paint_great_vessels,
    paint_heart,
    paint_lung_vessels,
    paint_vessels,
)
from zoo.datasets.phantoms.chests.canvas import EXTENT, Canvas
from zoo.datasets.phantoms.chests.scan import intensities
from zoo.datasets.phantoms.chests.tissues import Tissues, labels_of
from zoo.datasets.phantoms.solids import rounded_uniform
from zoo.errors import VolumeError

SMALLEST_GRID = 8  # voxels


@dataclass(frozen=True)
class ThoraxCase:
    """HU int16 and labels uint8, both (R, R, R), axes RAS; the labels count from 1 as LABELS."""

    hu: NDArray[np.int16]
    labels: Tissues


def thorax_case(seed: int, resolution: int = 64) -> ThoraxCase:
    """One chest CT with its labels; voxels of EXTENT / R mm."""
    tissues = tissue_map(seed, resolution)
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    hu = np.rint(intensities(tissues, EXTENT / resolution, rng))
    return ThoraxCase(np.clip(hu, -1024, 3071).astype(np.int16), labels_of(tissues))


def tissue_map(seed: int, resolution: int = 64) -> Tissues:
    """The tissue of each voxel, uint8 (R, R, R), axes RAS, voxels of EXTENT / R mm.

    Raises:
        VolumeError: a resolution below 8 voxels.
    """
    if resolution < SMALLEST_GRID:
        raise VolumeError(f"resolution must be at least {SMALLEST_GRID} voxels, got {resolution}")
    rng = np.random.Generator(np.random.PCG64(seed))
    uniform = rounded_uniform(rng)
    canvas = Canvas.draw(rng, uniform, resolution)
    cage = paint_trunk(canvas, rng, uniform)
    domes = paint_abdomen(canvas, cage, uniform)
    paint_lungs(canvas, cage, domes, uniform)
    paint_ribs(canvas, cage, uniform)
    paint_spine(canvas, uniform)
    paint_vessels(canvas, uniform)
    paint_heart(canvas, uniform)
    paint_great_vessels(canvas, uniform)
    paint_oesophagus(canvas, uniform)
    paint_airways(canvas, uniform)
    paint_lung_vessels(canvas, uniform)
    paint_surroundings(canvas, uniform)
    return canvas.tissues
