"""Slices: what DICOM headers say about each image, or each frame of a multi-frame file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian
from zoo.plugins import VolumeError

from zoo_dicom.sources import Source

Floats = NDArray[np.float64]
IDENTITY = ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription")


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice of `shape` (rows, columns), and where it lies: NaN if its header does not say.

    `position` (3,) is the first pixel's centre, and `steps` (2, 3) lead to the next column and to
    the next row, in LPS+ millimetres, as DICOM has it. `slope` times a stored pixel plus
    `intercept` is its value. `series` is a UID, a number and a description. `kernel` is the name of
    the filter that a CT was reconstructed with, "" if the header does not say.
    """

    source: Source
    frame: int
    series: tuple[str, ...]
    shape: tuple[int, int]
    position: Floats
    steps: Floats
    slope: float
    intercept: float
    modality: str = ""
    kernel: str = ""

    def __str__(self) -> str:
        return f"{self.source.name!r}" + (f" frame {self.frame + 1}" if self.frame else "")

    def is_placed(self) -> bool:
        return bool(np.isfinite(self.position).all() and np.isfinite(self.steps).all())


def slices_of(source: Source) -> list[Slice]:
    """Every slice in a file but localizers; none in what is no DICOM image.

    Raises:
        VolumeError: a header that is damaged, deflated, or not DICOM though the name ends in .dcm.
    """
    with source.opened() as stream:
        try:
            read_preamble(stream, force=False)
        except InvalidDicomError:
            if source.name.lower().endswith(".dcm"):
                raise
            return []
        meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag.group != 2)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:  # grows to any size
            raise VolumeError(f"{source.name!r} is deflated; inflate it with dcmconv first")
        stream.seek(0)
        header = dcmread(stream, stop_before_pixels=True)
        kind = UID(meta.get("MediaStorageSOPClassUID", ""))
        if "Rows" in header:
            return list(_slices(source, header))
        if not kind or "Image Storage" in kind.name:
            raise EOFError("its header is cut off")
        return []


def _slices(source: Source, header: Dataset) -> Iterator[Slice]:
    if "LOCALIZER" in (header.get("ImageType") or ()) or header.get("Modality") == "SEG":
        return
    series = tuple(str(header.get(name, "")) for name in IDENTITY)
    frames = header.get("PerFrameFunctionalGroupsSequence") or [Dataset()]
    colours = int(header.get("SamplesPerPixel") or 1)
    is_told = colours == 1 and len(frames) == int(header.get("NumberOfFrames") or 1)
    for number, frame in enumerate(frames):
        position = _group(header, frame, "PlanePositionSequence").get("ImagePositionPatient")
        values = _group(header, frame, "PixelValueTransformationSequence")
        yield Slice(
            source,
            number,
            series,
            (int(header.Rows), int(header.Columns)),
            _numbers(position if is_told else None, 3),
            _steps(header, frame),
            float(values.get("RescaleSlope") or 1),
            float(values.get("RescaleIntercept") or 0),
            str(header.get("Modality", "")),
            _kernel(header, frame),
        )


def _group(header: Dataset, frame: Dataset, name: str) -> Dataset:
    """What a multi-frame file says of one frame, or of all; else the header, which says it all."""
    shared = header.get("SharedFunctionalGroupsSequence") or [Dataset()]
    found = frame.get(name) or shared[0].get(name)
    return found[0] if found else header


def _steps(header: Dataset, frame: Dataset) -> Floats:
    plane = _group(header, frame, "PlaneOrientationSequence")
    measures = _group(header, frame, "PixelMeasuresSequence")
    turn = _numbers(plane.get("ImageOrientationPatient"), 6).reshape(2, 3)
    spacing = _numbers(measures.get("PixelSpacing"), 2)  # between rows, between columns
    if not (spacing > 0).all() or not np.allclose(turn @ turn.T, np.eye(2), atol=1e-3):
        return np.full((2, 3), np.nan)
    return turn * spacing[::-1, None]


def _kernel(header: Dataset, frame: Dataset) -> str:
    value = _group(header, frame, "CTReconstructionSequence").get("ConvolutionKernel") or ""
    return value if isinstance(value, str) else " ".join(map(str, value))


def _numbers(value: Any, count: int) -> Floats:
    numbers = np.array([] if value is None else value, np.float64)
    return numbers if numbers.shape == (count,) else np.full(count, np.nan)
