"""What a model answers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import VolumeError
from zoo.volume import Volume

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

    from zoo.conform import Conformed


@dataclass(frozen=True)
class Probabilities:
    """How likely each label is, kept for the occupied voxels alone until a volume is asked for.

    Attributes:
        conformed: the grid that the network saw, and the way back to the input's.
        points: (N, 3), its occupied voxels.
        logits: (N, classes) there.
        labels: the names of classes 1, 2, ...; class 0 is none of them.
    """

    conformed: Conformed
    points: NDArray[np.int64]
    logits: NDArray[np.float32]
    labels: tuple[str, ...]

    def seen(self) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """The scan on the input's grid with axes RAS, dark to light in [0, 1]; and the labels."""
        scan = np.asarray(self.conformed.source.canonical().array, dtype=np.float32)
        low, high = np.percentile(scan, (50, 99.5))
        return np.clip((scan - low) / max(high - low, 1.0), 0, 1), self.labels

    def volume(self, label: str) -> Volume:
        """float32 in [0, 1] on the input's own grid; 0 where no voxel is occupied.

        Raises:
            VolumeError: no such label.
        """
        if label not in self.labels:
            raise VolumeError(f"wanted a label out of {', '.join(self.labels)}, got {label!r}")
        values = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        values /= values.sum(axis=1, keepdims=True)
        grid = np.zeros(self.conformed.grid.shape, np.float32)
        grid[tuple(self.points.T)] = values[:, 1 + self.labels.index(label)]
        return self.conformed.source.with_array(self.conformed.back(grid))


@dataclass(frozen=True)
class Prediction:
    """The answer to one volume.

    Attributes:
        volume: uint8 {0, 1}, or labels, on the input's own grid: same shape, affine and
            orientation; super-resolution's is the finer grid over the same field of view.
        implant: what completion added, cleaned of specks, on the same grid; None for other tasks.
        occupied: uint8 {0, 1} on that grid, what of the input was taken as occupied.
        probabilities: of a segmentation's labels; None for other tasks.
        report: plain data for JSON: `timings` (seconds), `voxels_in` and `voxels_out` (occupied, of
            `volume`), `peak_memory` (bytes, of the process so far), `backend`, `device`, `grid`
            (whether and from what spacing to what it was resampled), `versions`, and `sha256` of
            `weights` and `input`.
    """

    volume: Volume
    implant: Volume | None
    occupied: Volume
    report: dict[str, Any]
    probabilities: Probabilities | None = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `volume`; the suffix of the path names the format. See `zoo.files.write_volume`."""
        self.volume.save(path)

    def to_nibabel(self) -> Nifti1Image:
        """`volume` as a NIfTI image."""
        return self.volume.to_nibabel()
