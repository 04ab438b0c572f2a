"""Predictions as DICOM segmentations, which refer to the series that they were made from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import highdicom as hd
import numpy as np
import zoo
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid
from zoo.plugins import Volume, VolumeError, colour_of

from zoo_dicom.readers import chosen_of
from zoo_dicom.slices import Slice, slices_of
from zoo_dicom.sources import Source, of_folder, of_zip
from zoo_dicom.stack import in_order

STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
OBJECT = ("260787004", "SCT", "Physical object")
TISSUE = ("85756007", "SCT", "Body tissue structure")
# Category and type of a segment, by its name.
KNOWN = {
    "implant": (OBJECT, ("40388003", "SCT", "Implant")),
    "completed skull": (STRUCTURE, ("89546000", "SCT", "Skull")),
    "heart": (STRUCTURE, ("80891009", "SCT", "Heart")),
    "aorta": (STRUCTURE, ("15825003", "SCT", "Aorta")),
    **dict.fromkeys(("esophagus", "oesophagus"), (STRUCTURE, ("32849002", "SCT", "Esophagus"))),
    "trachea": (STRUCTURE, ("44567001", "SCT", "Trachea")),
}
# What a segmentation has to copy from its source, and what stands for it where it is missing.
NEEDED = dict.fromkeys(
    (
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate"),
        *("StudyTime", "AccessionNumber", "ReferringPhysicianName"),
    ),
    "",
)
DATES = ("ContentDate", "SeriesDate", "InstanceCreationDate")
TIMES = ("ContentTime", "SeriesTime", "InstanceCreationTime")


def write_segmentation(volume: Volume, path: Path) -> None:
    """Write a prediction as a DICOM segmentation object, a segment for every label.

    Frames without any voxel are left out. UIDs come from the source and the voxels, and dates from
    the study, so that the same prediction gives the same bytes.

    Args:
        volume: a mask or labels that the zoo predicted from a DICOM series.
        path: where to write it.

    Raises:
        VolumeError: the volume was not predicted from DICOM, is not on the series' grid, has no
            labels or nothing in it.
    """
    about = volume.about
    if about is None or about.source is None or not _is_dicom(about.source):
        raise VolumeError(
            "wanted a prediction from a DICOM series, to which a segmentation refers, got one from"
            " something else: write it as .nii.gz, or predict on the series"
        )
    labels = volume.array
    if labels.dtype.kind not in "bui":
        raise VolumeError(f"wanted a mask or labels for a segmentation, got {labels.dtype} values")
    if not labels.any():
        raise VolumeError("wanted an occupied voxel, got none: there is nothing to write")
    headers = _headers(about.source)
    frames = np.ascontiguousarray(labels.transpose(2, 1, 0))  # columns, rows, slices in the zoo
    expected = (len(headers), int(headers[0].Rows), int(headers[0].Columns))
    if int(headers[0].get("NumberOfFrames") or 1) > 1:
        raise VolumeError("wanted a series of single slices, got a multi-frame file; use .nii.gz")
    if frames.shape != expected:
        raise VolumeError(f"wanted the series' grid {expected}, got {frames.shape}; use .nii.gz")
    values = [int(value) for value in np.unique(frames) if value]
    names = {value: _name(about.labels, value) for value in values}
    masks = np.stack([frames == value for value in values], axis=-1)
    written = _segmentation(headers, masks, names, about.model)
    written.save_as(path)


def _name(labels: tuple[str, ...], value: int) -> str:
    return labels[value - 1] if value <= len(labels) else f"label {value}"


def _is_dicom(source: Path) -> bool:
    return source.is_dir() or source.suffix.lower() in (".zip", ".dcm")


def _headers(path: Path) -> list[Dataset]:
    """The headers of the slices that a volume was read from, in its order."""
    wanted = os.environ.get("ZOO_DICOM_SERIES", "")
    if path.is_dir():
        return _in_order(of_folder(path), wanted)
    if path.suffix.lower() == ".zip":
        with ZipFile(path) as archive:
            return _in_order(of_zip(archive), wanted)
    return _in_order([Source(path.name, lambda: path.open("rb"))], "")


def _in_order(sources: list[Source], wanted: str) -> list[Dataset]:
    slices = [each for source in sources for each in slices_of(source)]
    chosen, _ = chosen_of(slices, wanted)
    return [_header(each) for each in in_order(chosen)]


def _header(each: Slice) -> Dataset:
    with each.source.opened() as stream:
        header = dcmread(stream, stop_before_pixels=True)
    for name, value in NEEDED.items():
        if name not in header:
            setattr(header, name, value)
    if "FrameOfReferenceUID" not in header:
        header.FrameOfReferenceUID = generate_uid(entropy_srcs=[str(header.SeriesInstanceUID)])
    return header


def _segmentation(
    headers: list[Dataset], masks: NDArray[np.bool_], names: dict[int, str], model: str
) -> Any:
    """The object, of masks (slices, rows, columns, segments) and the names of their labels."""
    algorithm = hd.AlgorithmIdentificationSequence(
        name=model or "sparse-volume-zoo",
        version=zoo.__version__,
        family=codes.DCM.ArtificialIntelligence,
    )
    descriptions = []
    for number, (value, name) in enumerate(names.items(), 1):
        category, kind = KNOWN.get(name.lower(), (STRUCTURE, TISSUE))
        descriptions.append(
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=name[:64],
                segmented_property_category=hd.sr.CodedConcept(*category),
                segmented_property_type=hd.sr.CodedConcept(*kind),
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
                display_color=hd.color.CIELabColor.from_rgb(*colour_of(value)),
            )
        )
    digest = [
        str(headers[0].SeriesInstanceUID),
        model,
        *names.values(),
        np.packbits(masks).tobytes().hex(),
    ]
    made = hd.seg.Segmentation(
        source_images=headers,
        pixel_array=masks.astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(entropy_srcs=[*digest, "series"]),
        series_number=9000,
        sop_instance_uid=generate_uid(entropy_srcs=[*digest, "instance"]),
        instance_number=1,
        manufacturer="sparse-volume-zoo",
        manufacturer_model_name=model or "sparse-volume-zoo",
        software_versions=zoo.__version__,
        device_serial_number="0",
        content_label="ZOO",
        series_description=f"{', '.join(names.values())} (research use only)"[:64],
    )
    first = headers[0]
    for name in DATES:
        setattr(made, name, first.StudyDate or "19000101")
    for name in TIMES:
        setattr(made, name, first.StudyTime or "000000")
    for item in made.get("ContributingEquipmentSequence", []):
        item.ContributionDateTime = f"{first.StudyDate or '19000101'}000000"
    for sequence in made.get("DimensionOrganizationSequence", []):
        sequence.DimensionOrganizationUID = generate_uid(entropy_srcs=[*digest, "dimensions"])
    for item in made.get("DimensionIndexSequence", []):
        item.DimensionOrganizationUID = generate_uid(entropy_srcs=[*digest, "dimensions"])
    return made
