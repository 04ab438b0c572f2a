"""Data sets: the cases of a folder, in the layouts of known data sets, and what their files hold.

Where a data set has no defects they are cut into its skulls; phantoms are cases made from a seed.
"""

from zoo.datasets.cases import Case, CaseKind
from zoo.datasets.labels import Structures, load_labels, structures_of
from zoo.datasets.layouts import find_cases, recognised
from zoo.datasets.pairs import (
    THINNEST_BONE,
    Defects,
    Pair,
    head_of,
    load_complete,
    load_pair,
)

__all__ = [
    "THINNEST_BONE",
    "Case",
    "CaseKind",
    "Defects",
    "Pair",
    "Structures",
    "find_cases",
    "head_of",
    "load_complete",
    "load_labels",
    "load_pair",
    "recognised",
    "structures_of",
]
