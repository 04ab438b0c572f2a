"""What is doubtful about an input or a prediction, in words: nonsense is not given in silence.

A task puts its doubts together from these; each is a list of lines, empty if all is plausible.
"""

from __future__ import annotations

import numpy as np

from zoo.anatomy import PLAUSIBLE, Threshold, in_hounsfield_units
from zoo.models import Prediction
from zoo.volumes import InputContract, Volume, bounds, occupied_share

EMPTY = "the prediction is empty"
SHARE = (0.015, 0.36)  # of its box that is bone: 0.1 in a skull to 0.34 in voxels of 6.4 mm
NUDGE = 0.1  # of a threshold, by which it is moved to see what that changes
UNSTABLE = 0.25  # of the occupied voxels: in a CT in Hounsfield units a tenth of them change


def doubts_of_extent(occupied: Volume, contract: InputContract) -> list[str]:
    """Whether what is occupied is as large as what the model was trained on."""
    mask = np.asarray(occupied.canonical().array)
    if contract.extent is None or not mask.any():
        return []
    low, high = bounds(mask)
    lengths = (high - low + 1) * occupied.canonical().spacing
    least, most = contract.extent
    if (lengths >= least).all() and (lengths <= most).all():
        return []
    return [
        f"what is occupied measures {_listed(lengths)} mm (left to right, back to front, bottom to"
        f" top), where {_listed(least)} to {_listed(most)} mm are plausible: is it this part of the"
        " body, and are its voxels in mm?"
    ]


def doubts_of_skull(
    source: Volume, threshold: Threshold, prediction: Prediction, contract: InputContract
) -> list[str]:
    """Whether a skull is one: its extent, how much of it is bone, and by what threshold."""
    return [
        *doubts_of_extent(prediction.occupied, contract),
        *_doubts_of_share(prediction.occupied),
        *(_doubts_of_threshold(source, threshold) if isinstance(threshold, float | int) else ()),
    ]


def _doubts_of_share(occupied: Volume) -> list[str]:
    share = occupied_share(occupied.array)
    if SHARE[0] <= share <= SHARE[1]:
        return []
    what = "soft tissue or air too" if share > SHARE[1] else "fragments alone"
    return [f"{share:.0%} of the bounding box is occupied, as if {what} were taken for bone"]


def _doubts_of_threshold(source: Volume, threshold: float) -> list[str]:
    """Whether a little more or less of a scan's threshold would give another skull."""
    values = source.array
    doubts = []
    if PLAUSIBLE[0] <= threshold <= PLAUSIBLE[1] and not in_hounsfield_units(values):
        doubts.append(
            f"values from {values.min():g} to {values.max():g} are not Hounsfield units: is bone"
            f" above {threshold:g}?"
        )
    ends = (1 - NUDGE) * threshold, (1 + NUDGE) * threshold
    most, here, least = (np.count_nonzero(values > end) for end in (ends[0], threshold, ends[1]))
    if abs(most - least) > UNSTABLE * here:
        doubts.append(
            f"the threshold is in the middle of bone: {most:,} voxels are above {ends[0]:g},"
            f" {here:,} above {threshold:g}, {least:,} above {ends[1]:g}; --threshold auto finds"
            " another"
        )
    return doubts


def _listed(lengths: object) -> str:
    return " x ".join(f"{length:.3g}" for length in np.asarray(lengths, dtype=float))
