"""Volumes from whatever a caller has: a path, an image, an array or a tensor."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from zoo.errors import VolumeError
from zoo.volumes.files import read_volume
from zoo.volumes.formats import metaimage, nifti, nrrd, numpy
from zoo.volumes.formats.nifti import from_nibabel
from zoo.volumes.volume import Volume

SIZED = {  # formats whose header tells the size, by their suffixes
    (".nii", ".nii.gz"): nifti.size_in_header,
    (".nrrd", ".nhdr"): nrrd.size_in_header,
    (".mha", ".mhd"): metaimage.size_in_header,
    (".npy", ".npz"): numpy.size_in_header,
}


def volume_of(source: object) -> Volume:
    """A volume from a path, a nibabel image, a NumPy array, a torch tensor or a Volume.

        >>> import numpy as np, zoo
        >>> zoo.Volume.of(np.zeros((2, 3, 4), np.int16))
        Volume(2x3x4 int16, 1 x 1 x 1 mm, RAS)

    Args:
        source: a path of a file, or of a folder that a plugin reads; a nibabel image; an array or a
            tensor (I, J, K), on any device, which gets the identity affine: voxels of 1 mm, RAS.

    Returns:
        The volume; a Volume is returned as it is. Nothing is copied that does not have to be.

    Raises:
        ReadError: a path to a file that is missing, damaged or not what its name says.
        VolumeError: something else, or what cannot be a volume; see `Volume`.
    """
    if isinstance(source, Volume):
        return source
    if isinstance(source, np.ndarray):
        return Volume(source)
    if isinstance(source, str | os.PathLike):
        return read_volume(source)
    if isinstance(source, SpatialImage):
        return from_nibabel(source)
    torch = sys.modules.get("torch")  # whoever passes a tensor has imported it
    if torch is not None and isinstance(source, torch.Tensor):
        return Volume(_array_of_tensor(source, torch))
    raise VolumeError(
        "wanted a path, a nibabel image, a NumPy array, a torch tensor or a Volume,"
        f" got {type(source).__name__}"
    )


def _array_of_tensor(tensor: Any, torch: Any) -> NDArray[Any]:
    if tensor.dtype == torch.bfloat16:  # NumPy has no such type
        tensor = tensor.float()
    try:
        array: NDArray[Any] = tensor.numpy(force=True)
    except (TypeError, RuntimeError) as error:
        raise VolumeError(
            f"wanted a dense tensor of real numbers, got {tensor.layout} of {tensor.dtype};"
            " convert it with .to_dense() or .float()"
        ) from error
    return array


def size_in_header(path: Path) -> tuple[int, float]:
    """The number of voxels of a volume, and what they fill, mm^3, without reading them.

    For other formats than these, and damaged files, the bytes of the file stand for voxels of 1
    mm^3.
    """
    for suffixes, read in SIZED.items():
        if path.name.lower().endswith(suffixes):
            with suppress(Exception):  # a parser raises anything; whoever reads it says what
                return read(path)
    files = path.rglob("*") if path.is_dir() else [path]
    size = sum(each.stat().st_size for each in files if each.is_file())
    return size, float(size)
