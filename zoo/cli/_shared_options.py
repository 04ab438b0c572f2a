"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


def _models(incomplete: str) -> list[str]:
    """The models whose names a shell may complete to."""
    from zoo.cards import list_models

    return list_models(f"{incomplete}*")


Name = Annotated[
    str,
    typer.Argument(
        help="Name of a model, hf-hub:ORG/REPO or local-dir:PATH.", autocompletion=_models
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BackendName = Annotated[str, typer.Option("--backend", help="Name of a backend, or auto.")]
DeviceName = Annotated[str, typer.Option("--device", "-d", help="cpu, cuda, cuda:1, ... or auto.")]

ExecutorName = Annotated[str, typer.Option(help="What runs several cases: local, or a plugin's.")]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Address of the executor's cluster; this machine if left out."
    ),
]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes for several cases; 0 is this one alone.")
]
Timeout = Annotated[
    float | None,
    typer.Option(min=1, metavar="S", help="Most seconds for a case, each in a process apart."),
]
Retries = Annotated[
    int, typer.Option(min=0, help="How often to retry a case whose process died or timed out.")
]


def threshold_of(given: str) -> float | str:
    """The number or word of --threshold."""
    from zoo.anatomy import AUTOMATIC

    try:
        return given if given in AUTOMATIC else float(given)
    except ValueError as error:
        raise typer.BadParameter(
            f"wanted a number or {' or '.join(AUTOMATIC)}, got {given!r}"
        ) from error
