"""Bringing a volume to a model's input contract, and what the model made of it back to its grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zoo.contract import InputContract
from zoo.errors import VolumeError
from zoo.volumes.volume import Volume

Bools = NDArray[np.bool_]
Triple = tuple[float, float, float]
Scalar = TypeVar("Scalar", bound=np.generic)

LARGEST_AXIS = 4096  # voxels
ROUNDING = 1e-6  # of a voxel, which does not make an axis one voxel longer


@dataclass(frozen=True)
class Resampled:
    """A volume's voxels as a network wants them.

        >>> fine = Volume(np.ones((4, 4, 4), bool), np.diag([-1.0, 1.0, 1.0, 1.0]))
        >>> coarse = resample_mask(fine, InputContract.around(2.0))
        >>> coarse.facts()
        {'resampled': True, 'spacing_in': [1.0, 1.0, 1.0], 'spacing': [2.0, 2.0, 2.0]}
        >>> coarse.on_source(np.zeros((4, 4, 4))).orientation
        'LAS'

    Attributes:
        source: the volume that they came from.
        array: (I, J, K), axes right, anterior, superior: a mask as bool, or intensities as
            float32. It shares memory with the source where nothing had to change.
        spacing: mm between voxel centres along these axes.
        resampled: whether the spacing was changed.
    """

    source: Volume
    array: NDArray[Any]
    spacing: Triple
    resampled: bool

    def facts(self) -> dict[str, Any]:
        """What was done, for a report; the class has an example.

        Returns:
            `resampled`, and both spacings in mm along right, anterior, superior: `spacing_in` is
            the source's, `spacing` this grid's.
        """
        given = list(self.source.canonical().spacing)
        return {"resampled": self.resampled, "spacing_in": given, "spacing": list(self.spacing)}

    def back(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Bring values on this grid to the source's grid; `resample_mask` has an example.

        Args:
            array: (I, J, K) on this grid, of any type.

        Returns:
            The values of the nearest voxels, on the source's grid and along its axes.
        """
        canonical = self.source.canonical()
        if self.resampled:
            axes = memory_order(canonical.array)
            work = array.transpose(axes)
            for position, axis in enumerate(axes):
                fine, coarse = canonical.spacing[axis], self.spacing[axis]
                indices = containing(canonical.shape[axis], fine, coarse)
                work = work.take(indices, position, mode="clip")
            array = work.transpose(np.argsort(axes))
        restored: NDArray[Scalar] = self.source.restore(laid_out_like(array, canonical.array))
        return restored

    def on_source(self, array: NDArray[Any]) -> Volume:
        """Values on the source's own voxels as a volume on its grid; the class has an example.

        Args:
            array: (I, J, K), on the source's voxels with axes RAS.

        Returns:
            The volume, with the source's affine and axes.
        """
        ordered = laid_out_like(array, self.source.canonical().array)
        return self.source.with_array(self.source.restore(ordered))


def resample_mask(volume: Volume, contract: InputContract) -> Resampled:
    """Bring a mask to RAS axes and, unless its spacing is acceptable, to the contract's spacing.

    Where voxels become larger, one is set if the centre of any that is set lies in it, so thin bone
    does not fall apart; where they become smaller, each takes the value of the one around it.

        >>> import numpy as np
        >>> fine = Volume(np.eye(4, dtype=bool)[:, :, None], np.diag([1.0, 1.0, 2.0, 1.0]))
        >>> coarse = resample_mask(fine, InputContract.around(2.0))
        >>> coarse.array[:, :, 0].tolist()
        [[True, False], [False, True]]
        >>> coarse.back(coarse.array)[:, :, 0].astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]

    Args:
        volume: the mask; what is not zero is occupied.
        contract: says which spacings are acceptable, mm.

    Returns:
        The mask on the model's grid, and the way back.

    Raises:
        VolumeError: the grid would be larger than any patient.
    """
    canonical = volume.canonical()
    mask = np.asarray(canonical.array, dtype=bool)
    if contract.accepts(canonical.spacing):
        return Resampled(volume, mask, canonical.spacing, resampled=False)
    check_extent(canonical, contract)
    axes = memory_order(mask)
    work = mask.transpose(axes)
    for position, axis in enumerate(axes):
        work = _resample_axis(work, position, canonical.spacing[axis], contract.spacing[axis])
    mask = work.transpose(np.argsort(axes))
    return Resampled(volume, mask, contract.spacing, resampled=True)


def resample_intensities(volume: Volume, contract: InputContract) -> Resampled:
    """Bring intensities to RAS axes and, unless their spacing is acceptable, to the contract's.

    Linear interpolation; where voxels become larger, what they cover is averaged first.

        >>> import numpy as np
        >>> ramp = Volume(np.arange(4.0).reshape(4, 1, 1), np.diag([1.0, 2.0, 2.0, 1.0]))
        >>> resample_intensities(ramp, InputContract.around(2.0)).array.shape
        (2, 1, 1)

    Args:
        volume: the scan.
        contract: says which spacings are acceptable, mm.

    Returns:
        The intensities on the model's grid, float32, and the way back.

    Raises:
        VolumeError: NaN, or the grid would be larger than any patient.
    """
    canonical = volume.canonical()
    array = np.asarray(canonical.array, dtype=np.float32)
    if np.isnan(array.min()):
        raise VolumeError(
            f"wanted finite values, got {int(np.isnan(array).sum())} NaN voxels; replace them first"
        )
    if contract.accepts(canonical.spacing):
        return Resampled(volume, array, canonical.spacing, resampled=False)
    check_extent(canonical, contract)
    ratios = np.divide(contract.spacing, canonical.spacing)  # voxels of the input in one of ours
    shape = tuple(map(coarse_count, canonical.shape, canonical.spacing, contract.spacing))
    # A Gaussian with the variance of the larger voxel that is averaged over.
    from scipy import ndimage

    array = ndimage.gaussian_filter(array, np.where(ratios > 1, ratios / np.sqrt(12), 0))
    array = ndimage.affine_transform(
        array, ratios, 0.5 * ratios - 0.5, shape, order=1, mode="nearest"
    )
    return Resampled(volume, array, contract.spacing, resampled=True)


def resample_labels(volume: Volume, contract: InputContract) -> Resampled:
    """Bring labels to the grid that `resample_intensities` brings their scan to.

    Every voxel takes the label at its centre.

    Raises:
        VolumeError: the grid would be larger than any patient.
    """
    canonical = volume.canonical()
    if contract.accepts(canonical.spacing):
        return Resampled(volume, canonical.array, canonical.spacing, resampled=False)
    check_extent(canonical, contract)
    array = canonical.array
    for axis, (wanted, given) in enumerate(zip(contract.spacing, canonical.spacing, strict=True)):
        indices = containing(coarse_count(array.shape[axis], given, wanted), wanted, given)
        array = array.take(indices, axis, mode="clip")
    return Resampled(volume, array, contract.spacing, resampled=True)


def check_extent(canonical: Volume, contract: InputContract) -> None:
    """Raise VolumeError for what would be resampled to a grid larger than any patient."""
    extent = np.multiply(canonical.shape, canonical.spacing)
    if (extent / contract.spacing > LARGEST_AXIS).any():
        spacing = " x ".join(f"{length:g}" for length in canonical.spacing)
        raise VolumeError(
            f"wanted at most {LARGEST_AXIS} voxels an axis after resampling,"
            f" got voxels of {spacing} mm, {extent.max():g} mm along the longest axis;"
            " repair the file's spacing or units"
        )


def memory_order(array: NDArray[Any]) -> list[int]:
    """The axes of an array, the slowest in memory first: the order in which to work on them."""
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))


def laid_out_like(array: NDArray[Scalar], other: NDArray[Any]) -> NDArray[Scalar]:
    """The same values in the memory order of another array: to mix orders of large ones is slow."""
    axes = memory_order(other)
    ordered: NDArray[Scalar] = np.ascontiguousarray(array.transpose(axes)).transpose(
        np.argsort(axes)
    )
    return ordered


def _resample_axis(mask: Bools, axis: int, given: float, wanted: float) -> Bools:
    """Resample one axis from voxels of `given` to voxels of `wanted` mm; the first corner stays."""
    count = mask.shape[axis]
    if wanted <= given:
        finer = coarse_count(count, given, wanted)
        return mask.take(containing(finer, wanted, given), axis, mode="clip")
    coarser = containing(count, given, wanted)
    starts = np.searchsorted(coarser, np.arange(coarser[-1] + 1))
    return np.logical_or.reduceat(mask, starts, axis)


def coarse_count(count: int, given: float, wanted: float) -> int:
    """How many voxels of `wanted` mm hold `count` voxels of `given` mm along an axis."""
    return int(np.ceil(count * given / wanted - ROUNDING))


def containing(count: int, length: float, other: float) -> NDArray[np.intp]:
    """Which voxel of `other` mm the centre of each of `count` voxels of `length` mm lies in."""
    return ((np.arange(count) + 0.5) * length / other).astype(np.intp)
