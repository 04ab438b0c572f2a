"""MetaImage: .mha, and .mhd with its data beside it (SimpleITK, the extra `itk`)."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np

from zoo.errors import MissingDependency, VolumeError
from zoo.volumes.formats._dtypes import storable
from zoo.volumes.shear import is_sheared, shear
from zoo.volumes.volume import Volume, check_grid

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's world is left, posterior, superior


def read(path: Path) -> Volume:
    """Read a .mha file, or a .mhd file and the data file that it names."""
    itk = _itk()
    image = itk.ReadImage(str(path), imageIO="MetaImageIO")
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise VolumeError(
            f"wanted one number per voxel, got {image.GetNumberOfComponentsPerPixel()};"
            " select one channel first"
        )
    array = itk.GetArrayFromImage(image).T  # k j i -> i j k
    check_grid(array.shape, array.dtype)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Volume(array, TO_RAS @ affine)


def write(volume: Volume, path: Path) -> None:
    """Write a compressed .mha file, or a .mhd file with a .zraw file beside it."""
    if is_sheared(volume):
        raise VolumeError(
            f"wanted axes at right angles for MetaImage, got {shear(volume):.1f} degrees less;"
            " write NIfTI instead"
        )
    itk = _itk()
    array = np.asarray(storable(volume.array))
    image = itk.GetImageFromArray(np.ascontiguousarray(array.T))
    affine = TO_RAS @ volume.affine
    image.SetSpacing(volume.spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / volume.spacing).ravel().tolist())
    itk.WriteImage(image, str(path), useCompression=True, imageIO="MetaImageIO")


def _itk() -> ModuleType:
    try:
        import SimpleITK
    except ImportError as error:
        raise MissingDependency(
            "MetaImage files need SimpleITK; install it: pip install 'sparse-volume-zoo[itk]'"
        ) from error
    found: ModuleType = SimpleITK
    return found
