"""The protocols of the parts that entry points refer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel
from torch import Tensor

from zoo.sparse import SparseTensor
from zoo.volumes import Volume


class Architecture(Protocol):
    """A torch.nn.Module class that is made from its config. Group `zoo_architectures`.

    It must be possible to make it on torch's meta device, which the zoo does before it allocates
    memory. Kernels of convolutions are parameters named `kernel` with shape (K, C_in, C_out). An
    architecture that is not trained like others of its task names the class that trains it,
    "module:class", in an attribute `training`.

    Attributes:
        task: name in the tasks registry.
        config_class: a frozen pydantic model that forbids unknown keys.
        config: the config that it was made from.
    """

    task: ClassVar[str]
    config_class: ClassVar[type[BaseModel]]
    config: Any

    def __init__(self, config: Any) -> None: ...

    def forward(self, x: SparseTensor) -> Any:
        """Map features (N, 1) at tensor stride 1 to what the network predicts.

        Args:
            x: the input, which may have a single voxel.

        Returns:
            For completion and super-resolution, an object with an `occupancy`: a SparseTensor of
            the occupied voxels, at tensor stride 1. For segmentation, logits (N, classes) of the
            voxels of x, where class 0 is none of the structures. For a plugin's task, whatever that
            task defines.
        """
        ...


class PruningHead(Protocol):
    """A torch.nn.Module class that decides which voxels are occupied. Group `zoo_heads`.

    Args:
        channels: number of features per voxel.
        threshold: logit above which a voxel is occupied.

    Attributes:
        kind: `occupancy`.
    """

    kind: ClassVar[str]

    def __init__(self, channels: int, threshold: float) -> None: ...

    def forward(self, x: SparseTensor) -> tuple[Tensor, Tensor]:
        """Decide which voxels are occupied.

        Args:
            x: features (N, channels).

        Returns:
            Logits (N,), and bool (N,): above the threshold or not.
        """
        ...


class LabellingHead(Protocol):
    """A torch.nn.Module class that labels voxels. Group `zoo_heads`.

    Args:
        channels: number of features per voxel.
        classes: number of classes, the first of which is none of the structures.

    Attributes:
        kind: `labels`.
    """

    kind: ClassVar[str]

    def __init__(self, channels: int, classes: int) -> None: ...

    def forward(self, x: SparseTensor) -> Tensor:
        """Label voxels.

        Args:
            x: features (N, channels).

        Returns:
            Logits (N, classes).
        """
        ...


class Reader(Protocol):
    """A function that reads a volume. Group `zoo_readers`, named for the file's suffix."""

    def __call__(self, path: Path) -> Volume:
        """Read a volume.

        Args:
            path: a file that exists and is not empty.

        Returns:
            The volume, whose affine maps indices to voxel centres in RAS+ millimetres.

        Raises:
            VolumeError: the content is readable, but is not one volume.
            Exception: any other error; the zoo turns it into one line that names the file.
        """
        ...


class Writer(Protocol):
    """A function that writes a volume. Group `zoo_writers`, named for the file's suffix."""

    def __call__(self, volume: Volume, path: Path) -> None:
        """Write a volume. The same volume must give the same bytes.

        Args:
            volume: the volume.
            path: a temporary file that the zoo renames when this returns; files written beside it
                are moved as well.

        Raises:
            VolumeError: the format cannot store the volume.
            Exception: any other error; an existing output is left untouched.
        """
        ...
