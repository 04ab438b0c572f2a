"""NIfTI: .nii and .nii.gz, read as NIfTI-1 or NIfTI-2, written as NIfTI-1 (nibabel)."""

from __future__ import annotations

import gzip
import json
import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import unescape
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
from nibabel.nifti1 import Nifti1Extension, Nifti1Header, Nifti1Image
from nibabel.nifti2 import Nifti2Header, Nifti2Image
from nibabel.spatialimages import HeaderDataError, SpatialImage
from numpy.typing import NDArray

from zoo.errors import VolumeError
from zoo.version import __version__
from zoo.volumes.formats._bounds import DEFLATED, check_memory, check_size, product
from zoo.volumes.formats.dtypes import narrowed, storable
from zoo.volumes.labels import colour_of, names_in_order
from zoo.volumes.volume import About, Frame, Volume, check_grid

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

UNIT_OF_CODE = {1: "meter", 2: "mm", 3: "micron"}
MILLIMETRES = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}
SILENCE = logging.Logger("zoo", logging.CRITICAL + 1)  # our own, so nibabel's stays as it is
UNSCALED = ((None, None), (1.0, 0.0))  # slope and intercept
TABLE, COMMENT = 0, 6  # codes of extensions: of any kind, text
LABEL = re.compile(
    r'<Label\b[^>]{0,500}?\bKey="(\d{1,9})"[^>]{0,500}>(?:<!\[CDATA\[)?([^<\]]{1,200})(?:\]\]>)?</Label>'
)
LONGEST_TABLE = 1 << 18  # bytes
DESCRIPTION = 79  # bytes, and one that ends it
CHUNK = 1 << 18  # bytes
COMPRESSION = 1  # masks shrink a hundredfold at any level; this one is the fastest


def read(path: Path) -> Volume:
    """Read a .nii or .nii.gz file."""
    with _opened(path, "rb") as stream:
        image_type = _image_type(stream)
        header = image_type.header_class.from_fileobj(stream, check=False)
        _check_spacing(header)
        _check_size(header, path)
        stream.seek(0)
        files = image_type.make_file_map({"image": stream})
        volume = from_nibabel(image_type.from_file_map(files, mmap=False))
        while stream.read(CHUNK):
            pass  # gzip compares its checksum only at the end
    return volume


def size_in_header(path: Path) -> tuple[int, float]:
    """The number of voxels in a .nii or .nii.gz file, and what they fill, mm^3; reads no voxel."""
    with _opened(path, "rb") as stream:
        header = _image_type(stream).header_class.from_fileobj(stream, check=False)
    scale = MILLIMETRES[UNIT_OF_CODE.get(int(header["xyzt_units"]) % 8, "unknown")]
    voxels = math.prod(header.get_data_shape())
    return voxels, voxels * abs(math.prod(scale * header["pixdim"][1:4].astype(float)))


def write(volume: Volume, path: Path) -> None:
    """Write a .nii or .nii.gz file; the same volume gives the same bytes."""
    with _opened(path, "wb") as stream:
        to_nibabel(volume).to_stream(stream)


def from_nibabel(image: SpatialImage) -> Volume:
    """A volume from any nibabel image; the affine is the one that nibabel picks, in millimetres.

    Stored integers stay integers unless the header scales them.
    """
    check_grid(image.shape, np.dtype(image.get_data_dtype()))
    array = np.asanyarray(image.dataobj)
    affine = image.header.get_best_affine() if image.affine is None else image.affine
    if not isinstance(image.header, Nifti1Header):
        return Volume(array, affine)
    frame, names = _frame(image.header), _names(image.header)
    about = About(labels=names) if names else None
    return Volume(array, _scaled(affine, MILLIMETRES[frame.unit]), frame, about)


def to_nibabel(volume: Volume) -> Nifti1Image:
    """A NIfTI-1 image of a volume, in the unit of its frame.

        >>> import numpy as np, zoo
        >>> image = zoo.Volume(np.ones((2, 3, 4), np.uint8), np.diag([2.0, 2, 2, 1])).to_nibabel()
        >>> image.shape, [float(length) for length in image.header.get_zooms()]
        ((2, 3, 4), [2.0, 2.0, 2.0])

    Args:
        volume: the volume. A frame that contradicts its affine loses: the affine is then written as
            the sform.

    Returns:
        A `nibabel.Nifti1Image`.
    """
    frame = volume.frame or Frame()
    shrink = 1 / MILLIMETRES[frame.unit]
    affine = _scaled(volume.affine, shrink)
    array = narrowed(storable(volume.array))
    image = Nifti1Image(array, affine, dtype=array.dtype)
    image.header.set_xyzt_units(frame.unit)
    _say_what_it_is(image.header, volume)
    if volume.frame is None:
        return image
    header = image.header.copy()
    header.set_sform(_scaled(frame.sform, shrink), frame.sform_code)
    header.set_qform(_scaled(frame.qform, shrink), frame.qform_code)
    best = header.get_best_affine()
    agrees = np.allclose(best, affine, rtol=1e-5, atol=1e-4 * shrink * min(volume.spacing))
    return Nifti1Image(array, best, header) if agrees else image


def _say_what_it_is(header: Nifti1Header, volume: Volume) -> None:
    """The names of several labels, and where it comes from.

    The names are in a table as TotalSegmentator writes it, which reads the first extension. The
    model is in the description, and in a comment also version, weights and labels, as JSON.
    """
    about = volume.about
    if about is None:
        return
    if len(about.labels) > 1:
        header.extensions.append(Nifti1Extension(TABLE, _label_table(about.labels)))
    if not about.model:
        return
    facts = {"model": about.model, "zoo": __version__, "weights_sha256": about.weights}
    labels = {str(number): name for number, name in enumerate(about.labels, 1)}
    header["descrip"] = f"{about.model}, zoo {__version__}".encode()[:DESCRIPTION]
    text = json.dumps({**facts, "labels": labels}).encode()
    header.extensions.append(Nifti1Extension(COMMENT, text))


def _names(header: Nifti1Header) -> tuple[str, ...]:
    """The names of labels in a table such as `_label_table` writes; none where there is none.

    It is searched, not parsed: XML of others may grow without bounds.
    """
    for extension in header.extensions:
        content = extension.get_content() if extension.get_code() == TABLE else b""
        text = bytes(content)[:LONGEST_TABLE].decode("utf-8", "replace")
        if found := LABEL.findall(text):
            return names_in_order({int(value): unescape(name) for value, name in found})
    return ()


def _label_table(names: Sequence[str]) -> bytes:
    """The XML of a table of labels: value, colour with parts from 0 to 1, and name."""
    root = Element("CaretExtension")
    information = SubElement(root, "VolumeInformation", Index="0")
    table = SubElement(information, "LabelTable")
    for value, name in enumerate(names, 1):
        red, green, blue = (f"{part / 255:.6g}" for part in colour_of(value))
        facts = {"Key": str(value), "Red": red, "Green": green, "Blue": blue, "Alpha": "1"}
        SubElement(table, "Label", facts).text = name
    SubElement(information, "VolumeType").text = "Label"
    return cast(bytes, tostring(root, encoding="UTF-8", xml_declaration=True))


class _Quiet:
    """A header that reports what is wrong with it by raising alone.

    nibabel also logs it, to stderr unless told otherwise, and quotes the file's bytes.
    """

    def check_fix(self, logger: object = None, error_level: int | None = None) -> None:
        super().check_fix(SILENCE, error_level)  # type: ignore[misc]


class _Header1(_Quiet, Nifti1Header):
    pass


class _Header2(_Quiet, Nifti2Header):
    pass


class _Image1(Nifti1Image):
    header_class = _Header1


class _Image2(Nifti2Image):
    header_class = _Header2


IMAGE_OF_HEADER_SIZE: dict[int, type[Nifti1Image]] = {348: _Image1, 540: _Image2}


@contextmanager
def _opened(path: Path, mode: Literal["rb", "wb"]) -> Iterator[BufferedIOBase]:
    with path.open(mode) as file:
        stream = cast(BufferedIOBase, file)
        if path.suffix.lower() != ".gz":
            yield stream
            return
        with _GzipFile("", mode, COMPRESSION, stream, mtime=0) as unpacked:
            yield cast(BufferedIOBase, unpacked)


class _GzipFile(gzip.GzipFile):
    """Fills a large buffer in small steps; GzipFile would unpack all of it into a second one."""

    def readinto(self, buffer: WriteableBuffer) -> int:
        view, filled = memoryview(buffer).cast("B"), 0
        while count := super().readinto(view[filled : filled + CHUNK]):
            filled += count
        return filled


def _image_type(stream: BufferedIOBase) -> type[Nifti1Image]:
    start = stream.read(4)
    stream.seek(0)
    sizes = int.from_bytes(start, "little"), int.from_bytes(start, "big")
    for size, image_type in IMAGE_OF_HEADER_SIZE.items():
        if size in sizes:
            return image_type
    raise ValueError(f"a file that starts with {start!r}, which is not a NIfTI header")


def _check_spacing(header: Nifti1Header) -> None:
    """Refuse voxels of no size where nothing else gives one; nibabel would take 1 mm."""
    lengths = header["pixdim"][1:4]
    if header["sform_code"] == 0 and not lengths.all():
        raise VolumeError(
            f"wanted voxels of some size, got {lengths.tolist()} mm and no sform;"
            " repair the header's pixdim"
        )


def _check_size(header: Nifti1Header, path: Path) -> None:
    """Refuse more voxels than the file can hold; those of a scaled one become float64."""
    header.check_fix()
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    check_grid(shape, dtype)
    ratio = DEFLATED if path.suffix.lower() == ".gz" else 1
    check_size(product(shape), dtype.itemsize, path.stat().st_size, ratio)
    if header.get_slope_inter() not in UNSCALED:
        check_memory(product(shape) * np.dtype(np.float64).itemsize)


def _frame(header: Nifti1Header) -> Frame:
    unit = UNIT_OF_CODE.get(int(header["xyzt_units"]) % 8, "unknown")
    scale = MILLIMETRES[unit]
    sform, sform_code = header.get_sform(coded=True)
    try:
        qform, qform_code = header.get_qform(coded=True)
    except HeaderDataError:  # a broken quaternion does no harm beside a good sform
        qform, qform_code = None, 0
    return Frame(_scaled(qform, scale), qform_code, _scaled(sform, scale), sform_code, unit)


def _scaled(affine: NDArray[Any] | None, scale: float) -> Any:
    """The affine with its output lengths multiplied by `scale`."""
    return None if affine is None else np.diag([scale, scale, scale, 1.0]) @ affine
