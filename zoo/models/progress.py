"""How a prediction goes on, for whoever waits for it in Python: a bar, as other tools have."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str], None]  # gets the name of every stage as it begins


def silent(stage: str) -> None:
    """Shows nothing."""


@contextmanager
def bar() -> Iterator[Progress]:
    """A bar that names the stage, in a terminal or a notebook, and is gone at the end.

    A notebook shows it where ipywidgets is installed. TQDM_DISABLE=1 switches it off, as all bars
    of tqdm.
    """
    with warnings.catch_warnings(action="ignore"):  # that ipywidgets, which draws it, is missing
        from tqdm.auto import tqdm

    with tqdm(disable=None, leave=False, bar_format="{desc} [{elapsed}]") as shown:
        yield shown.set_description_str


def numbered(progress: Progress, number: int, count: int | None) -> Progress:
    """The same, which says before every stage which case it is, of how many unless that is unknown.

    If there is only one, it says nothing of that.
    """
    if count == 1:
        return progress
    case = f"case {number}" if count is None else f"case {number} of {count}"
    return lambda stage: progress(f"{case}: {stage}")
