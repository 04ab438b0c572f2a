"""MetaImage: .mha, and .mhd with its data beside it.

ITK itself is not used: damaged files make it corrupt the memory of its process, and it does not
notice that a disk is full.
"""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from isal import isal_zlib
from numpy.typing import ArrayLike, NDArray

from zoo.errors import VolumeError
from zoo.volumes.formats._bounds import DEFLATED, check_size, data_file, product
from zoo.volumes.formats.dtypes import storable
from zoo.volumes.shear import is_sheared, shear
from zoo.volumes.volume import Volume, check_grid

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's world is left, posterior, superior
LONGEST_HEADER = 1 << 16  # bytes
TYPES = {
    **{"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2"},
    **{"MET_INT": "i4", "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4"},
    **{"MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}
MET_TYPES = {code: name for name, code in TYPES.items() if "LONG" not in name or code[1] == "8"}
COMPRESSION = 1
ALIASES = {  # older words for a key
    **dict.fromkeys(("Position", "Origin"), "Offset"),
    **dict.fromkeys(("Orientation", "Rotation"), "TransformMatrix"),
    **{"ElementByteOrderMSB": "BinaryDataByteOrderMSB"},
}
TEXT = "utf-8", "surrogateescape"  # encoding, and what becomes of other bytes
DATA = "ElementDataFile"  # the last line of a header
LOCAL = "LOCAL"

Header = dict[str, str]


def read(path: Path) -> Volume:
    """Read a .mha file, or a .mhd file and the data file that it names."""
    with path.open("rb") as file:
        header = _read_header(file)
        if header[DATA].upper() == LOCAL:
            array = _read_data(header, file)
        else:
            with data_file(path, header[DATA]).open("rb") as data:
                array = _read_data(header, data)
    rank = array.ndim
    matrix = _numbers(header, "TransformMatrix", np.eye(rank)).reshape(rank, rank)
    affine = np.eye(4)
    affine[:3, :3] = matrix[:3, :3].T * _spacing(header, rank)[:3]
    affine[:3, 3] = _numbers(header, "Offset", np.zeros(rank))[:3]
    return Volume(array, TO_RAS @ affine)


def size_in_header(path: Path) -> tuple[int, float]:
    """The number of voxels, and what they fill, mm^3, by the header of a .mha or .mhd file."""
    with path.open("rb") as file:
        header = _read_header(file)
    lengths = header["DimSize"].split()
    voxels = product(map(int, lengths))
    return voxels, voxels * float(np.prod(_spacing(header, len(lengths))))


def _spacing(header: Header, rank: int) -> NDArray[np.float64]:
    """From centre to centre, mm; where only the size of a voxel is known, there are no gaps."""
    key = "ElementSpacing" if "ElementSpacing" in header else "ElementSize"
    return _numbers(header, key, np.ones(rank))


def _read_header(file: BinaryIO) -> Header:
    """What the lines before the voxels say, up to the one that says where these are."""
    header: Header = {}
    while DATA not in header:
        key, is_line, value = file.readline(LONGEST_HEADER).decode(*TEXT).partition("=")
        if not is_line or file.tell() > LONGEST_HEADER:
            raise ValueError(f"a header without {DATA}")
        key = key.strip()
        header[ALIASES.get(key, key)] = value.strip()
    return header


def _read_data(header: Header, stream: BinaryIO) -> NDArray[Any]:
    """The voxels, i fastest."""
    shape = tuple(int(length) for length in header["DimSize"].split())
    order = ">" if _is_set(header, "BinaryDataByteOrderMSB") else "<"
    dtype = np.dtype(order + TYPES[header["ElementType"]])
    check_grid(shape, dtype)
    if (channels := int(header.get("ElementNumberOfChannels", 1))) != 1:
        raise VolumeError(f"wanted one number per voxel, got {channels}; select one channel first")
    if not _is_set(header, "BinaryData", default=True):
        raise VolumeError("wanted binary voxels, got numbers as text; convert the file")
    wanted, packed = product(shape) * dtype.itemsize, _is_set(header, "CompressedData")
    stored = os.fstat(stream.fileno()).st_size - stream.tell()
    check_size(product(shape), dtype.itemsize, stored, DEFLATED if packed else 1)
    if packed:
        content = isal_zlib.decompressobj().decompress(stream.read(), wanted)
    else:
        stream.seek(_start(header, stored - wanted), os.SEEK_CUR)
        content = stream.read(wanted)
    if len(content) != wanted:
        raise ValueError(f"Expected {wanted} bytes of voxels, got {len(content)}")
    return np.frombuffer(content, dtype).reshape(shape, order="F")


def _start(header: Header, spare: int) -> int:
    """How many bytes come before the voxels, of so many to spare; -1 says that they come last."""
    start = int(header.get("HeaderSize", 0))
    return spare if start == -1 else max(start, 0)


def _is_set(header: Header, key: str, *, default: bool = False) -> bool:
    return header.get(key, str(default))[:1] in "TtYy1"


def _numbers(header: Header, key: str, default: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers under a key, as many as there are by default."""
    if key not in header:
        return default
    numbers = np.array(header[key].split(), np.float64)
    if numbers.size != default.size:
        raise ValueError(f"{numbers.size} numbers of {key}, wanted {default.size}")
    return numbers


def write(volume: Volume, path: Path) -> None:
    """Write a compressed .mha file, or a .mhd file with a .zraw file beside it."""
    if is_sheared(volume):
        raise VolumeError(
            f"wanted axes at right angles for MetaImage, got {shear(volume):.1f} degrees less;"
            " write NIfTI instead"
        )
    array = np.asarray(storable(volume.array))
    data = path.with_suffix(".zraw")
    packed = zlib.compress(array.tobytes(order="F"), COMPRESSION)
    header = _header_of(volume, array.dtype, len(packed))
    if path.suffix.lower() == ".mha":
        path.write_bytes(f"{header}{DATA} = {LOCAL}\n".encode() + packed)
    else:
        data.write_bytes(packed)
        path.write_bytes(f"{header}{DATA} = {data.name}\n".encode(*TEXT))


def _header_of(volume: Volume, dtype: np.dtype[Any], size: int) -> str:
    """The lines of a header but the last, for so many compressed bytes."""
    affine = TO_RAS @ volume.affine
    values: dict[str, Any] = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": sys.byteorder == "big",
        "CompressedData": True,
        "CompressedDataSize": size,
        "TransformMatrix": _text((affine[:3, :3] / volume.spacing).T),
        "Offset": _text(affine[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _text(volume.spacing),
        "DimSize": _text(volume.shape),
        "ElementType": MET_TYPES[dtype.str[1:]],
    }
    return "".join(f"{key} = {value}\n" for key, value in values.items())


def _text(numbers: ArrayLike) -> str:
    return " ".join(repr(number) for number in np.ravel(numbers).tolist())
