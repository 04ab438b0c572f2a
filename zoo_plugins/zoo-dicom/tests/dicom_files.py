"""Small DICOM files as scanners write them."""

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

SHAPE = (16, 20, 12)  # columns, rows, slices
SPACING = (0.7, 0.9, 2.5)  # mm, along them
ORIGIN = (-31.25, 12.5, 107.75)  # LPS mm
AXIAL = np.eye(3)
CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
SAGITTAL = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
_c, _s = np.cos(0.4), np.sin(0.4)
OBLIQUE = np.array([[_c, -_s, 0], [_s, _c, 0], [0, 0, 1]]) @ np.array(
    [[1, 0, 0], [0, _c, -_s], [0, _s, _c]]
)


def stored(shape=SHAPE, dtype=np.uint16):
    """Pixels (columns, rows, slices) of 12 bits, alike in no direction."""
    return np.random.default_rng(0).integers(0, 4096, shape).astype(dtype)


def header(kind=CTImageStorage, syntax=ExplicitVRLittleEndian, **tags):
    """What every file of a series says, and `tags`."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.SOPClassUID, made.SOPInstanceUID = kind, generate_uid()
    made.PatientID, made.StudyInstanceUID = "nobody", "1.2.3"
    made.Modality, made.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.SeriesInstanceUID, made.SeriesNumber, made.SeriesDescription = "1.2.3.4", 4, "Head"
    made.RescaleIntercept, made.RescaleSlope = -1024, 1
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def set_pixels(made, frames):
    """Pixels (rows, columns), or (frames, rows, columns)."""
    made.Rows, made.Columns = frames.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = frames.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(frames.dtype.kind == "i")
    made.PixelData = frames.tobytes()


def directions(turn):
    """ImageOrientationPatient of a (3, 3) matrix whose columns are LPS directions of the axes."""
    return [*turn[:, 0], *turn[:, 1]]


def datasets(array=None, turn=OBLIQUE, spacing=SPACING, origin=ORIGIN, shear=(0, 0, 0), **tags):
    """A series, slice by slice; `shear` (3,) mm is added from slice to slice, as by a tilt."""
    array = stored() if array is None else array
    made = []
    for k in range(array.shape[2]):
        one = header(InstanceNumber=k + 1, **tags)
        one.ImageOrientationPatient = directions(turn)
        one.ImagePositionPatient = list(origin + k * (spacing[2] * turn[:, 2] + shear))
        one.PixelSpacing, one.SliceThickness = [spacing[1], spacing[0]], 5
        set_pixels(one, np.ascontiguousarray(array[:, :, k].T))
        made.append(one)
    return made


def write(folder, made):
    """Write data sets under shuffled names; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shuffled = np.random.default_rng(1).permutation(len(made))
    for one, number in zip(made, shuffled, strict=True):
        one.save_as(folder / f"IM{number:04}", enforce_file_format=True)
    return folder


def multi_frame(array=None, turn=OBLIQUE):
    """The same series as one enhanced file, its frames in reverse."""
    array = stored() if array is None else array
    made = header(EnhancedCTImageStorage)
    del made.RescaleIntercept, made.RescaleSlope
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=directions(turn))]
    measures = {"PixelSpacing": [SPACING[1], SPACING[0]], "SliceThickness": 5}
    shared.PixelMeasuresSequence = [_item(**measures)]
    values = {"RescaleIntercept": -1024, "RescaleSlope": 1, "RescaleType": "HU"}
    shared.PixelValueTransformationSequence = [_item(**values)]
    made.SharedFunctionalGroupsSequence = [shared]
    places = [list(ORIGIN + k * SPACING[2] * turn[:, 2]) for k in range(array.shape[2])][::-1]
    made.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=place)]) for place in places
    ]
    made.NumberOfFrames = len(places)
    set_pixels(made, np.ascontiguousarray(array.T[::-1]))
    return made


def _item(**tags):
    made = Dataset()
    for name, value in tags.items():
        setattr(made, name, value)
    return made
