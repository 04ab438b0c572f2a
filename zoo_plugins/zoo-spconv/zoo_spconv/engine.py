"""spconv, imported only when it is asked for."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from zoo.plugins import MissingDependency

HOW_TO_INSTALL = (
    "spconv is not installed: pip install spconv for the CPU, or the wheel of your CUDA, such as"
    " spconv-cu126; never two of them"
)


@cache
def spconv_ops() -> Any:
    """The module `spconv.pytorch.ops`.

    Raises:
        MissingDependency: spconv is not installed, or does not load.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from spconv.pytorch import ops
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{HOW_TO_INSTALL} ({error})") from error
    except (ImportError, OSError) as error:
        raise MissingDependency(f"spconv does not load: {error}") from error
    return ops
