"""What works on this machine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zoo import registries, sparse
from zoo.errors import ZooError
from zoo.sparse import SparseTensor


@dataclass(frozen=True)
class BackendCheck:
    """Whether a backend computed a small convolution right, and if not, why and how to get it."""

    name: str
    origin: str
    works: bool
    detail: str


def check_backends() -> list[BackendCheck]:
    """Try every backend on a small known case."""
    return [_check(name) for name in registries.backends.names()]


def plugin_parts() -> list[dict[str, str]]:
    """What plugins bring: package and version, kind and name. Imports none of them."""
    return [
        {"package": registry.origin(name), "kind": registry.noun, "name": name}
        for registry in registries.everything()
        for name in registry.names()
        if registry.origin(name) not in ("zoo", "registered")
    ]


def plugin_problems() -> list[str]:
    """One line per plugin entry, of any registry, that cannot be used."""
    return [problem for registry in registries.everything() for problem in registry.problems()]


def _check(name: str) -> BackendCheck:
    origin = registries.backends.origin(name)
    try:
        backend = registries.backends.get(name)()
        x = SparseTensor.from_coordinates(torch.tensor([[0, 0, 0], [0, 0, 1]]), backend=backend)
        total = sparse.convolution(x, torch.ones(27, 1, 1)).features.sum().item()
    except ZooError as error:
        return BackendCheck(name, origin, False, str(error))
    except Exception as error:  # a plugin's own
        return BackendCheck(name, origin, False, f"{type(error).__name__}: {error}")
    right = total == 4
    return BackendCheck(name, origin, right, "works" if right else f"wrong: got {total}, wanted 4")
