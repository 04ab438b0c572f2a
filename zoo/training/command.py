"""What `zoo train` does."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from zoo.cards import Card, InputContract
from zoo.data.phantoms import FIELD_OF_VIEW
from zoo.errors import ConfigError
from zoo.files import make_folder
from zoo.loading import select_backend, torch_device
from zoo.model import Model
from zoo.training.config import TrainingConfig, read_config
from zoo.training.loop import CHECKPOINT, Trainer
from zoo.validation import validate


def train(
    path: Path,
    folder: Path,
    *,
    backend: str,
    device: str,
    workers: int,
    threads: int,
    resume: bool,
    console: Console,
) -> Path:
    """Train by a config into a folder; returns the folder of the finished model.

    Raises:
        ConfigError: the config does not fit, there is a checkpoint and `resume` was not asked for,
            or the other way round.
        WriteError: the folder cannot be made.
    """
    config = read_config(path)
    if threads:
        torch.set_num_threads(threads)
    place = torch_device(device)
    trainer = Trainer(config, folder, select_backend(backend, place), place)
    card = model_card(config, path.stem)
    _prepare(folder, resume)
    if resume:
        trainer.resume()
    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=config.steps, completed=trainer.step, loss=float("nan"))
        trainer.run(workers, lambda step, loss: progress.update(task, completed=step, loss=loss))
    model = Model(trainer.finish(workers), card, trainer.backend, place)
    model.save(folder / "model")
    return folder / "model"


def model_card(config: TrainingConfig, name: str) -> Card:
    """The card of a model just trained; prose and scores are the author's to write."""
    facts = {
        "name": re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.") or "model",
        "task": "completion",
        "architecture": config.architecture,
        "config": config.config,
        "input": InputContract.around(FIELD_OF_VIEW / config.phantoms.resolution).model_dump(),
        "text": "Trained on generated phantoms; research use only.\n\n"
        f"    {config.model_dump_json()}\n",
    }
    return validate(Card, facts, source="the model's card")


def _prepare(folder: Path, resume: bool) -> None:
    there = (folder / CHECKPOINT).exists()
    if there and not resume:
        raise ConfigError(f"{folder} holds a checkpoint: pass --resume to go on, or another folder")
    if resume and not there:
        raise ConfigError(f"{folder} holds no checkpoint to resume from; leave --resume out")
    make_folder(folder)
