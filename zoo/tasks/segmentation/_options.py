"""The options of segmentation in commands."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zoo.evaluation import Settings
from zoo.models import Options

LargestComponent = Annotated[
    bool, Field(description="Keep of every structure its largest connected component alone.")
]


class SegmentationOptions(Options):
    """Options of a prediction.

    Attributes:
        largest_component: whether to keep of every structure its largest connected component alone
            (26-connected).
    """

    largest_component: LargestComponent = False


class SegmentationSettings(Settings):
    """Settings of an evaluation of segmentation.

    Attributes:
        largest_component: as for a prediction.
        tolerance: mm by which a surface may be off for surface Dice.
    """

    largest_component: LargestComponent = False
    tolerance: Annotated[
        float, Field(ge=0, description="Tolerance of the surface Dice, mm; 3.")
    ] = 3.0
