"""Measures speed and memory of backends for `zoo bench`, each in a process of its own.

It is part of the wheel so that anyone who doubts a figure in the README can measure it.
"""

from zoo.benchmark._measure import Spec
from zoo.benchmark._roofline import Tally, rates, tallied
from zoo.benchmark._suite import as_it_comes, machine, run_measurement
from zoo.benchmark.command import bench, table

__all__ = [
    "Spec",
    "Tally",
    "as_it_comes",
    "bench",
    "machine",
    "rates",
    "run_measurement",
    "table",
    "tallied",
]
