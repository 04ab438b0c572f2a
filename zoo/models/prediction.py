"""A model's prediction."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo import registries
from zoo.errors import VolumeError
from zoo.volumes import (
    BoundingBox,
    Volume,
    around,
    box_around,
    brightness,
    dilated,
    interpolated,
    laid_back,
    temporary_folder,
)

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image
    from PIL.Image import Image

    from zoo.volumes import Resampled


@dataclass(frozen=True)
class Probabilities:
    """The probability of each label, stored for occupied voxels only until a volume is asked for.

        >>> import numpy as np
        >>> import zoo
        >>> model = zoo.create("sparse-segmentation", {"classes": 2}, backend="torch")
        >>> scan = np.full((8, 8, 8), -1000, np.int16)
        >>> scan[2:6, 2:6, 2:6] = 40
        >>> found = model.predict(scan).probabilities
        >>> found.labels, found.volume("class 1")
        (('class 1',), Volume(8x8x8 float32, 1 x 1 x 1 mm, RAS))
        >>> found.most_likely().array.dtype, found.seen()[0].shape
        (dtype('uint8'), (8, 8, 8))

    Attributes:
        resampled: the grid that the network saw, and how to resample it back to the input's.
        points: (N, 3), indices of the occupied voxels on that grid.
        logits: (N, classes), the network's output there.
        labels: the names of classes 1, 2, ...; class 0 is none of these.
        sheared: the input, if its axes are not at right angles and `resampled` is of a straight
            grid instead.
    """

    resampled: Resampled
    points: NDArray[np.int64]
    logits: NDArray[np.float32]
    labels: tuple[str, ...]
    sheared: Volume | None = None

    def __repr__(self) -> str:
        return f"Probabilities({', '.join(self.labels)}; {len(self.points):,} voxels)"

    def seen(self) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """What a picture shows below the labels; the class has an example.

        Returns:
            The scan as it was seen, straight, with axes RAS and brightness from 0 to 1, and the
            labels.
        """
        return brightness(self.resampled.source.canonical().array), self.labels

    def volume(self, label: str) -> Volume:
        """The probability of a label on the input's grid; the class has an example.

        It is interpolated linearly between the centres of the network's voxels; that of an
        unoccupied voxel is 0.

        Args:
            label: one of `labels`.

        Returns:
            float32 in [0, 1].

        Raises:
            VolumeError: there is no such label.
        """
        if label not in self.labels:
            raise VolumeError(f"wanted one of the labels {', '.join(self.labels)}, got {label!r}")
        found = np.zeros(self.resampled.source.canonical().shape, np.float32)
        box = self._box(np.ones(len(self.points), bool))
        found[box] = self._interpolated(self._shares()[:, 1 + self.labels.index(label)], box)
        volume = self.resampled.on_source(found)
        return volume if self.sheared is None else laid_back(volume, self.sheared)

    def most_likely(self) -> Volume:
        """The label with the highest probability; the class has an example.

        Returns:
            uint8 on the grid that was seen, 0 where it is none of the labels.
        """
        found = np.zeros(self.resampled.source.canonical().shape, np.uint8)
        shares = self._shares()
        wins = shares[:, 1:].max(axis=1) > shares[:, 0]
        if wins.any():
            box = self._box(wins)
            part, best = found[box], 1 - self._interpolated(1 - shares[:, 0], box)
            for number in range(1, shares.shape[1]):
                values = self._interpolated(shares[:, number], box)
                part[values > best] = number
                np.maximum(best, values, out=best)
        return self.resampled.on_source(found)

    def _shares(self) -> NDArray[np.float32]:
        """The probabilities (N, classes)."""
        values = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        shares: NDArray[np.float32] = values / values.sum(axis=1, keepdims=True)
        return shares

    def _box(self, some: NDArray[np.bool_]) -> BoundingBox:
        """Slices of the input's grid, axes RAS, in which some of the points have a part."""
        zone = np.zeros(self.resampled.array.shape, bool)
        zone[tuple(self.points[some].T)] = True
        canonical = self.resampled.source.canonical()
        return box_around(dilated(zone), self.resampled.spacing, canonical.spacing, canonical.shape)

    def _interpolated(self, values: NDArray[np.float32], box: BoundingBox) -> NDArray[np.float32]:
        """Values (N,) of the points at the centres of a box's voxels; 0 where there is no point."""
        spacing, fine = self.resampled.spacing, self.resampled.source.canonical().spacing
        grid = np.zeros(self.resampled.array.shape, np.float32)
        grid[tuple(self.points.T)] = values
        part = around(box, spacing, fine, grid.shape)
        return interpolated(grid[part], spacing, fine, box, [along.start for along in part])


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for one volume.

        >>> import numpy as np
        >>> import zoo
        >>> model = zoo.create("sparse-completion", backend="torch", device="cpu")
        >>> cube = np.zeros((12, 12, 12), np.uint8)
        >>> cube[4:8, 4:8, 4:8] = 1
        >>> prediction = model.predict(cube)
        >>> prediction.implant
        Volume(12x12x12 uint8, 1 x 1 x 1 mm, RAS)
        >>> prediction.report["voxels_in"], prediction.report["backend"]
        (64, 'torch')
        >>> prediction.to_nibabel().shape
        (12, 12, 12)

    Attributes:
        volume: the predicted shape, uint8 {0, 1}, or labels, on the input's own grid: same shape,
            affine and orientation. For super-resolution, on the finer grid over the same field of
            view.
        implant: what completion added, cleaned of specks, on the same grid; None for other tasks.
        occupied: the voxels of the input that were taken as occupied, uint8 {0, 1} on that grid;
            memory is shared with an input of such values.
        probabilities: the probabilities of a segmentation's labels; None for other tasks.
        uncertainty: float32, the share of predictions on the input mirrored and moved a little in
            which completion adds a voxel; None unless asked for.
        report: plain data for JSON: `model`, `backend`, `device`, `versions`, `timings` (seconds by
            stage), `seconds_compiling` (kernels, in none of these; a command adds `seconds`, of all
            from the start to the written files), `voxels_in` and `voxels_out` (numbers of occupied
            voxels), `peak_memory` (bytes, of the process so far), `peak_device_memory` (bytes, on a
            GPU), `input` (its shape, orientation, spacing in mm, unit and threshold), `grid`
            (whether it was resampled, and both spacings along RAS axes in mm), `notes` and
            `warnings` (in words), and `sha256` of `weights` and `input`; `bone`, if the
            threshold was found from the data; `structures`, what is measured of each in a
            segmentation.
    """

    volume: Volume
    implant: Volume | Any  # no type tells which models complete: of theirs it is a Volume
    occupied: Volume
    report: dict[str, Any]
    probabilities: Probabilities | None = None
    uncertainty: Volume | None = None

    def __repr__(self) -> str:
        facts = [f"volume={self.volume!r}"]
        if self.implant is not None:
            voxels = int(np.count_nonzero(self.implant.array))
            facts.append(f"implant of {voxels:,} voxels")
        if self.probabilities is not None:
            facts.append(repr(self.probabilities))
        if warnings := self.report.get("warnings"):
            facts.append(f"warnings: {len(warnings)}")
        return f"Prediction({', '.join(facts)})"

    def _repr_html_(self) -> str:
        """What a notebook shows: a picture and a table of facts, which survive export."""
        return str(registries.showing("html_of")(self))

    def view(self) -> Any:
        """An interactive view for a notebook: surfaces to turn, planes to scroll.

        What is sent is cropped and pooled to what a laptop shows at once, as `zoo view` does.

            >>> import numpy as np
            >>> import zoo
            >>> model = zoo.create("sparse-completion", backend="torch", device="cpu")
            >>> prediction = model.predict(np.pad(np.ones((6, 6, 6), np.uint8), 4))
            >>> type(prediction.view()).__name__
            'NiiVue'

        Returns:
            A widget, `ipyniivue.NiiVue`.

        Raises:
            MissingDependency: the extra `notebook` is not installed.
        """
        return registries.showing("view_of")(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `volume` to a file.

            >>> import tempfile
            >>> import numpy as np
            >>> import zoo
            >>> model = zoo.create("sparse-completion", backend="torch", device="cpu")
            >>> prediction = model.predict(np.pad(np.ones((6, 6, 6), np.uint8), 4))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     prediction.save(f"{folder}/complete.nii.gz")
            ...     zoo.Volume.of(f"{folder}/complete.nii.gz")
            Volume(14x14x14 uint8, 1 x 1 x 1 mm, RAS)

        Args:
            path: the file, whose suffix names the format; its folder must exist.

        Raises:
            WriteError: there is no writer for the suffix, or the file cannot be written; an
                existing file is left untouched.
        """
        self.volume.save(path)

    def to_nibabel(self) -> Nifti1Image:
        """`volume` as a NIfTI-1 image of nibabel; the class has an example.

        Returns:
            A `nibabel.Nifti1Image` with the affine, qform, sform and unit of the input.
        """
        return self.volume.to_nibabel()

    def preview(self, path: str | os.PathLike[str] | None = None) -> Image:
        """Draw the prediction beside its input, as `zoo predict --preview` does.

            >>> import numpy as np
            >>> import zoo
            >>> model = zoo.create("sparse-completion", backend="torch", device="cpu")
            >>> prediction = model.predict(np.pad(np.ones((6, 6, 6), np.uint8), 4))
            >>> prediction.preview().format
            'PNG'

        Args:
            path: a PNG file to write; none is written if it is left out.

        Returns:
            The picture, a `PIL.Image.Image`; a notebook shows it.

        Raises:
            WriteError: the file cannot be written.
        """
        from PIL.Image import open as opened

        with temporary_folder() as folder:
            drawn = folder / "preview.png" if path is None else Path(path)
            registries.drawing()(drawn, self, str(self.report.get("model", "")))
            return opened(BytesIO(drawn.read_bytes()))
