"""What is doubtful about a scan and its labels."""

from __future__ import annotations

import numpy as np

from zoo.anatomy import in_hounsfield_units
from zoo.models import Prediction
from zoo.volumes import InputContract, Volume, has_two_values


def doubts_of_scan(scan: Volume, contract: InputContract | None = None) -> list[str]:
    """Whether it is a CT in Hounsfield units, and not a mask.

    Units are not checked for a model that was trained where air is bright or ends above 0. Nor are
    they where all windows lie above 0: air may have been set to 0, then.
    """
    values = scan.array
    low, high = values.min(), values.max()
    if low < high and has_two_values(values):
        return [f"the scan has two values, {low:g} and {high:g}: it is a mask, not a CT"]
    if _expects_hounsfield(contract) and not in_hounsfield_units(values):
        return [f"values from {low:g} to {high:g} are not Hounsfield units: is it a CT?"]
    return []


def _expects_hounsfield(contract: InputContract | None) -> bool:
    """Whether a model was trained on Hounsfield units, as far as its contract tells."""
    if contract is None or not contract.windows:
        return True
    air = -1.0 if contract.exterior is None else contract.exterior
    return max(contract.window_ends[0], air) < 0 and contract.bright_exterior is None


def doubts_of_labels(prediction: Prediction, labels: tuple[str, ...]) -> list[str]:
    """Whether a structure was not found."""
    counts = np.bincount(prediction.volume.array.ravel(), minlength=len(labels) + 1)
    missing = [label for label, count in zip(labels, counts[1:], strict=True) if not count]
    return [f"not found: {', '.join(missing)}"] if missing else []
