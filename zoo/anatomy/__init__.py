"""Anatomy of the head: the skull in a CT, its cranial cavity, and what makes an implant fit."""

from zoo.anatomy.bone import (
    AUTOMATIC,
    PLAUSIBLE,
    Bone,
    Threshold,
    bone_of,
    bone_threshold,
    in_hounsfield_units,
    occupied_in,
)
from zoo.anatomy.cranium import Cranium, cranium_of, doubts_of_view, opening_of
from zoo.anatomy.fit import assess
from zoo.anatomy.implants import (
    CRUMBS,
    PART,
    Implant,
    reshaped,
    selected,
    sheet,
    signed_distance,
)
from zoo.anatomy.symmetry import Mirror, is_shape, mirroring, plane_of_symmetry

__all__ = [
    "AUTOMATIC",
    "CRUMBS",
    "PART",
    "PLAUSIBLE",
    "Bone",
    "Cranium",
    "Implant",
    "Mirror",
    "Threshold",
    "assess",
    "bone_of",
    "bone_threshold",
    "cranium_of",
    "doubts_of_view",
    "in_hounsfield_units",
    "is_shape",
    "mirroring",
    "occupied_in",
    "opening_of",
    "plane_of_symmetry",
    "reshaped",
    "selected",
    "sheet",
    "signed_distance",
]
