"""Connects to a Ray cluster, or starts one on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from types import ModuleType
from typing import Any

from zoo.plugins import BackendError, ConfigError, MissingDependency, Run

OBJECT_STORE = 100 * 2**20  # bytes; paths go in and reports come out


@contextmanager
def connected(run: Run) -> Iterator[ModuleType]:
    """The module `ray`, connected to the cluster at `run.address` or to one that is started here.

    Raises:
        ConfigError: the address is not HOST:PORT, or other machines could use it without a token;
            or `run.workers` is given for a cluster that exists.
        BackendError: there is no cluster at the address.
        MissingDependency: Ray is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise MissingDependency(f"wanted Ray, got: {error}; pip install ray") from error
    where: dict[str, Any] = {"address": run.address}
    if run.address is None:
        where = {
            "address": "local",
            "num_cpus": run.workers or None,
            "object_store_memory": OBJECT_STORE,
            "include_dashboard": False,
        }
    else:
        check_address(run.address)
        if run.workers:
            raise ConfigError("--workers: a cluster has the CPUs that it has; leave it out")
    try:
        ray.init(**where, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BackendError(
            f"{run.address or 'here'}: wanted a Ray cluster, got: {error};"
            " start this command on one of its nodes"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """Refuse what is not HOST:PORT, and a cluster that anybody on its network may run code on.

    Raises:
        ConfigError: see above.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"--address: wanted HOST:PORT, got {address!r}")
    try:
        number = socket.gethostbyname(host)
    except OSError as error:
        raise ConfigError(f"--address: wanted the name of a host, got {host!r}: {error}") from error
    if not ip_address(number).is_loopback and os.environ.get("RAY_AUTH_MODE") != "token":
        raise ConfigError(
            f"--address: {host} is not this machine, and whoever reaches a Ray cluster can run code"
            " on it; start cluster and command with RAY_AUTH_MODE=token"
        )
