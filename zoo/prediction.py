"""What a model answers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.volume import Volume

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image


@dataclass(frozen=True)
class Prediction:
    """The answer to one volume.

    Attributes:
        volume: uint8 {0, 1} on the input's own grid: same shape, affine and orientation.
        implant: what completion added, cleaned of specks, on the same grid; None for other tasks.
        occupied: uint8 {0, 1}, which of the input's voxels were taken as occupied.
        report: plain data for JSON: `timings` (seconds), `voxels_in` and `voxels_out` (occupied, of
            `volume`), `peak_memory` (bytes, of the process so far), `backend`, `device`, `grid`
            (whether and from what spacing to what it was resampled), `versions`, and `sha256` of
            `weights` and `input`.
    """

    volume: Volume
    implant: Volume | None
    occupied: Volume
    report: dict[str, Any]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `volume`; the suffix of the path names the format. See `zoo.files.write_volume`."""
        self.volume.save(path)

    def to_nibabel(self) -> Nifti1Image:
        """`volume` as a NIfTI image."""
        return self.volume.to_nibabel()
