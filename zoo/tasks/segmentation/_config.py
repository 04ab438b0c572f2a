"""The typed config of a run that trains segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from zoo.datasets import Structures
from zoo.training import (
    VALIDATION_SEEDS,
    CasesConfig,
    PhantomConfig,
    ScanConfig,
    Section,
    TrainingConfig,
)
from zoo.volumes import Windows

WINDOWS = ((-1100.0, -890.0), (-750.0, -140.0), (-50.0, 1000.0))  # HU: everything but lung and fat
EXTERIOR = -400.0  # HU


class ThoraxConfig(Section):
    """Generated chest CTs, for segmentation.

    Attributes:
        resolution: voxels along an edge of the grid, which is 384 mm long.
        chests: how many different chests; every sample has a contrast and noise of its own.
        windows: intervals of Hounsfield units; a voxel in any of them is occupied.
        exterior: voxels below this value, in Hounsfield units, that are connected to the border of
            their axial slice are air outside the body; None if there is no such value.
        labels: which of the generated structures to segment.
    """

    resolution: PositiveInt = 128
    chests: PositiveInt = Field(default=200, le=VALIDATION_SEEDS)
    windows: Windows = WINDOWS
    exterior: float | None = EXTERIOR
    labels: tuple[str, ...] = ("oesophagus", "heart", "trachea", "aorta")


class ScansConfig(CasesConfig):
    """Scans with labels on disk, for segmentation.

    Attributes:
        labels: the structures to segment, in the order of their labels: names, or names with what
            they are made of, such as `{lungs: [left_lung, right_lung], aorta: 4}`: names, or
            values in files whose labels have no names. All of the data set's if left out.
        spacing: edge of a voxel of the model's grid, in mm; that of `thorax` if left out.
        windows: intervals of intensities; a voxel in any of them is occupied. If left out: where
            the structures' intensities lie in the training cases.
        exterior: voxels below this intensity that are connected to the border of their axial slice
            are air outside the body; None if there is no such value; `auto`: Otsu's threshold, as
            `exterior` or as `bright_exterior`, unless that one is given.
        bright_exterior: voxels above this intensity that are connected to the border of their axial
            slice are air outside the body, where air is brighter than tissue.
    """

    labels: Structures | None = None
    spacing: PositiveFloat | None = None
    windows: Windows | None = None
    exterior: float | Literal["auto"] | None = "auto"
    bright_exterior: float | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _named(cls, labels: Any) -> Any:
        """Names alone stand for themselves; one part needs no brackets."""
        if isinstance(labels, Mapping):
            return {
                name: parts if isinstance(parts, list | tuple) else (parts,)
                for name, parts in labels.items()
            }
        return {name: (name,) for name in labels} if isinstance(labels, list | tuple) else labels


class SegmentationTrainingConfig(TrainingConfig):
    """Config of a run that trains segmentation.

    Attributes:
        thorax: the generated data.
        dataset: scans on disk; None for generated ones only.
        augmentation: augmentation of all samples.
        phantoms: the position of samples; only its `jitter` is used.
        class_balance: exponent of the frequency of a class by which its voxels count less in the
            cross-entropy: with 0 all voxels count alike, with 1 all classes.
    """

    thorax: ThoraxConfig = ThoraxConfig()
    dataset: ScansConfig | None = None
    augmentation: ScanConfig = ScanConfig()
    phantoms: PhantomConfig = PhantomConfig()
    class_balance: float = Field(default=0, ge=0, le=1)
