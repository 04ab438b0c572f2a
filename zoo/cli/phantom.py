"""The command `zoo phantom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._console import say
from zoo.cli._progress import counted
from zoo.errors import ConfigError


def phantom(
    kind: Annotated[str, typer.Argument(help="What to generate: skull or thorax.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")],
    resolution: Annotated[int, typer.Option(min=8, max=1024, help="Voxels along an edge.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first phantom.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="How many phantoms to generate.")] = 1,
) -> None:
    """Generate phantoms: skulls with defects and implants, or chest CTs with labelled organs."""
    from zoo.datasets.phantoms import KINDS

    if kind not in KINDS:
        raise ConfigError(f"unknown phantom {kind!r}; the kinds are: {', '.join(KINDS)}")
    made = (KINDS[kind](output, number, seed + number, resolution) for number in range(count))
    for _ in counted(made, "generating", count):
        pass
    noun = "phantom" if count == 1 else "phantoms"
    say(f"{count} {kind} {noun} of {resolution}^3 -> {output}")
