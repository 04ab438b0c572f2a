"""What is made: models, data, plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from zoo.commands.options import BackendName, DeviceName
from zoo.console import err, say
from zoo.errors import ConfigError


def train(
    config: Annotated[Path, typer.Argument(help="Training config, YAML.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run.")],
    backend: BackendName = "auto",
    device: DeviceName = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that make the data.")] = 1,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 leaves torch's choice.")] = 0,
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="Multiply matrices in bfloat16.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of generated data, to share; OUTPUT/cache if empty.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
) -> None:
    """Train a model; writes checkpoints, a log, a curve and, at the end, the model's folder.

    Several GPUs: accelerate launch --num_processes N -m zoo train CONFIG -o OUTPUT

    Several CPU processes: torchrun --nproc_per_node N -m zoo train CONFIG -o OUTPUT -d cpu
    """
    from zoo.training.command import train as run

    line = run(
        config,
        output,
        backend=backend,
        device=device,
        workers=workers,
        threads=threads,
        mixed_precision=mixed_precision,
        cache=cache,
        resume=resume,
        console=err,
    )
    if line:
        say(line)


def phantom(
    kind: Annotated[str, typer.Argument(help="What to generate: skull or thorax.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write into.")],
    resolution: Annotated[int, typer.Option(min=8, max=1024, help="Voxels along an edge.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first one.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
) -> None:
    """Generate phantoms: skulls with defects and implants, or chest CTs with labelled organs."""
    from zoo.phantom_files import KINDS

    if kind not in KINDS:
        raise ConfigError(f"unknown phantom {kind!r}; there are: {', '.join(KINDS)}")
    for number in track(range(count), "generating", console=err, disable=not err.is_terminal):
        KINDS[kind](output, number, seed + number, resolution)
    say(f"{count} {kind} phantoms of {resolution}^3 -> {output}")


def new_plugin(
    name: Annotated[str, typer.Argument(help="Of the package: a-z, 0-9 and dashes.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Make its folder in here.")
    ] = Path(),
) -> None:
    """Write a package with an architecture, a model and tests, which installs as it is."""
    from zoo.scaffold import new_plugin as run

    folder = run(name, output)
    say(f"{folder}: now  pip install '{folder}[test]'  and  pytest {folder}")
