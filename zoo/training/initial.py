"""The network that a run begins with."""

from __future__ import annotations

import torch
from torch import nn

from zoo import registries
from zoo.errors import ConfigError
from zoo.loading import load
from zoo.training.config import TrainingConfig
from zoo.validation import validate


def make_network(config: TrainingConfig) -> tuple[nn.Module, list[str]]:
    """The network of a config, with random weights by its seed, or those that it starts from.

    Also the names of the submodules that were taken over from a network for a coarser grid: their
    BatchNorm statistics stay, as those of a few coarse voxels in a batch would be poor.

    Raises:
        ConfigError: a config that does not fit the architecture, or weights that do not.
    """
    torch.manual_seed(config.seed)
    architecture = registries.architectures.get(config.architecture)
    settings = validate(architecture.config_class, config.config, source="config")
    network: nn.Module = architecture(settings)
    return network, start_from(network, config.initial) if config.initial else []


def start_from(network: nn.Module, name: str) -> list[str]:
    """Take over a model's weights, all of them if its config is the same.

    Returns the names of the submodules that a coarser network's levels became.

    Raises:
        ConfigError: the configs differ, and the architecture cannot start from another's weights.
    """
    other = load(name, backend="torch", device="cpu").network
    if type(other) is type(network) and other.config == network.config:
        network.load_state_dict(other.state_dict())
        return []
    take_over = getattr(network, "start_from", None)
    if take_over is None:
        raise ConfigError(
            f"initial: {name} is a {type(other).__name__} with config {other.config}; wanted"
            f" {type(network).__name__} with {network.config}, as it cannot start from another"
        )
    taken: list[str] = take_over(other)
    return taken
