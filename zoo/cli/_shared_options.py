"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(help="Name of a model, hf-hub:ORG/REPO or local-dir:PATH.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BackendName = Annotated[str, typer.Option("--backend", help="Name of a backend, or auto.")]
DeviceName = Annotated[str, typer.Option("--device", "-d", help="cpu, cuda, cuda:1, ... or auto.")]
