"""Makes the network that a run starts with."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from zoo import registries
from zoo.errors import ConfigError
from zoo.models import load
from zoo.sparse import SparseTensor
from zoo.training.config import TrainingConfig
from zoo.validation import validate


@runtime_checkable
class SeesIntensities(Protocol):
    """A network that can see what is bright as dark, and the other way round."""

    def train(self) -> nn.Module: ...
    def invert(self) -> None:
        """Do so from now on."""
        ...


def make_network(config: TrainingConfig) -> nn.Module:
    """Make the network of a config, with random weights.

    Raises:
        ConfigError: the config does not fit the architecture.
    """
    torch.manual_seed(config.seed)
    architecture = registries.architectures.get(config.architecture)
    settings = validate(architecture.config_class, config.config, source="config")
    network: nn.Module = architecture(settings)
    return network


def take_over_initial(
    network: nn.Module, config: TrainingConfig, sample: Callable[[], SparseTensor]
) -> list[str]:
    """Take over the weights of `initial`, if the config names any.

    Args:
        network: the network of the config.
        config: config of the run.
        sample: makes an input of the network.

    Returns:
        The names of the submodules that were taken over from a network for a coarser grid. Those
        keep their BatchNorm statistics, as statistics from the few coarse voxels in a batch would
        be poor.

    Raises:
        ConfigError: the weights to start from do not fit the architecture.
    """
    if not config.initial:
        return []
    how: dict[str, Any] = {"pass_on": config.initial_pass_on}
    if getattr(config, "coverage", False):
        how["coverage"] = sample()
    return start_from(network, config.initial, **how)


@torch.no_grad()
def inverted_if_better(network: SeesIntensities, loss: Callable[[nn.Module], Tensor]) -> bool:
    """Invert what a network sees, if its loss is lower then; whether that is so.

    What is bright to a CT scanner is dark to another device, and then weights that were taken over
    begin far from where they could.

    Args:
        network: the network.
        loss: the loss of a network, of a sample of the run.
    """
    before = loss(deepcopy(network).train())
    network.invert()
    if loss(deepcopy(network).train()) < before:
        return True
    network.invert()
    return False


def start_from(network: nn.Module, name: str, **how: Any) -> list[str]:
    """Take over a model's weights: all of them if their names and shapes are the same.

    Args:
        network: the network to fill.
        name: the model, as for `zoo.load`.
        how: `pass_on` and others, for the network's own `start_from`.

    Returns:
        The names of the submodules that were taken over from a network for a coarser grid.

    Raises:
        ConfigError: the model has another architecture, or its weights have other shapes and the
            architecture cannot start from them.
    """
    other = load(name, backend="torch", device="cpu").network
    if type(other) is not type(network):
        raise ConfigError(
            f"initial: wanted a model of architecture {type(network).__name__}, got {name}, which"
            f" is a {type(other).__name__}; name another, or leave it out"
        )
    if _shapes(other) == _shapes(network):
        network.load_state_dict(other.state_dict())
        return []
    take_over = getattr(network, "start_from", None)
    if take_over is None:
        raise ConfigError(
            f"initial: wanted config {network.config}, as a {type(network).__name__} cannot start"
            f" from another, got {name} with config {other.config}"
        )
    taken: list[str] = take_over(other, **how)
    return taken


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in network.state_dict().items()}
