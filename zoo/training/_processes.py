"""The processes of a run, through Hugging Face Accelerate, and their devices."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import torch

from zoo.errors import ConfigError, MissingDependency
from zoo.sparse import Backend, torch_device
from zoo.training.config import TrainingConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

PATIENCE = timedelta(hours=6)  # how long others wait while the main process finishes


def start_processes(device: str) -> tuple[Accelerator, torch.device]:
    """Join the processes that a launcher started, if any.

    Args:
        device: as for `zoo.load`. A single process uses this device; several processes use one
            device of that kind each.

    Returns:
        The accelerator, and the device of this process.

    Raises:
        MissingDependency: one of what the extra `train` installs is missing.
    """
    try:
        import matplotlib  # noqa: F401
        import threadpoolctl  # noqa: F401
        from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
    except ImportError as error:
        raise MissingDependency(
            f"training needs {error.name}: pip install 'sparse-volume-zoo[train]'"
        ) from error
    target = torch_device(device)
    accelerator = Accelerator(
        cpu=target.type == "cpu",
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=True),
            InitProcessGroupKwargs(timeout=PATIENCE),
        ],
    )
    asked = accelerator.num_processes == 1 and device != "auto"
    return accelerator, target if asked else accelerator.device


def uses_bfloat16(config: TrainingConfig, launched_with: str, backend: Backend) -> bool:
    """Whether to multiply matrices in bfloat16: if the config or `accelerate launch` says so.

    Raises:
        ConfigError: the backend does not support it, or the launcher was given another precision.
    """
    if launched_with not in ("no", "bf16"):
        raise ConfigError(f"--mixed_precision: wanted no or bf16, got {launched_with}")
    mixed = config.precision == "bfloat16" or launched_with == "bf16"
    if mixed and not backend.bfloat16:
        raise ConfigError(
            f"precision: wanted bfloat16, but backend {backend.name} computes in float32 and"
            " float64 only; use --backend torch, or leave --mixed-precision out"
        )
    return mixed


def check_shares(config: TrainingConfig, processes: int) -> None:
    """Raise ConfigError unless a step's samples can be split over the processes and passes."""
    parts = processes * config.accumulate
    if config.batch_size % parts:
        raise ConfigError(
            f"batch_size: wanted a multiple of {parts}, {processes} processes times"
            f" {config.accumulate} passes (accumulate), got {config.batch_size}"
        )
