"""The command `zoo train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from zoo.cli._console import err, say
from zoo.cli._shared_options import BackendName, DeviceName


def train(
    config: Annotated[Path, typer.Argument(help="Training config, a YAML file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the run.")],
    backend: BackendName = "auto",
    device: DeviceName = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare the data.")] = 1,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch.")] = 0,
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="Multiply matrices in bfloat16.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for generated data, shared by runs. Default: OUTPUT/cache."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint.")] = False,
) -> None:
    """Train a model and write checkpoints, a log, a curve and finally the model's folder.

    Several GPUs: accelerate launch --num_processes N -m zoo train CONFIG -o OUTPUT

    Several CPU processes: torchrun --nproc_per_node N -m zoo train CONFIG -o OUTPUT -d cpu
    """
    from zoo.training import train as run

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
        progress=_progress,
    )
    if line:
        say(line)


@contextmanager
def _progress(trainer: Any) -> Iterator[Callable[[int, float], None]]:
    """Show a progress bar in the main process; yields the function that updates it."""
    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    silent = not trainer.accelerator.is_main_process
    with Progress(*columns, console=err, disable=silent) as progress:
        steps = trainer.config.steps
        task = progress.add_task("", total=steps, completed=trainer.step, loss=float("nan"))
        yield lambda step, loss: progress.update(task, completed=step, loss=loss)
