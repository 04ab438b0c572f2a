"""The command `zoo train`."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from zoo.cli._console import Stopped, err, say
from zoo.cli._progress import Bars, Lines
from zoo.cli._shared_options import BackendName, DeviceName
from zoo.errors import ConfigError


def train(
    config: Annotated[Path, typer.Argument(help="Training config, a YAML file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the run.")
    ] = None,
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
        int, typer.Option(min=1, help="Steps between lines of progress outside a terminal.")
    ] = 50,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only try a few steps, and print what all would cost.")
    ] = False,
) -> None:
    """Train a model and write checkpoints, a log, a curve and finally the model's folder.

    Several GPUs: accelerate launch --num_processes N -m zoo train CONFIG -o OUTPUT

    Several CPU processes: torchrun --nproc_per_node N -m zoo train CONFIG -o OUTPUT -d cpu
    """
    with err.status("starting"):  # PyTorch takes a while to import
        from zoo.training import CHECKPOINT
        from zoo.training import train as run

    if plan:
        return _print_plan(config, backend, device, threads, mixed_precision, cache)
    if output is None:
        raise ConfigError("wanted a folder for the run: pass -o FOLDER, or --plan (see --help)")
    try:
        shown: TrainingBars | TrainingLines
        with TrainingBars() if err.is_terminal else TrainingLines(log_every) as shown:
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
                progress=shown,
            )
    except KeyboardInterrupt as interrupt:
        if not (output / CHECKPOINT).exists():
            raise
        words = f"interrupted; --resume continues from the checkpoint in {output}"
        raise Stopped(words) from interrupt
    if line:
        say(line)


def _print_plan(
    config: Path, backend: str, device: str, threads: int, mixed: bool, cache: Path | None
) -> None:
    from tqdm import tqdm

    from zoo.training import plan

    found = plan(
        config, backend=backend, device=device, threads=threads, mixed_precision=mixed, cache=cache
    )
    parts = {"data": found.data_seconds, "validation": found.validation_seconds}
    beside = ", ".join(f"{name} {tqdm.format_interval(part)}" for name, part in parts.items())
    whole = tqdm.format_interval(found.seconds)
    peak = "" if found.peak_memory is None else f"; a peak of {found.peak_memory / 1e9:.2f} GB"
    say(
        f"{config}: {found.parameters:,} parameters; {found.steps:,} steps of {found.samples}"
        f" samples and {found.step_seconds:.2f} s, {beside}: about {whole}{peak};"
        f" {found.free_memory / 1e9:.1f} GB are free"
    )


class TrainingBars(Bars):
    """How a run goes on, in a terminal."""

    def prepared(self, done: int, total: int) -> None:
        self.part("data", done, total)

    def step(self, step: int, total: int, loss: float) -> None:
        self.part("step", step, total, f", loss {loss:.3f}")

    def stage(self, name: str, done: int, total: int) -> None:
        self.part(name, done, total)


class TrainingLines(Lines):
    """How a run goes on, in a log file.

    Args:
        every: steps from one line to the next.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.losses = every, list[float]()
        self.since = perf_counter()

    def prepared(self, done: int, total: int) -> None:
        self.line(f"data: {done} of {total} ready")
        self.since = perf_counter()

    def step(self, step: int, total: int, loss: float) -> None:
        self.losses.append(loss)
        if step % self.every and step != total:
            return
        seconds = (perf_counter() - self.since) / len(self.losses)
        loss, left = sum(self.losses) / len(self.losses), seconds * (total - step) / 60
        pace = f"{seconds:.2f} s a step, {left:.0f} min left"
        self.line(f"step {step} of {total}: loss {loss:.4f}, {pace}")
        self.losses, self.since = [], perf_counter()

    def stage(self, name: str, done: int, total: int) -> None:
        if done:
            self.part(name, done, total)
        else:
            self.line(name)
