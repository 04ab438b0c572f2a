"""Anatomy of the head: the skull in a CT, its cranial cavity, and what makes an implant fit."""

from zoo.anatomy.bone import AUTOMATIC, Bone, Threshold, bone_of, occupied_in
from zoo.anatomy.cranium import Cranium, cranium_of
from zoo.anatomy.fit import Mirror, assess, plane_of_symmetry
from zoo.anatomy.implants import Implant, reshaped, selected, sheet, signed_distance

__all__ = [
    "AUTOMATIC",
    "Bone",
    "Cranium",
    "Implant",
    "Mirror",
    "Threshold",
    "assess",
    "bone_of",
    "cranium_of",
    "occupied_in",
    "plane_of_symmetry",
    "reshaped",
    "selected",
    "sheet",
    "signed_distance",
]
