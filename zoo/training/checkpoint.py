"""Checkpoints: one safetensors file with everything that a run needs to go on. No pickle."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo.errors import ConfigError, ReadError
from zoo.files import atomic_path
from zoo.training.config import TrainingConfig


def save_checkpoint(
    path: Path,
    config: TrainingConfig,
    step: int,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write modules' and optimiser's tensors after `step` steps, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
    for row, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{row}/{key}": value for key, value in state.items()}
    metadata = {"step": str(step), "config": config.model_dump_json()}
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata)


def load_checkpoint(
    path: Path,
    config: TrainingConfig,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
) -> int:
    """Restore what `save_checkpoint` wrote; returns the number of steps done.

    Raises:
        ConfigError: the checkpoint belongs to another config.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ReadError(f"{path}: not a whole checkpoint: {error}; train anew elsewhere") from error
    if (metadata or {}).get("config") != config.model_dump_json():
        raise ConfigError(
            f"{path} was written by another training config; "
            "resume with that one, or train into another folder"
        )
    for name, module in modules.items():
        module.load_state_dict(_below(tensors, name))
    state = optimizer.state_dict()
    state["state"] = {}
    for key, tensor in _below(tensors, "optimizer").items():
        row, name = key.split("/")
        state["state"].setdefault(int(row), {})[name] = tensor
    optimizer.load_state_dict(state)
    return int(metadata["step"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        k.removeprefix(f"{prefix}/"): v for k, v in tensors.items() if k.startswith(f"{prefix}/")
    }
