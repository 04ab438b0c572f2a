"""What works on this machine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zoo import registries, sparse
from zoo.errors import BackendError, ZooError
from zoo.sparse import Backend, SparseTensor


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
        device = _device_of(backend)
        points = torch.tensor([[0, 0, 0], [0, 0, 1]], device=device)
        x = SparseTensor.from_coordinates(points, backend=backend)
        total = sparse.convolution(x, torch.ones(27, 1, 1, device=device)).features.sum().item()
    except ZooError as error:
        return BackendCheck(name, origin, False, str(error))
    except Exception as error:  # a plugin's own
        return BackendCheck(name, origin, False, f"{type(error).__name__}: {error}")
    right, where = total == 4, "" if device.type == "cpu" else f" on {device}"
    detail = f"works{where}" if right else f"wrong{where}: got {total}, wanted 4"
    return BackendCheck(name, origin, right, detail)


def _device_of(backend: Backend) -> torch.device:
    """The CPU, or the GPU for a backend that wants one."""
    try:
        backend.check_device(torch.device("cpu"))
    except BackendError:
        if not torch.cuda.is_available():
            raise
        backend.check_device(torch.device("cuda"))
        return torch.device("cuda")
    return torch.device("cpu")
