"""The command `zoo verify`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from zoo.cli._console import complain, err, print_json, print_table, say
from zoo.cli._shared_options import AsJson
from zoo.errors import ConfigError, ZooError


def verify(
    name: Annotated[
        str, typer.Argument(help="As for predict. Default: every installed model.")
    ] = "",
    backends: Annotated[str, typer.Option(help="Comma-separated. Default: all.")] = "",
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="KEY.pem", help="Also check that all files are signed by this public key."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a model's weights, and its prediction for its reference case on every backend.

    The exit status is 2 if the weights are not the ones that the card pins, or if
    a prediction differs from the reference. At most one voxel in a thousand may
    differ, as rounding differs between machines.
    """
    from zoo.cards import list_models
    from zoo.models import verify as run

    if key and not name:
        raise ConfigError("wanted the NAME of a model with --key: whose files are to be signed?")
    verdicts: list[Any] = []
    failures = []
    for each in [name] if name else list_models():
        chosen = backends.split(",") if backends else None
        found = run(each, chosen, local_files_only=not name, key=key)
        try:
            verdicts += track(found, each, console=err, disable=not err.is_terminal, transient=True)
        except ZooError as error:
            if name:
                raise
            failures.append(str(error))
    failures += [
        f"{verdict.model} on {verdict.backend}: {verdict.detail}"
        for verdict in verdicts
        if verdict.works and not verdict.agrees
    ]
    if as_json:
        print_json([asdict(verdict) for verdict in verdicts])
    elif verdicts:
        print_table([verdict.row() for verdict in verdicts])
        for backend, reason in {v.backend: v.detail for v in verdicts if not v.works}.items():
            say(f"{backend}: {reason}")
        if key:
            say(f"{name}: all files are signed by {key}")
    for failure in failures:
        complain(failure)
    if failures:
        raise ZooError(f"{len(failures)} checks failed")
