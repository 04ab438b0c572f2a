"""The options of super-resolution in commands."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from zoo.evaluation import Settings
from zoo.models import Options

Chain = Annotated[bool, Field(description="Run the models for coarser grids first.")]


class SuperResolutionOptions(Options):
    """Options of a prediction.

    Attributes:
        chain: whether to run the models for coarser grids first, one after another, from the
            coarsest that the volume suits.
    """

    chain: Chain = False


class SuperResolutionSettings(Settings):
    """Settings of an evaluation of super-resolution.

    Attributes:
        factor: fine voxels along an edge of a coarse one; None stands for 2.
        slices: fine slices in a thick one, along the last axis alone; None for cubes of `factor`.
        chain: whether to run the models for coarser grids first.
    """

    factor: Annotated[
        int | None, Field(ge=2, description="Fine voxels per edge of a coarse one. Default: 2.")
    ] = None
    slices: Annotated[
        int | None,
        Field(ge=2, description="Average so many slices, as a scanner does; no --factor."),
    ] = None
    chain: Chain = False

    @model_validator(mode="after")
    def _coarse_in_one_way(self) -> SuperResolutionSettings:
        if self.slices and self.factor:
            raise ValueError("factor and slices exclude each other: leave one of them out")
        return self
