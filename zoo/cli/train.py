"""The command `zoo train`."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from zoo.cli._console import err, remark, say
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
    log_every: Annotated[
        int, typer.Option(min=1, help="Steps from line to line, where there is no terminal.")
    ] = 50,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint.")] = False,
) -> None:
    """Train a model and write checkpoints, a log, a curve and finally the model's folder.

    Several GPUs: accelerate launch --num_processes N -m zoo train CONFIG -o OUTPUT

    Several CPU processes: torchrun --nproc_per_node N -m zoo train CONFIG -o OUTPUT -d cpu
    """
    from zoo.training import CHECKPOINT
    from zoo.training import train as run

    try:
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
            progress=Bars() if err.is_terminal else Lines(log_every),
        )
    except KeyboardInterrupt:
        if (output / CHECKPOINT).exists():
            remark(f"stopped; --resume continues from the checkpoint in {output}")
        raise
    if line:
        say(line)


class Bars:
    """Progress bars, for a terminal."""

    def __init__(self) -> None:
        self.data = ProgressBar(TextColumn("data"), MofNCompleteColumn(), BarColumn(), console=err)
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeRemainingColumn(),
        )
        self.steps = ProgressBar(*columns, console=err)

    def prepared(self, done: int, total: int) -> None:
        self._show(self.data, done, total)

    def step(self, step: int, total: int, loss: float) -> None:
        self.data.stop()
        self._show(self.steps, step, total, loss=loss)

    def finishing(self) -> None:
        self.steps.stop()
        remark("measuring statistics and validating")

    def _show(self, bar: ProgressBar, done: int, total: int, loss: float = 0.0) -> None:
        if not bar.tasks:
            bar.start()
            bar.add_task("", total=total, completed=done, loss=loss)
        bar.update(bar.tasks[0].id, completed=done, loss=loss)


class Lines:
    """Lines, for a log file.

    Args:
        every: steps from one line to the next.
    """

    def __init__(self, every: int) -> None:
        self.every, self.losses = every, list[float]()
        self.last = perf_counter()

    def prepared(self, done: int, total: int) -> None:
        remark(f"data: {done} of {total} ready")
        self.last = perf_counter()

    def step(self, step: int, total: int, loss: float) -> None:
        self.losses.append(loss)
        if step % self.every and step != total:
            return
        seconds = (perf_counter() - self.last) / len(self.losses)
        loss, left = sum(self.losses) / len(self.losses), seconds * (total - step) / 60
        pace = f"{seconds:.2f} s a step, {left:.0f} min left"
        remark(f"step {step} of {total}: loss {loss:.4f}, {pace}")
        self.losses, self.last = [], perf_counter()

    def finishing(self) -> None:
        remark("measuring statistics and validating")
