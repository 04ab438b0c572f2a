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
        """A sample of the training data.

        Args:
            number: which one, from 0 on; it depends on that and the config alone.

        Returns:
            An input and its target.
        """
        ...

    def tensors(
        self, batch: Batch, backend: Backend, device: torch.device
    ) -> tuple[SparseTensor, Any]:
        """Make a batch of samples into tensors.

        Args:
            batch: the inputs, and the targets.
            backend: backend of the sparse tensor.
            device: device of all tensors.

        Returns:
            The inputs as one sparse tensor, and the targets in the form for `loss`.
        """
        ...

    def loss(self, network: nn.Module, x: SparseTensor, target: Any, *, forced: bool) -> Tensor:
        """The loss of a network's prediction.

        Args:
            network: the network, in training mode.
            x: the input, from `tensors`.
            target: the target, from `tensors`.
            forced: see `TrainingConfig.forcing`.

        Returns:
            A tensor of shape ().
        """
        ...

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        """Score a network on cases that are never trained on.

        Args:
            network: the network, in eval mode.
            backend: backend to compute on.
            device: device of the network.

        Returns:
            Means over the cases, by name; the first decides, and higher is better.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """What the card of the trained model is to state.

        Returns:
            Fields of the card by name: `input`, and whatever else its task needs.
        """
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

        >>> training_class("sparse-completion").__name__
        'CompletionTraining'

    Args:
        architecture: name in the architectures registry.

    Returns:
        A class that complies with `Training`.

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

        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "run.yaml")
        ...     _ = path.write_text("{architecture: sparse-completion, steps: 9}")
        ...     read_config(path).steps
        9

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
    """Check the content of a training config that is not in a file; see `read_config`.

        >>> check_config({"architecture": "sparse-completion", "steps": 9}, source="mine").steps
        9

    Args:
        content: plain data, such as a dict.
        source: where it comes from, for error messages.

    Returns:
        An instance of the config class that belongs to the architecture.

    Raises:
        ConfigError, NotRegistered: as for `read_config`.
    """
    architecture = content.get("architecture") if isinstance(content, dict) else None
    if not isinstance(architecture, str):
        return validate(TrainingConfig, content, source=source)
    return validate(training_class(architecture).config_class, content, source=source)
