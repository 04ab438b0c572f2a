"""Procedural chest CTs with labelled organs at risk, for training and testing segmentation.

`tissue_map` depends on its arguments alone: one seed is one body at every resolution. Its
`intensities` are cheap, so that training may draw new ones for every sample.

Frame of the tables: millimetres of an average adult; x right, y anterior, z superior; the origin
lies on the midline in the middle of the chest, at the height of the carina.
"""

from zoo.datasets.phantoms.chests.canvas import EXTENT
from zoo.datasets.phantoms.chests.scan import intensities
from zoo.datasets.phantoms.chests.thorax import ThoraxCase, thorax_case, tissue_map
from zoo.datasets.phantoms.chests.tissues import LABELS, NUMBER, TISSUES, labels_of

__all__ = [
    "EXTENT",
    "LABELS",
    "NUMBER",
    "TISSUES",
    "ThoraxCase",
    "intensities",
    "labels_of",
    "thorax_case",
    "tissue_map",
]
