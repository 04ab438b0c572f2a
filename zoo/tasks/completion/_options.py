"""The options of completion in commands."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoo.evaluation import Settings


class CompletionSettings(Settings):
    """Settings of an evaluation of completion.

    Attributes:
        defects: `official`, those of the data set, or new ones where it has none; `cut`, new ones
            anywhere in the vault; or `none`, complete skulls, to which nothing should be added.
    """

    defects: Annotated[
        Literal["official", "cut", "none"],
        Field(description="Which defects: official (of the data), cut (new ones) or none."),
    ] = "official"
