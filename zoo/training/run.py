"""Runs a training, from a config file to a model's folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from zoo import registries
from zoo.cards import README, Card, Origin, info, name_from
from zoo.errors import ConfigError
from zoo.models import Model
from zoo.sparse import DeviceMemory, select_backend
from zoo.training._batches import prepare
from zoo.training._checkpoint import steps_done
from zoo.training._loop import CHECKPOINT, Finished, Trainer
from zoo.training._processes import start_processes
from zoo.training.config import TrainingConfig
from zoo.training.task import read_config
from zoo.validation import validate
from zoo.volumes import make_folder, remove_abandoned

LESS_MEMORY = "a smaller batch_size, or accumulate"


class Progress(Protocol):
    """Is told how a run goes on; all in the main process."""

    def prepared(self, done: int, total: int) -> None:
        """Called whenever another part of the data is ready."""

    def step(self, step: int, total: int, loss: float) -> None:
        """Called after every step."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Called as something else begins, and goes on: validation, statistics, saving.

        Args:
            name: what it is.
            done: how much of it is done; 0 as it begins.
            total: of how much; 0 where that is not known.
        """


class Silent:
    """Shows nothing."""

    def prepared(self, done: int, total: int) -> None: ...
    def step(self, step: int, total: int, loss: float) -> None: ...
    def stage(self, name: str, done: int, total: int) -> None: ...


def train(
    path: Path,
    folder: Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    workers: int = 1,
    threads: int = 0,
    mixed_precision: bool = False,
    cache: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> str | None:
    """Train a model and write it to a folder.

    Args:
        path: the config, a YAML file.
        folder: folder for the run; created if it does not exist.
        backend, device: as for `zoo.load`.
        workers: number of processes that prepare samples; with 0, this process does.
        threads: CPU threads of PyTorch; 0 leaves the number to PyTorch.
        mixed_precision: multiply matrices in bfloat16, whatever the config says.
        cache: folder for generated data, which runs may share; in the run's folder if left out.
        resume: continue from the checkpoint in the folder.
        progress: is told how the run goes on.

    Returns:
        One line that describes the model; None in all processes but the main one.

    Raises:
        ConfigError: the config does not fit, or there is a checkpoint without `resume`, or none
            with it.
        WriteError: the folder cannot be made.
    """
    config = read_config(path)
    _check_resume(folder, resume)
    if resume and (line := _finished(folder, config)):
        return line if os.environ.get("RANK", "0") == "0" else None
    trainer = make_trainer(
        config, folder, backend, device, threads=threads, mixed=mixed_precision, cache=cache
    )
    config, accelerator = trainer.config, trainer.accelerator
    make_folder(folder)
    main = accelerator.is_main_process
    for written_to in {folder, cache or folder} if main else ():
        remove_abandoned(written_to)
    if resume:
        trainer.resume()
    shown = progress if progress and main else Silent()
    trainer.stage = shown.stage
    with DeviceMemory(trainer.device, LESS_MEMORY):
        if main:
            _prepare(trainer, shown)
        accelerator.wait_for_everyone()
        trainer.run(workers, lambda step, loss: shown.step(step, config.steps, loss))
        line = _export(trainer, path.stem, workers) if main else None
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return line


def make_trainer(
    config: TrainingConfig,
    folder: Path,
    backend: str,
    device: str,
    *,
    threads: int,
    mixed: bool,
    cache: Path | None,
) -> Trainer:
    """Make what trains, with the processes that were started for it; see `train`."""
    if mixed:
        config = config.model_copy(update={"precision": "bfloat16"})
    if threads:
        torch.set_num_threads(threads)
    accelerator, target = start_processes(device)
    return Trainer(config, folder, select_backend(backend, target), target, accelerator, cache)


def preparations(trainer: Trainer) -> Sequence[Callable[[], object]]:
    """What the task wants to be done before the first step."""
    parts: Sequence[Callable[[], object]] = getattr(trainer.task, "preparations", tuple)()
    return parts


def _prepare(trainer: Trainer, progress: Progress) -> None:
    """Do what the task wants to be done before the first step, on all cores."""
    parts = preparations(trainer)
    for done in prepare(parts, os.cpu_count() or 1) if parts else ():
        progress.prepared(done, len(parts))


def _export(trainer: Trainer, name: str, workers: int) -> str:
    """Write the model's folder, and return one line that says which weights it contains."""
    finished = trainer.finish(workers)
    task = trainer.task
    card = model_card(trainer.config, name, task.facts(), task.data, finished)
    folder = trainer.folder / "model"
    trainer.stage("saving", 0, 0)
    origin = Origin(facts={"training_config_sha256": trainer.config.sha256()})
    Model(finished.network, card, trainer.backend, trainer.device, origin).save(folder)
    (measure, value), *_ = finished.scores.items()
    return (
        f"trained: {folder}, averaged after step {finished.step}, {measure.replace('_', ' ')}"
        f" {value:.3f} in validation; use it as local-dir:{folder}"
    )


def model_card(
    config: TrainingConfig,
    name: str,
    facts: dict[str, Any],
    data: str,
    finished: Finished | None = None,
) -> Card:
    """The card of a newly trained model, with its task's facts; the author completes its prose."""
    block = {
        "name": name_from(name),
        "task": registries.architectures.get(config.architecture).task,
        "architecture": config.architecture,
        "config": config.config,
        **{key: value.model_dump() if key == "input" else value for key, value in facts.items()},
        "text": _text(config, data, finished),
        "metadata": _lineage(info(config.initial)) if config.initial else {},
    }
    return validate(Card, block, source="the model's card")


def _lineage(initial: Card) -> dict[str, Any]:
    """What the Hub is to know of the model that a run began with, whose licence may bind this."""
    repo = initial.weights.repo if initial.weights else ""
    facts = {
        "license": initial.license,
        "datasets": list(initial.datasets),
        "base_model": "" if repo.startswith("local/") else repo,
    }
    return {name: fact for name, fact in facts.items() if fact}


def _text(config: TrainingConfig, data: str, finished: Finished | None) -> str:
    text = f"Trained on {data}; research use only.\n"
    if finished:
        scores = ", ".join(f"{key} {value:.4f}" for key, value in finished.scores.items())
        text += f"\nThe average after step {finished.step}; in validation: {scores}.\n"
    return f"{text}\n    {config.public()}\n"


def _finished(folder: Path, config: TrainingConfig) -> str | None:
    """One line about a run that is complete; None if there is something left to do."""
    model = folder / "model"
    if steps_done(folder / CHECKPOINT) < config.steps or not (model / README).exists():
        return None
    return (
        f"finished before: {model}, after all {config.steps} steps; use it as local-dir:{model},"
        " or train in another folder"
    )


def _check_resume(folder: Path, resume: bool) -> None:
    there = (folder / CHECKPOINT).exists()
    if there and not resume:
        raise ConfigError(
            f"{folder} contains a checkpoint: pass --resume to continue, or choose another folder"
        )
    if resume and not there:
        raise ConfigError(f"{folder} contains no checkpoint to resume from; leave --resume out")
