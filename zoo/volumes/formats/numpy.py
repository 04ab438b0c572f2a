"""NumPy: .npy holds the array alone; .npz holds `array` and `affine`. Pickles are refused."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from zoo.volumes.formats._bounds import DEFLATED, check_size, product
from zoo.volumes.volume import Volume


def read(path: Path) -> Volume:
    """Read a .npy file (identity affine), or a .npz file with `array` and perhaps `affine`."""
    stored = path.stat().st_size
    if path.suffix.lower() == ".npy":
        with path.open("rb") as stream:
            return Volume(_read_array(stream, stored))
    with ZipFile(path) as archive:
        entries = {name.removesuffix(".npy"): name for name in archive.namelist()}
        if "array" not in entries:
            raise ValueError(f"no entry named 'array' among {list(entries)}")
        with archive.open(entries["array"]) as stream:
            array = _read_array(stream, stored * DEFLATED)
        if "affine" not in entries:
            return Volume(array)
        with archive.open(entries["affine"]) as stream:
            return Volume(array, _read_array(stream, stored * DEFLATED))


def size_in_header(path: Path) -> tuple[int, float]:
    """The number of voxels, and what they fill, mm^3, by the header of a .npy or .npz file."""
    if path.suffix.lower() == ".npy":
        with path.open("rb") as stream:
            voxels = product(_read_header(stream)[0])
        return voxels, float(voxels)
    with ZipFile(path) as archive:
        with archive.open("array.npy") as stream:
            voxels = product(_read_header(stream)[0])
        if "affine.npy" not in archive.namelist():
            return voxels, float(voxels)
        with archive.open("affine.npy") as stream:
            affine = _read_array(stream, path.stat().st_size * DEFLATED)
    return voxels, voxels * float(abs(np.linalg.det(affine[:3, :3])))


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    return shape, dtype


def _read_array(stream: IO[bytes], most: int) -> NDArray[Any]:
    """An array of at most so many bytes."""
    shape, dtype = _read_header(stream)
    check_size(product(shape), dtype.itemsize, most)
    stream.seek(0)
    return npy.read_array(stream, allow_pickle=False)


def write(volume: Volume, path: Path) -> None:
    """Write a .npy file (the affine is lost) or a .npz file."""
    with path.open("wb") as stream:
        if path.suffix.lower() == ".npy":
            np.lib.format.write_array(stream, volume.array, allow_pickle=False)
        else:
            np.savez_compressed(stream, array=volume.array, affine=volume.affine)
