"""Makes the network that a run starts with."""

from __future__ import annotations

import torch
from torch import nn

from zoo import registries
from zoo.errors import ConfigError
from zoo.models import load
from zoo.training.config import TrainingConfig
from zoo.validation import validate


def make_network(config: TrainingConfig) -> tuple[nn.Module, list[str]]:
    """Make the network of a config, with random weights or those of `initial`.

    Returns:
        The network, and the names of the submodules that were taken over from a network for a
        coarser grid. Those keep their BatchNorm statistics, as statistics from the few coarse
        voxels in a batch would be poor.

    Raises:
        ConfigError: the config, or the weights to start from, do not fit the architecture.
    """
    torch.manual_seed(config.seed)
    architecture = registries.architectures.get(config.architecture)
    settings = validate(architecture.config_class, config.config, source="config")
    network: nn.Module = architecture(settings)
    if not config.initial:
        return network, []
    how = {"pass_on": config.initial_pass_on}
    if getattr(config, "coverage", False):
        how["coverage"] = True
    return network, start_from(network, config.initial, **how)


def start_from(network: nn.Module, name: str, **how: bool) -> list[str]:
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
