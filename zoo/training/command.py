"""What `zoo train` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from zoo import registries
from zoo.cards import Card, name_from
from zoo.devices import DeviceMemory
from zoo.errors import ConfigError
from zoo.files import make_folder
from zoo.hub import Origin
from zoo.loading import select_backend
from zoo.model import Model
from zoo.training.config import TrainingConfig, read_config
from zoo.training.loop import CHECKPOINT, Finished, Trainer
from zoo.training.processes import start_processes
from zoo.validation import validate

LESS_MEMORY = "a smaller batch_size, or accumulate"


def train(
    path: Path,
    folder: Path,
    *,
    backend: str,
    device: str,
    workers: int,
    threads: int,
    mixed_precision: bool,
    cache: Path | None,
    resume: bool,
    console: Console,
) -> str | None:
    """Train by a config into a folder; returns one line on the model, None but in the main process.

    Raises:
        ConfigError: the config does not fit, there is a checkpoint and `resume` was not asked for,
            or the other way round.
        WriteError: the folder cannot be made.
    """
    config = read_config(path)
    if mixed_precision:
        config = config.model_copy(update={"precision": "bfloat16"})
    if threads:
        torch.set_num_threads(threads)
    accelerator, place = start_processes(device)
    _check_resume(folder, resume)
    engine = select_backend(backend, place)
    trainer = Trainer(config, folder, engine, place, accelerator, cache)
    make_folder(folder)
    if resume:
        trainer.resume()
    with _progress(trainer, console) as on_step, DeviceMemory(trainer.device, LESS_MEMORY):
        trainer.run(workers, on_step)
    line = _export(trainer, path.stem, workers) if accelerator.is_main_process else None
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return line


def _export(trainer: Trainer, name: str, workers: int) -> str:
    """Write the model's folder; returns one line that says which weights it holds."""
    finished = trainer.finish(workers)
    card = model_card(trainer.config, name, trainer.task.facts(), finished)
    folder = trainer.folder / "model"
    origin = Origin(facts={"training_config_sha256": trainer.config.sha256()})
    Model(finished.network, card, trainer.backend, trainer.device, origin).save(folder)
    (measure, value), *_ = finished.scores.items()
    return (
        f"trained: {folder}, the average after step {finished.step}, {measure.replace('_', ' ')}"
        f" {value:.3f} in validation; use it as local-dir:{folder}"
    )


@contextmanager
def _progress(trainer: Trainer, console: Console) -> Iterator[Callable[[int, float], None]]:
    """A bar in the main process; yields what moves it on."""
    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    silent = not trainer.accelerator.is_main_process
    with Progress(*columns, console=console, disable=silent) as progress:
        steps = trainer.config.steps
        task = progress.add_task("", total=steps, completed=trainer.step, loss=float("nan"))
        yield lambda step, loss: progress.update(task, completed=step, loss=loss)


def model_card(
    config: TrainingConfig, name: str, facts: dict[str, Any], finished: Finished | None = None
) -> Card:
    """The card of a model just trained, with its task's facts; its prose is the author's."""
    block = {
        "name": name_from(name),
        "task": registries.architectures.get(config.architecture).task,
        "architecture": config.architecture,
        "config": config.config,
        **{key: value.model_dump() if key == "input" else value for key, value in facts.items()},
        "text": _text(config, finished),
    }
    return validate(Card, block, source="the model's card")


def _text(config: TrainingConfig, finished: Finished | None) -> str:
    generated = config.dataset is None or config.dataset.share < 1
    data = ["generated phantoms"] * generated + ["a data set"] * (config.dataset is not None)
    text = f"Trained on {' and '.join(data)}; research use only.\n"
    if finished:
        scores = ", ".join(f"{key} {value:.4f}" for key, value in finished.scores.items())
        text += f"\nThe average after step {finished.step}; in validation: {scores}.\n"
    return f"{text}\n    {config.public()}\n"


def _check_resume(folder: Path, resume: bool) -> None:
    there = (folder / CHECKPOINT).exists()
    if there and not resume:
        raise ConfigError(f"{folder} holds a checkpoint: pass --resume to go on, or another folder")
    if resume and not there:
        raise ConfigError(f"{folder} holds no checkpoint to resume from; leave --resume out")
