"""Volume: a dense voxel grid and where it lies in the patient, immutable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from numpy.typing import ArrayLike, NDArray

from zoo import registries
from zoo.errors import VolumeError

if TYPE_CHECKING:
    import os

    from nibabel.nifti1 import Nifti1Image

RAS = np.array([[0, 1], [1, 1], [2, 1]])


@dataclass(frozen=True, eq=False)
class Frame:
    """What a NIfTI header says about space beyond one affine, kept for writing it again.

    Attributes:
        qform: (4, 4), from an index to RAS+ millimetres; None where the code is 0.
        qform_code: what the qform refers to, as NIfTI numbers it.
        sform: like `qform`.
        sform_code: like `qform_code`.
        unit: of the header, "mm", "meter", "micron" or "unknown"; the matrices here are in mm.
    """

    qform: NDArray[np.float64] | None = None
    qform_code: int = 0
    sform: NDArray[np.float64] | None = None
    sform_code: int = 0
    unit: str = "mm"

    def moved(self, to_index: NDArray[Any]) -> Frame:
        """The frame of another grid; `to_index` (4, 4) maps its indices to indices of this one."""
        qform = None if self.qform is None else self.qform @ to_index
        sform = None if self.sform is None else self.sform @ to_index
        return replace(self, qform=qform, sform=sform)


@dataclass(frozen=True, eq=False)
class About:
    """What is known of a volume beyond its voxels: from its reader, and for the writers of files.

    Attributes:
        model: the name of the model that predicted it.
        weights: the sha256 of its weights.
        source: the file or folder that it was predicted from; None if that was in memory.
        remarks: what its reader found or chose, in words, for the warnings of a report.
        labels: the names of the values 1, 2, ...; empty where occupied is all that there is.
        surface: returns where the surface of what is occupied runs, if more is known of it than its
            voxels: a volume, float32, of about the distance in mm from it, positive within, whose
            grid is a part of this one's with axes RAS and a margin.
    """

    model: str = ""
    weights: str = ""
    source: Path | None = None
    remarks: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    surface: Callable[[], Volume] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A dense voxel grid and where it lies in the patient.

        >>> import numpy as np
        >>> volume = Volume(np.zeros((4, 5, 6), np.uint8), np.diag([0.5, 0.5, 2.0, 1.0]))
        >>> volume
        Volume(4x5x6 uint8, 0.5 x 0.5 x 2 mm, RAS)
        >>> volume.with_array(volume.array + 1).array.max().item()
        1

    Attributes:
        array: (I, J, K), real numbers, read-only, in native byte order; it shares memory with what
            it was made from. Trailing axes of length 1 beyond the third are dropped.
        affine: (4, 4) float64; maps an index (i, j, k) to the RAS+ millimetres of that voxel's
            centre. The identity unless given.
        frame: what a NIfTI header says beyond that; None: nothing.
        about: what is known of it beyond its voxels; None: nothing.

    Raises:
        VolumeError: another rank, an empty axis, values that are not real numbers, or an affine
            that is not finite and invertible.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    frame: Frame | None = None
    about: About | None = None

    if TYPE_CHECKING:  # `zoo/volumes/__init__.py` says why, and binds them

        @staticmethod
        def of(source: object) -> Volume:
            """A volume from whatever holds one; see `zoo.volumes.sources.volume_of`."""

        def save(self, path: str | os.PathLike[str]) -> None:
            """Write the volume in the format that the file's suffix names."""

        def to_nibabel(self) -> Nifti1Image:
            """A NIfTI-1 image with this volume's affine, qform, sform and unit."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "array", _checked_array(self.array))
        object.__setattr__(self, "affine", _checked_affine(self.affine))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(I, J, K)."""
        i, j, k = self.array.shape
        return i, j, k

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The distance between neighbouring voxels' centres along i, j and k, in millimetres."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return i, j, k

    @property
    def orientation(self) -> str:
        """Where i, j and k point to in the patient; "RAS" is right, anterior, superior."""
        return "".join(aff2axcodes(self.affine))

    def with_array(self, array: NDArray[Any]) -> Volume:
        """The same grid with other values.

            >>> import numpy as np
            >>> Volume(np.zeros((2, 2, 2))).with_array(np.ones((2, 2, 2), np.uint8))
            Volume(2x2x2 uint8, 1 x 1 x 1 mm, RAS)

        Args:
            array: (I, J, K), the values, of this volume's shape.

        Returns:
            The new volume, of which nothing else is known (`about` is None).

        Raises:
            VolumeError: another shape.
        """
        volume = replace(self, array=array, about=None)
        if volume.shape != self.shape:
            raise VolumeError(
                f"wanted an array of the volume's shape {self.shape}, got {volume.shape};"
                " use regrid() for another grid"
            )
        return volume

    def regrid(self, array: NDArray[Any], to_index: ArrayLike) -> Volume:
        """Other values on another grid, which is given by where it lies in this one.

            >>> import numpy as np
            >>> fine = Volume(np.zeros((4, 4, 4)))
            >>> fine.regrid(fine.array[::2, ::2, ::2], np.diag([2, 2, 2, 1]))
            Volume(2x2x2 float64, 2 x 2 x 2 mm, RAS)

        Args:
            array: (I', J', K'), the values.
            to_index: (4, 4), from an index of `array` to an index of this volume.

        Returns:
            The new volume; its affine, and what a NIfTI header says besides, follow from these.

        Raises:
            VolumeError: they do not make a volume.
        """
        matrix = np.asarray(to_index, dtype=np.float64)
        frame = None if self.frame is None else self.frame.moved(matrix)
        return Volume(array, self.affine @ matrix, frame)

    def rescaled(self, array: NDArray[Any], ratios: Sequence[float]) -> Volume:
        """Other values on a grid with larger or smaller voxels, whose first corner is this one's.

            >>> import numpy as np
            >>> fine = Volume(np.zeros((4, 4, 4)))
            >>> fine.rescaled(np.zeros((2, 2, 4)), (2, 2, 1)).affine[:3, 3].tolist()
            [0.5, 0.5, 0.0]

        Args:
            array: (I', J', K'), the values.
            ratios: how many times as long as this volume's the new voxels are, along i, j and k.

        Returns:
            The new volume.

        Raises:
            VolumeError: they do not make a volume.
        """
        to_index = np.diag([*ratios, 1.0])
        to_index[:3, 3] = 0.5 * np.asarray(ratios) - 0.5
        return self.regrid(array, to_index)

    def canonical(self) -> Volume:
        """The same voxels with axes permuted and flipped to the closest RAS order.

            >>> import numpy as np
            >>> lps = Volume(np.zeros((4, 5, 6), np.uint8), np.diag([-1.0, -1.0, 2.0, 1.0]))
            >>> lps.orientation, lps.canonical().orientation
            ('LPS', 'RAS')

        Returns:
            The new volume, a view: flipped axes have negative strides, which PyTorch does not take.
        """
        axes = io_orientation(self.affine)
        return self.regrid(apply_orientation(self.array, axes), inv_ornt_aff(axes, self.shape))

    def restore(self, array: NDArray[Any]) -> NDArray[Any]:
        """Bring an array from canonical axes back to this volume's axes.

            >>> import numpy as np
            >>> volume = Volume(np.arange(24).reshape(2, 3, 4), np.diag([-1.0, 1.0, 1.0, 1.0]))
            >>> bool((volume.restore(volume.canonical().array) == volume.array).all())
            True

        Args:
            array: (I, J, K), axes as those of `canonical()`.

        Returns:
            The same values along this volume's axes, a view.
        """
        back: NDArray[Any] = ornt_transform(RAS, io_orientation(self.affine))
        restored: NDArray[Any] = apply_orientation(array, back)
        return restored

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        spacing = " x ".join(f"{length:.4g}" for length in self.spacing)
        return f"Volume({shape} {self.array.dtype}, {spacing} mm, {self.orientation})"

    def _repr_html_(self) -> str:
        """What a notebook shows: a picture and a table of facts, which survive export."""
        return str(registries.showing("html_of")(self))


def check_grid(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise VolumeError unless an array of this shape and dtype can be a volume."""
    if len(shape) < 3 or any(length != 1 for length in shape[3:]):
        raise VolumeError(
            f"wanted 3 dimensions, got shape {_plain(shape)};"
            " select one volume, such as array[..., 0], or stack the slices"
        )
    if 0 in shape:
        raise VolumeError(f"wanted at least one voxel along each axis, got shape {_plain(shape)}")
    if dtype.kind not in "buif":
        raise VolumeError(
            f"wanted real numbers, one per voxel, got dtype {dtype};"
            " convert colour or complex voxels to a single number first"
        )


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(length) for length in shape)


def _checked_array(array: ArrayLike) -> NDArray[Any]:
    array = np.asarray(array)
    check_grid(array.shape, array.dtype)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    view = native.reshape(native.shape[:3]).view()
    view.flags.writeable = False
    return view


def _checked_affine(affine: ArrayLike) -> NDArray[np.float64]:
    try:
        matrix = np.array(affine, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise VolumeError(f"wanted a 4x4 affine of numbers, got {type(affine).__name__}") from error
    if matrix.shape != (4, 4):
        raise VolumeError(f"wanted an affine of shape (4, 4), got {matrix.shape}")
    if not _is_invertible(matrix):
        raise VolumeError(
            "wanted a finite, invertible affine whose last row is 0 0 0 1,"
            f" got {matrix.tolist()}; repair the file's orientation or give the affine yourself"
        )
    matrix.flags.writeable = False
    return matrix


def _is_invertible(matrix: NDArray[np.float64]) -> bool:
    if not np.isfinite(matrix).all() or not np.array_equal(matrix[3], [0, 0, 0, 1]):
        return False
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    return bool(lengths.all()) and abs(np.linalg.det(matrix[:3, :3] / lengths)) > 1e-6
