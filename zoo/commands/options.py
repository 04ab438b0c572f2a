"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(help="A model's name, hf-hub:ORG/REPO or local-dir:PATH.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Chain = Annotated[bool, typer.Option("--chain", help="Super-resolution: coarser models go before.")]
BackendName = Annotated[str, typer.Option("--backend", help="Backend, or auto.")]
DeviceName = Annotated[str, typer.Option("--device", "-d", help="cpu, cuda, ... or auto.")]
