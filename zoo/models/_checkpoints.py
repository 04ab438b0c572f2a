"""Reads the state_dict in a PyTorch checkpoint, without trusting the pickle."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ReadError, WeightsError, one_line

NESTED = ("state_dict", "model_state_dict", "model", "network", "net", "weights")
WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel, and of torch.compile
NAMED = 10  # how many names an error lists per fault


def read_checkpoint(path: Path) -> Any:
    """Load what torch.save wrote, without running any code in it."""
    if not path.is_file() or not path.stat().st_size:
        got = "an empty file" if path.is_file() else "a folder" if path.is_dir() else "no such file"
        raise ReadError(f"{path}: wanted a checkpoint, got {got}; check the path, or copy it again")
    try:
        with warnings.catch_warnings(action="ignore"):  # about formats that are refused anyway
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # damaged bytes can make it raise anything
        if found := re.search(r"\bGLOBAL\s+([\w.]+)", str(error)):
            raise ReadError(
                f"{path}: wanted plain tensors, got a pickle that calls {found[1]}; none of it was"
                " run: if you trust its author, use their code to save only a state_dict()"
            ) from error
        reason = f"{type(error).__name__}: {one_line(error).split('. ')[0]}"
        raise ReadError(
            f"{path}: wanted tensors that torch.save wrote, got a file that is damaged, truncated"
            f" or something else ({reason}); copy it again, or save only a state_dict()"
        ) from error


def find_state_dict(content: Any, path: Path) -> tuple[str, dict[str, Tensor], tuple[str, ...]]:
    """Find the state_dict in a checkpoint.

    Returns:
        The key that it is stored under, "" if it is the whole content; its tensors; the other keys.
    """
    keys = content if isinstance(content, dict) else {}
    found = {key: keys[key] for key in NESTED if _is_state_dict(keys.get(key))}
    if _is_state_dict(content):
        found = {"": content}
    if len(found) != 1:
        others = (f"{k} ({type(v).__name__})" for k, v in keys.items() if not isinstance(v, Tensor))
        raise WeightsError(
            f"{path}: wanted a state_dict, with names and tensors only, as it is or under one of"
            f" {', '.join(NESTED)}; got {some(others) or type(content).__name__}:"
            " save only the network's state_dict()"
        )
    ((nested, tensors),) = found.items()
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > path.stat().st_size:  # a few bytes can expand to more than fits into memory
        raise WeightsError(
            f"{path}: wanted every value of its tensors, {size:,} bytes, got a file of"
            f" {path.stat().st_size:,} bytes: save the tensors after .contiguous()"
        )
    return nested, tensors, tuple(str(key) for key in keys if key != nested) if nested else ()


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    )


def bare_names(keys: Iterable[str]) -> dict[str, str]:
    """Every key of a state_dict with its name, which lacks the prefixes that all keys share."""
    names = {key: key for key in keys}
    while prefix := next((p for p in WRAPPERS if all(n.startswith(p) for n in names.values())), ""):
        names = {key: name.removeprefix(prefix) for key, name in names.items()}
    return names


def some(names: Iterable[str]) -> str:
    """List the first few names, and say how many more there are."""
    first, rest = (listed := list(names))[:NAMED], listed[NAMED:]
    return ", ".join(first) + (f" and {len(rest)} more" if rest else "")
