"""Tissues of a chest by number, and the labels that some of them make up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bounds = tuple[float, float]
Tissues = NDArray[np.uint8]

TISSUES: dict[
    str, Bounds
] = {  # bounds of the mean in HU; a tissue's number is its position in here
    "air": (-1010, -995),
    "lung": (-880, -780),
    "fat": (-110, -80),
    "muscle": (40, 65),
    "spongy bone": (150, 350),
    "cortical bone": (500, 900),
    "myocardium": (40, 60),
    "heart": (40, 60),
    "aorta": (40, 60),
    "artery": (40, 60),
    "pulmonary vessel": (40, 60),
    "vein": (40, 60),
    "trachea": (-1000, -980),
    "bronchus": (-1000, -970),
    "oesophagus": (30, 50),
    "oesophageal air": (-950, -700),
    "liver": (50, 75),
    "stomach": (20, 60),
    "gas": (-990, -950),
    "spleen": (45, 65),
    "table": (-400, 100),
}
NUMBER = {name: number for number, name in enumerate(TISSUES)}

LABELS = ("oesophagus", "heart", "trachea", "aorta")  # 1, 2, 3 and 4, as in SegTHOR
PARTS: dict[str, tuple[str, ...]] = {
    "oesophagus": ("oesophagus", "oesophageal air"),
    "heart": ("heart", "myocardium"),
    "trachea": ("trachea",),
    "aorta": ("aorta",),
}


def labels_of(tissues: Tissues) -> Tissues:
    """Labels uint8 of the same shape: 0 elsewhere, then 1 to 4 as in LABELS."""
    table = np.zeros(256, np.uint8)
    for value, label in enumerate(LABELS, 1):
        for tissue in PARTS[label]:
            table[NUMBER[tissue]] = value
    return table[tissues]
