"""Defines a task: one registered object that predicts, trains and scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor, nn

from zoo import registries
from zoo.anatomy import Threshold
from zoo.cards import Card
from zoo.errors import NotRegistered
from zoo.evaluation import Scoring, Settings
from zoo.models import Model, Options, Prediction
from zoo.sparse import SparseTensor
from zoo.tasks._plausibility import EMPTY, doubts_of_extent
from zoo.volumes import InputContract, Volume

if TYPE_CHECKING:
    from zoo.training import Training

Bools = NDArray[np.bool_]
Stage = Callable[[str], AbstractContextManager[None]]

ANY_SPACING = InputContract(spacing=(1, 1, 1), finest=(1e-6,) * 3, coarsest=(1e6,) * 3)


class Task(ABC):
    """A task: decides how its models predict, train and are scored. Group `zoo_tasks`.

    An entry point refers to an instance. `Card.task` and an architecture's `task` hold its name in
    the registry.

    Attributes:
        prediction_options: each field is an additional option of `Model.predict` and
            `zoo predict`; its description is the help.
        settings_class: each field beyond those of `Settings` is an additional option of
            `zoo evaluate`.
        pipeline_tag: how the Hugging Face Hub calls what its models do.
        derivatives: how the names of files in a BIDS derivative end, without the file's suffix, by
            what is in them: `volume`, and of `implant`, `uncertainty` and `split` (with `*` for a
            structure) what the task has.
    """

    prediction_options: ClassVar[type[Options]] = Options
    settings_class: ClassVar[type[Settings]] = Settings
    pipeline_tag: ClassVar[str] = "image-to-image"
    derivatives: ClassVar[Mapping[str, str]] = MappingProxyType({"volume": "desc-prediction_mask"})

    def check_card(self, card: Card) -> None:
        """Check that a card has what the task needs; by default nothing is needed.

        Args:
            card: the card.

        Raises:
            ConfigError: something is missing.
        """
        return None

    def untrained_facts(self, config: BaseModel) -> dict[str, Any]:
        """Fields for the card of a network with random weights.

        Args:
            config: the architecture's config.

        Returns:
            By default only `input`, which accepts any grid as it is.
        """
        return {"input": ANY_SPACING}

    @abstractmethod
    def predict(
        self, model: Model, source: Volume, threshold: Threshold, options: Any, stage: Stage
    ) -> Prediction:
        """Predict on a volume.

        Args:
            model: a model whose card names this task.
            source: the input volume.
            threshold: voxels above it are occupied; None if the volume is binary or the task needs
                no threshold.
            options: an instance of `prediction_options`.
            stage: returns a context manager that times the stage whose name it is given.

        Returns:
            A prediction whose report contains `voxels_in`, the number of occupied voxels of the
            input, and `grid`, facts about the grid that the network saw; the model adds the rest.

        Raises:
            VolumeError: the task cannot use the volume.
        """

    def doubts(
        self, model: Model, source: Volume, threshold: Threshold, prediction: Prediction
    ) -> list[str]:
        """What is implausible about an input or a prediction.

        Args:
            model: the model.
            source: the input volume.
            threshold: as for `predict`.
            prediction: what `predict` made of it.

        Returns:
            Warnings in words. By default: an extent that the card does not expect, and an empty
            prediction.
        """
        return [
            *doubts_of_extent(prediction.occupied, model.card.input),
            *([] if prediction.volume.array.any() else [EMPTY]),
        ]

    def assess(self, prediction: Prediction) -> tuple[dict[str, Any], list[str]]:
        """Measure a prediction without ground truth, for its report.

        Args:
            prediction: what `predict` gave.

        Returns:
            The measures by name, plain data, and warnings in words. By default there are none.
        """
        return {}, []

    @abstractmethod
    def trial(
        self, model: Model, source: Volume, threshold: Threshold
    ) -> tuple[Bools, Callable[[Bools], object]]:
        """Prepare a trial run for `Model.plan`.

        Args:
            model: a model whose card names this task.
            source: the input volume.
            threshold: as for `predict`.

        Returns:
            The occupied voxels that the network would see, bool (I, J, K), and a function that runs
            the network on such a grid or on a coarsened copy.
        """

    @abstractmethod
    def reference_input(self, card: Card) -> Volume:
        """A small volume that a model of the task can predict on, for its reference case.

        Args:
            card: card of the model.

        Returns:
            The volume, the same on every machine.
        """

    @abstractmethod
    def training(self) -> type[Training]:
        """The class that trains the task's architectures.

        Returns:
            A class that complies with `zoo.plugins.Training`: samples, loss and validation scores.
        """

    @abstractmethod
    def scoring(self, card: Card, settings: Settings) -> Scoring:
        """Make the object that compares predictions of a model with ground truth.

        Args:
            card: card of the model.
            settings: an instance of `settings_class`.

        Returns:
            The scoring.

        Raises:
            ConfigError: the settings do not suit the task.
        """

    def benchmark(self, name: str) -> Workload:
        """Make the workload that `zoo bench` runs for the task.

        Args:
            name: the task's name in the registry.

        Returns:
            By default the first architecture for the task, with its default config, on a generated
            skull.

        Raises:
            NotRegistered: there is no architecture for the task.
        """
        for architecture in registries.architectures.names():
            if registries.architectures.get(architecture).task == name:
                return Workload(architecture)
        raise NotRegistered(f"no architecture is registered for {name}; install one to measure it")


@dataclass(frozen=True)
class Workload:
    """A workload: the network and input that `zoo bench` runs for a task.

    Attributes:
        architecture: name of the architecture.
        config: the keys and values of its config other than `channels`.
        with_parts: whether single convolutions and the start of a process, which are the same for
            every task, are measured along with it.
        widths: by type of device, the channel lists to measure unless others are asked for; the
            config's default if there are none.
    """

    architecture: str
    config: tuple[tuple[str, Any], ...] = ()
    with_parts: bool = False
    widths: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = ()

    def occupied(self, resolution: int) -> Bools:
        """The voxels that the network is run on, bool (R, R, R) for resolution R."""
        from zoo.datasets.phantoms import complete_skull

        return complete_skull(0, resolution)

    def network(self, channels: tuple[int, ...]) -> nn.Module:
        """The network with random weights; empty `channels` stand for the config's default."""
        design = registries.architectures.get(self.architecture)
        config = dict(self.config) | ({"channels": channels} if channels else {})
        made: nn.Module = design(design.config_class(**config))
        return made

    def forward(self, network: nn.Module, x: SparseTensor) -> object:
        """Make one forward pass through the network."""
        return network(x)

    def loss(self, network: nn.Module, x: SparseTensor) -> Tensor:
        """The loss of one training step, a tensor of shape ().

        Override it for a network that returns neither a tensor nor something with an `occupancy`.
        """
        found = network(x)
        values = found if isinstance(found, Tensor) else found.occupancy.features
        return torch.square(values).mean()
