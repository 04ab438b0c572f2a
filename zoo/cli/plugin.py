"""The command `zoo plugin new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._console import say


def new(
    name: Annotated[str, typer.Argument(help="Name of the package: a-z, 0-9 and dashes.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Create its folder in this one.")
    ] = Path(),
) -> None:
    """Create a package with an architecture, a model and tests, ready to install."""
    from zoo.plugins.scaffold import new_plugin

    folder = new_plugin(name, output)
    say(f"{folder}: next, run  pip install '{folder}[test]'  and  pytest {folder}")
