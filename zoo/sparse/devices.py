"""A GPU's memory: a peak to report, and one clear line when there is no more."""

from __future__ import annotations

import re
from types import TracebackType

import torch

from zoo.errors import BackendError
from zoo.sparse.memory import free_memory


class DeviceMemory:
    """Counts the most memory that a device lends while this is entered.

    Raises:
        BackendError: on leaving, if the device ran out of memory.

    Attributes:
        peak: bytes; None on the CPU, whose memory is the process's.
    """

    def __init__(self, device: torch.device, instead: str = "a model with a coarser grid") -> None:
        """`instead` is what an error offers besides the CPU."""
        self.device, self.instead = device, instead
        self.peak: int | None = None

    def __enter__(self) -> DeviceMemory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self.device)
        if isinstance(error, torch.OutOfMemoryError):
            asked = re.search(r"allocate ([\d.]+ \w+)", str(error))
            needed = f"needed {asked[1]} more" if asked else "needed more"
            raise BackendError(
                f"device {self.device} is out of memory: {needed}, and"
                f" {free_memory(self.device) / 1e9:.1f} GB are free; use -d cpu, or {self.instead}"
            ) from error
