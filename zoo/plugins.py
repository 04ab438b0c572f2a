"""What a plugin may lean on: the shapes of the parts that entry points name, and their version.

Their version is `zoo.plugin_api_version`; a package says in its top-level module for which one it
was written:

    zoo_plugin_api_version = 1

A package that says another one than the zoo has is refused by name; one that says none is taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel
from torch import Tensor

from zoo.sparse.backend import Backend
from zoo.sparse.tensor import SparseTensor
from zoo.volume import Volume

__all__ = ["Architecture", "Backend", "Head", "LabelsHead", "Reader", "Writer"]


class Architecture(Protocol):
    """A torch.nn.Module class, made from its config. Group `zoo_architectures`.

    It must be possible to make it on torch's meta device: the zoo does so before it takes memory.
    Convolution kernels are parameters named `kernel`, (K, C_in, C_out).

    Attributes:
        task: `completion`, `super-resolution` or `segmentation`.
        config_class: a frozen pydantic model that forbids unknown keys.
        config: what it was made from.
    """

    task: ClassVar[str]
    config_class: ClassVar[type[BaseModel]]
    config: Any

    def __init__(self, config: Any) -> None: ...

    def forward(self, x: SparseTensor) -> Any:
        """From features (N, 1) at tensor stride 1 to an answer.

        For completion and super-resolution, something with an `answer`: a SparseTensor of what is
        occupied, at tensor stride 1. For segmentation, logits (N, classes) of x's own voxels, class
        0 being none of the structures. x may have a single voxel.
        """
        ...


class Head(Protocol):
    """A torch.nn.Module class that decides which voxels are occupied. Group `zoo_heads`.

    Attributes:
        kind: `occupancy`.
    """

    kind: ClassVar[str]

    def __init__(self, channels: int, threshold: float) -> None: ...

    def forward(self, x: SparseTensor) -> tuple[Tensor, Tensor]:
        """Features (N, channels) -> logits (N,), and bool (N,): which lie above the threshold."""
        ...


class LabelsHead(Protocol):
    """A torch.nn.Module class that labels voxels. Group `zoo_heads`.

    Attributes:
        kind: `labels`.
    """

    kind: ClassVar[str]

    def __init__(self, channels: int, classes: int) -> None: ...

    def forward(self, x: SparseTensor) -> Tensor:
        """Features (N, channels) -> logits (N, classes)."""
        ...


class Reader(Protocol):
    """A function from a file to a volume. Group `zoo_readers`, under the file's suffix."""

    def __call__(self, path: Path) -> Volume:
        """The volume in a file that exists and is not empty.

        Its affine maps indices to RAS+ millimetres of voxel centres.

        Raises:
            VolumeError: what is in it is readable, but not one volume.
            Exception: any other; the zoo makes one line of it that names the file.
        """
        ...


class Writer(Protocol):
    """A function from a volume to a file. Group `zoo_writers`, under the file's suffix."""

    def __call__(self, volume: Volume, path: Path) -> None:
        """Write a volume to `path`, which the zoo moves to its place if this returns.

        The same volume gives the same bytes; files beside `path` move along.

        Raises:
            VolumeError: the format cannot hold it.
            Exception: any other; what was there before stays.
        """
        ...
