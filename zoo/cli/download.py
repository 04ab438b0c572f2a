"""The command `zoo download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._console import print_json, say
from zoo.cli._shared_options import AsJson, Name


def download(
    name: Name,
    to: Annotated[
        Path | None, typer.Option(help="Copy the model into this folder, for local-dir:FOLDER.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a model's files into the Hugging Face cache, for use without a network."""
    from zoo.models import download as fetch

    fetched = fetch(name, to)
    if as_json:
        return print_json({file: str(path) for file, path in fetched.items()})
    for file, path in fetched.items():
        say(f"{file}: {path}")
    say(f"{name}: the sha256 of the weights matches the card")
