"""DICOM as volumes: a series in a folder or a zip archive, or one multi-frame file."""

from zoo_dicom.readers import read_file, read_folder, read_zip

__all__ = ["read_file", "read_folder", "read_zip"]

zoo_plugin_api_version = 2
