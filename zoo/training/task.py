"""Defines the interface that a task provides for training, and reads configs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import torch
import yaml
from torch import Tensor, nn

from zoo import registries
from zoo.errors import ConfigError, one_line
from zoo.sparse import Backend, SparseTensor
from zoo.training.config import TrainingConfig
from zoo.training.samples import Batch
from zoo.validation import plain_yaml, validate

Item = TypeVar("Item")
Scores = dict[str, float]  # means over validation cases; the first decides, higher is better


class Training(Protocol):
    """The samples, loss and validation scores of a run, for a task or for one architecture.

    It may have a method `preparations` besides, which returns a sequence of functions: what is best
    done once before the first step, in any order and in parallel. Each of them reads or makes
    something that is expensive, and leaves it in the cache. One that derives from `CountsCases`
    tells how many validation cases are scored.

    Attributes:
        config_class: class of the run's config, which adds sections to `TrainingConfig`.
        data: the training data in words for the model's card, such as "generated phantoms".
    """

    config_class: ClassVar[type[TrainingConfig]]
    data: str

    def __init__(self, config: Any, cache: Path, cell: int) -> None:
        """Prepare a run.

        Args:
            config: an instance of `config_class`.
            cache: folder for data that is expensive to make.
            cell: voxels along an edge of the network's coarsest voxel.

        Raises:
            ConfigError: the config does not suit the task.
        """
        ...

    def sample(self, number: int) -> tuple[Any, Any]:
        """Sample `number`, an input and its target; it depends on config and number alone."""
        ...

    def tensors(
        self, batch: Batch, backend: Backend, device: torch.device
    ) -> tuple[SparseTensor, Any]:
        """The inputs of a batch as one sparse tensor, and its targets in the form for `loss`."""
        ...

    def loss(self, network: nn.Module, x: SparseTensor, target: Any, *, forced: bool) -> Tensor:
        """The loss, a tensor of shape (), of a network's prediction for x.

        Args:
            network: the network, in training mode.
            x: the input, from `tensors`.
            target: the target, from `tensors`.
            forced: see `TrainingConfig.forcing`.
        """
        ...

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        """Score a network in eval mode on cases that are never trained on."""
        ...

    def facts(self) -> dict[str, Any]:
        """Fields for the card of the trained model: `input`, and whatever else its task needs."""
        ...


class CountsCases:
    """Base of a `Training` that tells how many validation cases are scored.

    It shares them between the processes of a run if `score` takes those that `shared` says alone,
    and combines what `gathered` makes of their rows.
    """

    _share = 0, 1  # this process, and of how many
    _tell: Callable[[int, int], None] | None = None  # of how many, while a score is computed

    @contextmanager
    def telling(self, tell: Callable[[int, int], None]) -> Iterator[None]:
        """Let `tell` be called with how many cases are scored, and of how many."""
        self._tell = tell
        try:
            yield
        finally:
            self._tell = None

    @contextmanager
    def sharing(self, process: int, processes: int) -> Iterator[None]:
        """Let each process of a run score its share of the cases; all must do so."""
        self._share = process, processes
        try:
            yield
        finally:
            self._share = 0, 1

    def shared(self, total: int) -> range:
        """The numbers of the validation cases that this process scores."""
        process, processes = self._share
        return range(process, total, processes)

    def gathered(self, rows: list[Item]) -> list[Item]:
        """The rows of all cases in their order, from those of the cases that are `shared`."""
        _, processes = self._share
        if processes == 1:
            return rows
        found: list[list[Item]] = [[] for _ in range(processes)]
        torch.distributed.all_gather_object(found, rows)
        total = sum(map(len, found))
        return [found[number % processes][number // processes] for number in range(total)]

    def counted(self, cases: Iterable[Item], total: int) -> Iterator[Item]:
        """The same cases; of each it is told once the next one is asked for."""
        for done, case in enumerate(cases, 1):
            yield case
            if self._tell:
                self._tell(done, total)


def training_class(architecture: str) -> type[Training]:
    """The class that trains an architecture: its own, "module:class" in `training`, or its task's.

    Raises:
        NotRegistered: there is no such architecture.
    """
    design = registries.architectures.get(architecture)
    own = getattr(design, "training", None)
    found: type[Training] = (
        registries.named(own) if own else registries.tasks.get(design.task).training()
    )
    return found


def read_config(path: str | Path) -> TrainingConfig:
    """Read and check a training config.

    Args:
        path: a YAML file.

    Returns:
        An instance of the config class that belongs to the architecture in the file.

    Raises:
        ConfigError: the file is missing or is not YAML, or a key does not fit; the message names
            it.
        NotRegistered: there is no such architecture.
    """
    try:
        content = plain_yaml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no training config at {path}: pass the path of a YAML file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not readable as YAML: {one_line(error)}") from error
    return check_config(content, source=str(path))


def check_config(content: Any, *, source: str) -> TrainingConfig:
    """Check the content of a training config, plain data from `source`; see `read_config`."""
    architecture = content.get("architecture") if isinstance(content, dict) else None
    if not isinstance(architecture, str):
        return validate(TrainingConfig, content, source=source)
    return validate(training_class(architecture).config_class, content, source=source)
