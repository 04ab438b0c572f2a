"""The options of super-resolution in commands."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

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
        chain: whether to run the models for coarser grids first.
    """

    factor: Annotated[
        int | None, Field(ge=2, description="Fine voxels per edge of a coarse one. Default: 2.")
    ] = None
    chain: Chain = False
