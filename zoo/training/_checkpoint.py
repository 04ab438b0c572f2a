"""The safetensors files of a run: checkpoints, the best weights, a batch that broke the loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo.errors import ConfigError, ReadError
from zoo.training.config import TrainingConfig
from zoo.volumes import atomic_path


def save_checkpoint(
    path: Path,
    config: TrainingConfig,
    step: int,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    losses: Sequence[float] = (),
) -> None:
    """Write everything that a run needs to continue after `step` steps, atomically.

    The losses are those of the steps since the last line of the log.

    The optimizer's state is stored under the names of the parameters of `modules["network"]`.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
    names = _parameter_names(modules["network"], optimizer)
    for row, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{names[row]}/{key}": value for key, value in state.items()}
    tensors |= {f"random/{kind}": state for kind, state in _random_states().items()}
    facts = {"step": str(step), "config": config.model_dump_json()}
    save_tensors(path, tensors, {**facts, "losses": json.dumps(list(losses))})


def load_checkpoint(
    path: Path,
    config: TrainingConfig,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
) -> tuple[int, list[float]]:
    """Restore what `save_checkpoint` wrote; returns the number of steps done, and the losses.

    Raises:
        ReadError: the file is damaged, or its optimizer had other parameters.
        ConfigError: the checkpoint belongs to another config.
    """
    tensors, metadata = load_tensors(path)
    if _config(metadata, type(config)) != config:
        raise ConfigError(
            f"{path} was written with another training config; "
            "resume with that one, or train in another folder"
        )
    for name, module in modules.items():
        module.load_state_dict(_below(tensors, name))
    state = optimizer.state_dict()
    try:
        state["state"] = _rows(_below(tensors, "optimizer"), modules["network"], optimizer)
    except ValueError as error:
        raise ReadError(f"{path}: {error}; start a new run in another folder") from error
    optimizer.load_state_dict(state)
    _restore_random_states(_below(tensors, "random"))
    return int(metadata["step"]), json.loads(metadata.get("losses", "[]"))


def steps_done(path: Path) -> int:
    """The number of steps after which a checkpoint was written; its tensors are not read.

    Raises:
        ReadError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return int((file.metadata() or {})["step"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ReadError(
            f"{path}: not an intact checkpoint: {error}; start a new run in another folder"
        ) from error


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and metadata as safetensors, atomically."""
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, temporary, metadata)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_tensors` wrote.

    Raises:
        ReadError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ReadError(
            f"{path}: not an intact checkpoint: {error}; start a new run in another folder"
        ) from error


def _parameter_names(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Names of the optimizer's parameters in the order of its state, which its groups decide."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def _rows(
    tensors: dict[str, Tensor], network: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[int, dict[str, Tensor]]:
    """The optimizer's state by position, from tensors named "parameter/key".

    Raises:
        ValueError: it is the state of other parameters.
    """
    given: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.rpartition("/")
        given.setdefault(name, {})[part] = tensor
    shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
    if not all(_fits(state, shapes.get(name)) for name, state in given.items()):
        raise ValueError("its optimizer's state belongs to other parameters than this network's")
    rows = {name: row for row, name in enumerate(_parameter_names(network, optimizer))}
    return {rows[name]: state for name, state in given.items()}


def _fits(state: dict[str, Tensor], shape: torch.Size | None) -> bool:
    """Whether it is the state of a parameter of that shape; scalars fit any."""
    return shape is not None and all(value.shape in (shape, ()) for value in state.values())


def _config(metadata: dict[str, str], config_class: type[TrainingConfig]) -> TrainingConfig | None:
    try:
        return config_class.model_validate_json(metadata.get("config", ""))
    except ValidationError:
        return None


def _random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random_states(states: dict[str, Tensor]) -> None:
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(states["cuda"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        k.removeprefix(f"{prefix}/"): v for k, v in tensors.items() if k.startswith(f"{prefix}/")
    }
