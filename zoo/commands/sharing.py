"""Models from elsewhere, and to elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from zoo.commands.options import AsJson, Name
from zoo.console import print_json, say


def download(name: Name, as_json: AsJson = False) -> None:
    """Fetch a model's files into the Hugging Face cache, for machines without a network."""
    from zoo.loading import download as fetch

    fetched = fetch(name)
    if as_json:
        return print_json({file: str(path) for file, path in fetched.items()})
    for file, path in fetched.items():
        say(f"{file}: {path}")
    say(f"{name}: the sha256 of its weights is its card's")


def push(
    name: Name,
    repo: Annotated[str, typer.Argument(help="ORG/REPO on the Hub; made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", help="Make a private one.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch; made if it is not there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a model on the Hugging Face Hub, or on the server that HF_ENDPOINT names.

    zoo push local-dir:runs/mine/model ORG/REPO

    The token is that of `hf auth login`, or HF_TOKEN.
    """
    from zoo.loading import load

    published = load(name).push_to_hub(repo, private=private, revision=revision)
    if as_json:
        return print_json(asdict(published))
    say(published.url)
    say(f"load it as {published.name}")


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="File of torch.save's: a state_dict.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the model.")],
    architecture: Annotated[str, typer.Option(help="Of the network, such as sparse-completion.")],
    config: Annotated[
        str, typer.Option(help="What shapes do not tell: JSON, or the path of a file of it.")
    ] = "{}",
    name: Annotated[
        str | None, typer.Option(help="On the card; made of the file's name if not given.")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(metavar="MM", help="Voxel size that it was trained on.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a model of a PyTorch checkpoint, of MinkowskiEngine or the zoo's own network.

    zoo convert skull_completion_512.pth -o mine --architecture sparse-completion

    Nothing in the file is run; every tensor of the state_dict is used, or it is refused.
    """
    from zoo.convert import convert as run
    from zoo.convert import read_settings

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
