"""DICOM as volumes: a series in a folder or a zip archive, or one multi-frame file; and back."""

from __future__ import annotations

from pathlib import Path

from zoo.plugins import Volume

from zoo_dicom.readers import read_file, read_folder, read_zip

__all__ = ["read_file", "read_folder", "read_zip", "write_segmentation"]

zoo_plugin_api_version = 2


def write_segmentation(volume: Volume, path: Path) -> None:
    """Write a prediction as a DICOM segmentation; see `zoo_dicom.segmentation`."""
    from zoo_dicom.segmentation import write_segmentation as write  # highdicom takes a while

    write(volume, path)
