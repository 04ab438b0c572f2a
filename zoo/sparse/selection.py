"""Which device and which backend: by name, the fastest, and what works on this machine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zoo import registries
from zoo.errors import BackendError, ZooError
from zoo.sparse.backend import Backend
from zoo.sparse.operations import convolution
from zoo.sparse.tensor import SparseTensor

ANYWHERE = "torch"  # the backend that computes on every device
FULL = "dense"  # the backend that is faster on a CPU where there is much to compute:
FULL_SHARE, FULL_CHANNELS = 0.6, 32  # by `zoo bench --occupancies`, see benchmarks/README.md


@dataclass(frozen=True)
class BackendCheck:
    """Whether a backend computed a small convolution right, and if not, why and how to get it."""

    name: str
    origin: str
    works: bool
    detail: str


def torch_device(name: str) -> torch.device:
    """A torch device by name.

        >>> torch_device("cpu")
        device(type='cpu')

    Args:
        name: `cpu`, `cuda`, `cuda:1`, ...; `auto` is the GPU if there is one.

    Returns:
        The device, which works.

    Raises:
        BackendError: no such device, or it does not work here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackendError(
            f"device {name!r} does not work here: wanted auto, cpu, cuda or cuda:N"
        ) from error
    try:
        torch.empty(0, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise BackendError(f"device {name!r} does not work here: {reason}; use cpu") from error
    return device


def select_backend(
    name: str, device: torch.device, share: float = 0.0, channels: int = 1
) -> Backend:
    """A backend by name, or, for `auto`, the fastest of the zoo's own that works on the device.

        >>> select_backend("torch", torch.device("cpu")).name
        'torch'

    Args:
        name: of the backend, or `auto`.
        device: where it computes.
        share: of the bounding box that is occupied, as far as it is known.
        channels: of the network at tensor stride 1.

    Returns:
        The backend.

    Raises:
        NotRegistered: no such backend.
        BackendError: it does not compute on the device.
    """
    if name == "auto":
        full = share > FULL_SHARE and channels >= FULL_CHANNELS and device.type == "cpu"
        return select_backend(FULL, device) if full else _fastest(device)
    backend: Backend = registries.backends.get(name)()
    backend.check_device(device)
    return backend


def _fastest(device: torch.device) -> Backend:
    """The first that is preferred there, in the order of the registry; imports no plugin."""
    for name in registries.backends.own:
        try:
            kind: type[Backend] = registries.backends.get(name)
            if device.type in kind.preferred_on:
                return select_backend(name, device)
        except ZooError:  # not installed, or not for this device
            continue
    return select_backend(ANYWHERE, device)


def check_backends() -> list[BackendCheck]:
    """Try every backend on a small known case."""
    return [_check(name) for name in registries.backends.names()]


def _check(name: str) -> BackendCheck:
    origin = registries.backends.origin(name)
    try:
        backend = registries.backends.get(name)()
        device = _device_of(backend)
        points = torch.tensor([[0, 0, 0], [0, 0, 1]], device=device)
        x = SparseTensor.from_coordinates(points, backend=backend)
        total = convolution(x, torch.ones(27, 1, 1, device=device)).features.sum().item()
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
