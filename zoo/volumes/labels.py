"""Labels: what each structure is drawn in and called in files, and what is measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.volumes.components import components
from zoo.volumes.volume import About, Volume
from zoo.volumes.voxels import occupied_box

COLOURS = (  # red, green and blue from 0 to 255
    *((140, 110, 200), (222, 92, 64), (70, 130, 200), (230, 170, 50)),
    *((80, 160, 110), (200, 100, 160), (130, 120, 90), (60, 170, 180)),
)

MOST_LABELS, LONGEST_NAME = 255, 80


def colour_of(label: int) -> tuple[int, int, int]:
    """The colour in which pictures and files show a label.

        >>> colour_of(1), colour_of(2)
        ((222, 92, 64), (70, 130, 200))

    Args:
        label: the label, from 1 on; colours repeat after the last one.

    Returns:
        Red, green and blue, from 0 to 255.
    """
    return COLOURS[label % len(COLOURS)]


def identifier(name: str) -> str:
    """A structure's name as it is part of the name of a file or of a column.

    >>> identifier("left atrium")
    'left_atrium'
    """
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def names_in_order(names: Mapping[int, str]) -> tuple[str, ...]:
    """The names of the labels 1, 2, ..., from what a file says of some of them.

    What is no name, or of no label that a volume of bytes can have, is left out.

        >>> names_in_order({1: "aorta", 3: " heart\\n", -5: "what", 7: ""})
        ('aorta', 'label 2', 'heart')
    """
    kept = {
        label: name.strip()[:LONGEST_NAME]
        for label, name in names.items()
        if 0 < label <= MOST_LABELS and name.strip() and name.strip().isprintable()
    }
    return tuple(kept.get(label, f"label {label}") for label in range(1, max(kept, default=0) + 1))


def mask_of(labels: Volume, label: int, name: str) -> Volume:
    """The mask of one structure, uint8 {0, 1}, with what is known of the labels and its name."""
    about = replace(labels.about or About(), labels=(name,))
    return replace(labels, array=(labels.array == label).view(np.uint8), about=about)


def largest_components(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels (I, J, K), of each its largest connected component alone (26-connected).

    >>> import numpy as np
    >>> largest_components(np.array([[[1, 1, 2, 1]]], np.uint8)).tolist()
    [[[1, 1, 2, 0]]]
    """
    if not labels.any():
        return labels
    box = occupied_box(labels)
    part = labels[box]
    found = components(part)
    owners = np.zeros(int(found.max()) + 1, labels.dtype)
    owners[found] = part
    ascending = np.argsort(np.bincount(found.ravel()), kind="stable")
    largest = np.zeros(int(owners.max()) + 1, int)
    largest[owners[ascending]] = ascending
    kept = largest[owners] == np.arange(len(owners))
    kept[0] = False  # what is no structure
    result = np.zeros_like(labels)
    result[box] = part * kept[found]
    return result


def structure_statistics(
    labels: Volume, scan: Volume, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """What is measured of every structure in a CT.

    >>> import numpy as np
    >>> labels = Volume(np.array([[[0, 1, 1]]]), np.diag([10.0, 10.0, 5.0, 1.0]))
    >>> structure_statistics(labels, labels.with_array(np.array([[[-900, 40, 60]]])), ["aorta"])
    {'aorta': {'label': 1, 'voxels': 2, 'volume_ml': 1.0, 'mean_hu': 50.0}}

    Args:
        labels: the values 1, 2, ... of the structures.
        scan: the intensities in HU, on the same grid.
        names: of the structures.

    Returns:
        By name: `label`, `voxels`, `volume_ml`, and `mean_hu`, None where there is no voxel.
    """
    inside = labels.array > 0
    found = labels.array[inside]
    counts = np.bincount(found, minlength=len(names) + 1)
    sums = np.bincount(found, scan.array[inside], minlength=len(names) + 1)
    ml = abs(float(np.linalg.det(labels.affine[:3, :3]))) / 1000
    return {
        name: {
            "label": label,
            "voxels": int(counts[label]),
            "volume_ml": round(int(counts[label]) * ml, 3),
            "mean_hu": round(float(sums[label] / counts[label]), 2) if counts[label] else None,
        }
        for label, name in enumerate(names, 1)
    }
