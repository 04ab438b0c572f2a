"""Phantoms: cases that are made from a seed, for training and for tests without anybody's data.

Skulls with defects cut into them, and chest CTs with labelled organs. Each depends on its arguments
alone, so that a seed is all that has to be kept of it.
"""

from zoo.datasets.phantoms.chests.canvas import EXTENT
from zoo.datasets.phantoms.chests.scan import intensities
from zoo.datasets.phantoms.chests.thorax import thorax_case, tissue_map
from zoo.datasets.phantoms.chests.tissues import LABELS, labels_of
from zoo.datasets.phantoms.cutting import cut_coverage
from zoo.datasets.phantoms.defects import apply_defects, cut_defect, plan_defects
from zoo.datasets.phantoms.files import KINDS
from zoo.datasets.phantoms.skulls import (
    FIELD_OF_VIEW,
    PLANNED_AT,
    complete_skull,
    skull_case,
    skull_coverage,
)

__all__ = [
    "EXTENT",
    "FIELD_OF_VIEW",
    "KINDS",
    "LABELS",
    "PLANNED_AT",
    "apply_defects",
    "complete_skull",
    "cut_coverage",
    "cut_defect",
    "intensities",
    "labels_of",
    "plan_defects",
    "skull_case",
    "skull_coverage",
    "thorax_case",
    "tissue_map",
]
