"""NRRD: .nrrd, and .nhdr with its data beside it (pynrrd, the extra `nrrd`)."""

from __future__ import annotations

import bz2
import os
import re
import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from zoo.errors import MissingDependency, VolumeError
from zoo.volumes.formats._bounds import DEFLATED, check_size, data_file, product
from zoo.volumes.formats.dtypes import storable
from zoo.volumes.labels import colour_of, names_in_order
from zoo.volumes.volume import About, Volume

LPS = "left-posterior-superior"
TO_RAS = {
    LPS: (-1.0, -1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0, 1.0),
    "right-anterior-superior": (1.0, 1.0, 1.0),
}
ABBREVIATIONS = {"lps": LPS, "las": "left-anterior-superior", "ras": "right-anterior-superior"}
MILLIMETRES = {"": 1.0, "mm": 1.0, "cm": 10.0, "m": 1e3, "um": 1e-3, "µm": 1e-3}
COMPRESSION = 1
GZIP = 31  # window bits that stand for a gzip header
TEXT = ("ASCII", "ascii", "text", "txt")
TYPES = {  # of NRRD, in NumPy's words
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(
        ("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"
    ),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(
        ("longlong", "long long", "long long int", "signed long long", "signed long long int"), "i8"
    ),
    **dict.fromkeys(("int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int"), "u8"),
    **dict.fromkeys(("uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
START = 256  # bytes of a header that have the time in them
TIME = re.compile(rb"(?<=# on )[\d-]{10} [\d:]{8}")
SEGMENT = re.compile(r"Segment(\d+)_LabelValue")
Header = dict[str, Any]


@dataclass(frozen=True)
class Packing:
    """How voxels are packed: what unpacks them, and what a byte can become, at most."""

    decompressor: Callable[[], Any]
    ratio: int


GZIPPED = Packing(partial(isal_zlib.decompressobj, wbits=GZIP), DEFLATED)
BZIPPED = Packing(bz2.BZ2Decompressor, 1 << 15)
PACKINGS = {"gzip": GZIPPED, "gz": GZIPPED, "bzip2": BZIPPED, "bz2": BZIPPED}


def read(path: Path) -> Volume:
    """Read a .nrrd file, or a .nhdr file and the data file that it names."""
    with path.open("rb") as file:
        header = _pynrrd().read_header(file)
        with _opened_data(header, file, path) as stream:
            array = _read_data(header, stream)
    directions = _directions(header, array.ndim)
    spatial = np.isfinite(directions).all(axis=1)
    lengths = np.array(array.shape)
    if spatial.sum() != 3 or (lengths[~spatial] != 1).any():
        raise VolumeError(
            f"wanted three spatial axes and one number per voxel, got shape {array.shape}"
            f" with {spatial.sum()} spatial axes; select one volume or channel first"
        )
    array = array.reshape(lengths[spatial], order="F")
    affine = np.eye(4)
    affine[:3, :3] = directions[spatial].T
    affine[:3, 3] = header.get("space origin", np.zeros(3))
    to_ras = np.array(_axis_signs(header)) * _millimetres(header)
    names = _names(header)
    about = About(labels=names) if names else None
    return Volume(array, np.diag([*to_ras, 1.0]) @ affine, about=about)


def size_in_header(path: Path) -> tuple[int, float]:
    """The number of voxels, and what they fill, mm^3, by the header of a .nrrd or .nhdr file."""
    with path.open("rb") as file:
        header = _pynrrd().read_header(file)
    directions = _directions(header, len(header["sizes"])) * _millimetres(header)
    spatial = directions[np.isfinite(directions).all(axis=1)]
    voxels = product(header["sizes"])
    return voxels, voxels * abs(float(np.linalg.det(spatial)))


def write(volume: Volume, path: Path) -> None:
    """Write a .nrrd file, or a .nhdr file and a .raw.gz file beside it; LPS millimetres, gzip.

    Labels have their names and colours as in a segmentation of 3D Slicer, .seg.nrrd.
    """
    to_lps = np.diag([*TO_RAS[LPS], 1.0]) @ volume.affine
    header = {
        "encoding": "gzip",
        "space": LPS,
        "space directions": to_lps[:3, :3].T,
        "space origin": to_lps[:3, 3],
        "space units": ["mm", "mm", "mm"],
        "kinds": ["domain", "domain", "domain"],
        **_segments(volume),
    }
    array = storable(volume.array)
    _pynrrd().write(str(path), array, header, compression_level=COMPRESSION, index_order="F")
    with path.open("r+b") as file:  # the same volume gives the same bytes, at whatever time
        start = file.read(START)
        file.seek(0)
        file.write(TIME.sub(b"1970-01-01 00:00:00", start, count=1))


def _segments(volume: Volume) -> dict[str, str]:
    """The fields of Slicer's segmentation, by their names; none where there are no labels.

    https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html
    """
    names = volume.about.labels if volume.about else ()
    if not names:
        return {}
    fields = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    extent = " ".join(f"0 {length - 1}" for length in volume.shape)
    for value, name in enumerate(names, 1):
        segment = {
            "ID": f"Segment_{value}",
            "Name": _ascii(name) or f"label {value}",
            "Color": " ".join(f"{part / 255:.6g}" for part in colour_of(value)),
            "LabelValue": str(value),
            "Layer": "0",
            "Extent": extent,
        }
        fields |= {f"Segment{value - 1}_{field}": text for field, text in segment.items()}
    return fields


def _names(header: Header) -> tuple[str, ...]:
    """The names of labels in a segmentation of 3D Slicer; none in any other file."""
    found = {}
    for key, value in header.items():
        if (match := SEGMENT.fullmatch(key)) and str(value).isdecimal():
            found[int(str(value)[:9])] = str(header.get(f"Segment{match[1]}_Name", ""))
    return names_in_order(found)


def _ascii(text: str) -> str:
    """The letters without their accents: a NRRD header is ASCII."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _opened_data(header: Header, file: BinaryIO, path: Path) -> AbstractContextManager[BinaryIO]:
    """The stream that the voxels are in, at their beginning: the file's own, or another's."""
    name = header.pop("data file", header.pop("datafile", None))
    if name is None:
        return nullcontext(file)
    return data_file(path, str(name)).open("rb")


def _read_data(header: Header, stream: BinaryIO) -> NDArray[Any]:
    """The voxels, in the shape that the header says."""
    stored = os.fstat(stream.fileno()).st_size
    encoding, dtype = header.get("encoding"), _dtype(header)
    sizes = tuple(int(length) for length in header["sizes"])
    packing = PACKINGS.get(str(encoding))
    ratio = packing.ratio if packing else dtype.itemsize if encoding in TEXT else 1
    check_size(product(sizes), dtype.itemsize, stored, ratio)
    lines, skipped = (_skipped(header, what) for what in ("line", "byte"))
    if lines > stored:
        raise ValueError(f"{lines} lines to skip in a file of {stored} bytes")
    if packing is None:
        return cast(NDArray[Any], _pynrrd().read_data(header, stream, index_order="F"))
    # pynrrd would unpack whatever there is, and takes several times as long for it.
    for _ in range(lines):
        stream.readline()
    wanted = skipped + product(sizes) * dtype.itemsize
    data = packing.decompressor().decompress(stream.read(), wanted + 1)
    if len(data) != wanted:
        raise ValueError(f"Expected {wanted} bytes of voxels, got {len(data)}")
    return np.frombuffer(data, dtype, offset=skipped).reshape(sizes, order="F")


def _skipped(header: Header, what: str) -> int:
    """How many lines or bytes come before the voxels; -1: as many as there are besides these."""
    return max(int(header.get(f"{what} skip") or header.get(f"{what}skip") or 0), 0)


def _dtype(header: Header) -> np.dtype[Any]:
    order = ">" if header.get("endian") == "big" else "<"
    return np.dtype(order + TYPES[header["type"]])


def _pynrrd() -> ModuleType:
    try:
        import nrrd
    except ImportError as error:
        raise MissingDependency(
            "NRRD files need pynrrd; install it: pip install 'sparse-volume-zoo[nrrd]'"
        ) from error
    return cast(ModuleType, nrrd)


def _directions(header: dict[str, Any], rank: int) -> NDArray[np.float64]:
    """(rank, 3): the step of each array axis in space; NaN for an axis that is not spatial."""
    if "space directions" in header:
        directions = np.array(header["space directions"], dtype=np.float64)
        if directions.shape == (rank, 3):
            return directions
        raise ValueError(f"space directions of shape {directions.shape} for {rank} axes")
    steps = np.array(header.get("spacings", np.ones(rank)), dtype=np.float64)
    spatial = np.flatnonzero(np.isfinite(steps))[:3]
    directions = np.full((rank, 3), np.nan)
    directions[spatial] = np.eye(3)[: len(spatial)] * steps[spatial, np.newaxis]
    return directions


def _axis_signs(header: dict[str, Any]) -> tuple[float, float, float]:
    """Signs that turn the file's axes to RAS; without `space` they count as LPS, as in ITK."""
    space = str(header.get("space", LPS)).lower()
    space = ABBREVIATIONS.get(space, space)
    if space not in TO_RAS:
        raise VolumeError(f"wanted a space of {', '.join(TO_RAS)}, got {space!r}; convert the file")
    return TO_RAS[space]


def _millimetres(header: dict[str, Any]) -> float:
    units = set(header.get("space units", ["mm"]))
    if len(units) == 1 and (unit := units.pop()) in MILLIMETRES:
        return MILLIMETRES[unit]
    raise VolumeError(f"wanted space units of mm, got {header['space units']}; convert the file")
