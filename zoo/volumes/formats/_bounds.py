"""What a header may ask for: no more voxels than file and memory hold, and no odd files."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import SupportsInt

from zoo.errors import ReadError, VolumeError
from zoo.memory import free_memory

DEFLATED = 1032  # bytes that one byte of a deflated stream can become, at most


def check_size(voxels: int, itemsize: int, stored: int, ratio: int = 1) -> None:
    """Refuse voxels that cannot be in a file, or not in memory.

    Args:
        voxels: how many the header promises.
        itemsize: bytes of each, as it is stored.
        stored: bytes of the file.
        ratio: bytes that one of these can become.

    Raises:
        ValueError: the file is too small for that.
        VolumeError: it may hold them, but memory is not free for them.
    """
    wanted = voxels * itemsize
    if wanted > stored * ratio:
        raise ValueError(f"Expected {wanted} bytes of voxels, got a file of {stored} bytes")
    check_memory(wanted)


def check_memory(wanted: int) -> None:
    """Raise VolumeError unless so many bytes are free."""
    free = free_memory()
    if wanted > free:
        raise VolumeError(
            f"wanted voxels that fit into memory, got {wanted / 1e9:.1f} GB where"
            f" {free / 1e9:.1f} GB are free; crop the volume, or close other programs"
        )


def product(lengths: Iterable[SupportsInt]) -> int:
    """The number of voxels of a grid; unlike NumPy's, it does not overflow."""
    return math.prod(int(length) for length in lengths)


def data_file(header: Path, name: str) -> Path:
    """The file beside a header that it names for its voxels; ReadError unless it is a regular one.

    From a device, one could read for ever.
    """
    path = header.parent / name
    if not path.is_file():
        raise ReadError(f"{header}: wanted voxels in {name!r}, got no such file; put it there")
    return path
