"""The command `zoo convert`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._console import print_json, say
from zoo.cli._shared_options import AsJson


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="Written by torch.save: a state_dict.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the model.")],
    architecture: Annotated[str, typer.Option(help="Architecture, such as sparse-completion.")],
    config: Annotated[
        str,
        typer.Option(help="Config that shapes do not tell: JSON, or the path of a JSON file."),
    ] = "{}",
    name: Annotated[
        str | None, typer.Option(help="Name on the card. Default: made from the file's name.")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(metavar="MM", help="Voxel size of the training data.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert a PyTorch checkpoint, written for MinkowskiEngine or for the zoo, into a model.

    zoo convert skull_completion_512.pth -o mine --architecture sparse-completion

    No code in the file is run. Every tensor of the state_dict must be used;
    otherwise the checkpoint is refused.
    """
    from zoo.models import convert as run
    from zoo.models import read_settings

    report = run(
        checkpoint,
        output,
        architecture=architecture,
        config=read_settings(config),
        name=name,
        spacing=spacing,
    )
    if as_json:
        return print_json(asdict(report))
    for line in report.lines():
        say(line)
