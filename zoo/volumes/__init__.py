"""Volumes: dense voxel grids in the patient, from files and back.

What the other rooms do with them is here too: bringing a volume to a model's input contract and its
prediction back, connected components, and measures of agreement.
"""

from zoo.contract import InputContract, Windows
from zoo.volumes.components import components, largest_component, without_specks
from zoo.volumes.coverage import (
    HALF,
    STEPS,
    BoundingBox,
    around,
    box_around,
    coverage,
    from_bytes,
    interpolated,
    resample_coverage,
    surface_voxels,
    to_bytes,
    voxels_of,
)
from zoo.volumes.files import (
    DICOM,
    DICOM_PLUGIN,
    atomic_path,
    check_output,
    check_volume_output,
    is_volume,
    is_writable,
    make_folder,
    read_volume,
    reads_folders,
    remove_abandoned,
    stem,
    temporary_folder,
    write_volume,
)
from zoo.volumes.formats.dtypes import shortened
from zoo.volumes.formats.nifti import to_nibabel
from zoo.volumes.formats.recognition import LONGEST_START, suffix_of
from zoo.volumes.intensities import brightness, normalised, windowed
from zoo.volumes.labels import (
    COLOURS,
    colour_of,
    identifier,
    largest_components,
    mask_of,
    structure_statistics,
)
from zoo.volumes.metrics import (
    border_dice,
    dice,
    greatest_percentile,
    hd95,
    pooled_percentile,
    reconstruction_error,
    roughness,
    surface_dice,
    surface_distances,
    surface_points,
)
from zoo.volumes.occupancy import binarise
from zoo.volumes.resampling import (
    Bools,
    Resampled,
    check_extent,
    laid_out_like,
    memory_order,
    resample_intensities,
    resample_labels,
    resample_mask,
)
from zoo.volumes.shear import is_sheared, laid_back, shear, straightened
from zoo.volumes.sources import size_in_header, volume_of
from zoo.volumes.volume import About, Volume
from zoo.volumes.voxels import (
    bounds,
    centring_shift,
    common_box,
    corner_shift,
    dilated,
    has_two_values,
    occupied_box,
    occupied_share,
    pooled,
    replicated,
)

__all__ = [
    "COLOURS",
    "DICOM",
    "DICOM_PLUGIN",
    "HALF",
    "LONGEST_START",
    "STEPS",
    "About",
    "Bools",
    "BoundingBox",
    "InputContract",
    "Resampled",
    "Volume",
    "Windows",
    "around",
    "atomic_path",
    "binarise",
    "border_dice",
    "bounds",
    "box_around",
    "brightness",
    "centring_shift",
    "check_extent",
    "check_output",
    "check_volume_output",
    "colour_of",
    "common_box",
    "components",
    "corner_shift",
    "coverage",
    "dice",
    "dilated",
    "from_bytes",
    "greatest_percentile",
    "has_two_values",
    "hd95",
    "identifier",
    "interpolated",
    "is_sheared",
    "is_volume",
    "is_writable",
    "laid_back",
    "laid_out_like",
    "largest_component",
    "largest_components",
    "make_folder",
    "mask_of",
    "memory_order",
    "normalised",
    "occupied_box",
    "occupied_share",
    "pooled",
    "pooled_percentile",
    "read_volume",
    "reads_folders",
    "reconstruction_error",
    "remove_abandoned",
    "replicated",
    "resample_coverage",
    "resample_intensities",
    "resample_labels",
    "resample_mask",
    "roughness",
    "shear",
    "shortened",
    "size_in_header",
    "stem",
    "straightened",
    "structure_statistics",
    "suffix_of",
    "surface_dice",
    "surface_distances",
    "surface_points",
    "surface_voxels",
    "temporary_folder",
    "to_bytes",
    "voxels_of",
    "windowed",
    "without_specks",
    "write_volume",
]

# Users want these on a volume. But files and formats make volumes, so they import the class, and it
# cannot import them. Importing any module of this package runs these lines.
for _name, _function in {
    "of": staticmethod(volume_of),
    "save": write_volume,
    "to_nibabel": to_nibabel,
}.items():
    setattr(Volume, _name, _function)
