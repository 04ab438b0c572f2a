"""Every registry, on one page.

A registry maps a name to a thing. What the zoo brings is listed below as "module:attribute" and
imported when it is first asked for; what a pip-installed plugin brings comes from its entry points
in the group of the registry's name. Listing reads names and metadata only and imports nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import catalogue

import zoo
from zoo.cards import Card, read_card, shipped_cards
from zoo.errors import AlreadyRegistered, ConfigError, NotRegistered, PluginError, ZooError


class Registry(catalogue.Registry):  # type: ignore[misc]
    """A catalogue registry that refuses duplicates and isolates broken plugins.

    Names come from three places: the zoo itself, `register`, and the entry points of plugins. A
    name belongs to one of them only.
    """

    def __init__(self, group: str, noun: str, own: Mapping[str, str]) -> None:
        """`group` is the entry-point group, `noun` what an error calls one, `own` the zoo's."""
        super().__init__((group,), entry_points=True)
        self.noun = noun
        self.own = dict(own)

    def names(self) -> list[str]:
        """Every name, sorted. Imports no plugin."""
        plugins = (point.name for point in self._get_entry_points())
        return sorted({*self.own, *self._registered(), *plugins})

    def origin(self, name: str) -> str:
        """Where a name comes from: "zoo", "registered", or "package version" of its plugins."""
        if name in self.own:
            return "zoo"
        if name in self._registered():
            return "registered"
        points = [point for point in self._get_entry_points() if point.name == name]
        return " and ".join(sorted(map(_package, points))) or "nowhere"

    def register(self, name: str, *, func: Any = None) -> Any:
        """Register `func` under a name, or return a decorator that does.

        Raises:
            AlreadyRegistered: the name is taken; nothing was overwritten.
        """
        if name in self:
            raise AlreadyRegistered(
                f"{self.noun} {name!r} is taken, by {self.origin(name)}; choose another name"
            )
        return super().register(name, func=func)

    def get(self, name: str) -> Any:
        """The thing under a name.

        Raises:
            NotRegistered: no such name; the message lists the nearest ones.
            AlreadyRegistered: two plugins claim the name.
            PluginError: the plugin that brings it cannot be imported.
        """
        if name in self.own:
            module, attribute = self.own[name].split(":")
            return getattr(import_module(module), attribute)
        if name in self._registered():
            return self._registered()[name]
        return _load(self._plugin(name), self.noun)

    def problems(self) -> list[str]:
        """One line per plugin entry that cannot be used. Imports every plugin of this registry."""
        found = []
        for point in self._get_entry_points():
            try:
                if point.name in self.own or point.name in self._registered():
                    raise AlreadyRegistered(
                        f"{self.noun} {point.name!r} of plugin {_package(point)} is ignored: "
                        f"the name is taken by {self.origin(point.name)}; rename or uninstall it"
                    )
                self._check(point.name)
            except ZooError as error:
                found.append(str(error))
        return sorted(set(found))

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def _check(self, name: str) -> None:
        """Get a thing, by importing what brings it."""
        self.get(name)

    def _registered(self) -> dict[str, Any]:
        return {keys[-1]: value for keys, value in catalogue._get_all(self.namespace).items()}

    def _plugin(self, name: str) -> EntryPoint:
        points = [point for point in self._get_entry_points() if point.name == name]
        if not points:
            raise NotRegistered(self._unknown(name))
        if len(points) > 1:
            packages = " and ".join(sorted(map(_package, points)))
            raise AlreadyRegistered(
                f"{self.noun} {name!r} is claimed by two plugins, {packages}; uninstall one of them"
            )
        point: EntryPoint = points[0]
        return point

    def _unknown(self, name: str) -> str:
        names = self.names()
        nearest = get_close_matches(name, names, n=3, cutoff=0.5) or names
        return f"unknown {self.noun} {name!r}; the nearest are: {', '.join(nearest) or 'none'}"


class CardRegistry(Registry):
    """The models' cards. A plugin's entry point names the path of a card, or a Card.

    A plugin's card that lies in its package as NAME.md is found there, and nothing is imported.
    """

    def __init__(self, group: str, noun: str, own: Mapping[str, str]) -> None:
        super().__init__(group, noun, own)
        self.own |= {path.stem: str(path) for path in shipped_cards().glob("*.md")}

    def get(self, name: str) -> Card:
        """The card of a model; see `Registry.get` for the errors."""
        found = self._found(name)
        if isinstance(found, Card):
            return found
        try:
            return read_card(found)
        except (ConfigError, TypeError) as error:
            raise PluginError(
                f"card {name!r} of {self.origin(name)} is not usable: {error};"
                " upgrade or uninstall what brings it"
            ) from error

    def path(self, name: str) -> Path | None:
        """Where a model's card lies, its files beside it; None if it is not in a file.

        Raises:
            AlreadyRegistered, PluginError: as `get`.
        """
        found = self._found(name) if name in self else None
        return Path(found) if isinstance(found, str | PathLike) else None

    def _found(self, name: str) -> Any:
        if name in self.own:
            return self.own[name]
        if name in self._registered() or name not in self:
            return super().get(name)
        return _file_in_package(self._plugin(name), f"{name}.md") or super().get(name)

    def _check(self, name: str) -> None:
        super().get(name)
        self.get(name)


def _file_in_package(point: EntryPoint, name: str) -> Path | None:
    """A file somewhere in the package that an entry point leads to, without importing it."""
    spec = find_spec(point.module.partition(".")[0])
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () for path in Path(folder).rglob(name)), None)


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _load(point: EntryPoint, noun: str) -> Any:
    try:
        found = point.load()
        package = sys.modules[point.module.partition(".")[0]]
        declared = getattr(package, "zoo_plugin_api_version", zoo.plugin_api_version)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{noun} {point.name!r} of plugin {_package(point)} does not load: "
            f"{type(error).__name__}: {error}; upgrade or uninstall the plugin"
        ) from error
    if declared != zoo.plugin_api_version:
        older = "the plugin" if _below(declared, zoo.plugin_api_version) else "the zoo"
        raise PluginError(
            f"{noun} {point.name!r} of plugin {_package(point)} is written for plugin API"
            f" {declared!r}, this zoo has {zoo.plugin_api_version}; upgrade {older}, or uninstall"
            " the plugin"
        )
    return found


def _below(declared: Any, version: int) -> bool:
    return isinstance(declared, int) and declared < version


architectures = Registry(
    "zoo_architectures",
    "architecture",
    {
        "sparse-completion": "zoo.architectures.completion:SparseCompletion",
        "sparse-super-resolution": "zoo.architectures.super_resolution:SparseSuperResolution",
        "sparse-segmentation": "zoo.architectures.segmentation:SparseSegmentation",
    },
)
heads = Registry(
    "zoo_heads",
    "head",
    {"occupancy": "zoo.heads:OccupancyHead", "labels": "zoo.heads:LabelsHead"},
)
backends = Registry(
    "zoo_backends",
    "backend",
    {
        "cpu": "zoo.sparse.backends.cpu:CpuBackend",
        "gpu": "zoo.sparse.backends.gpu.backend:GpuBackend",
        "torch": "zoo.sparse.backends.torch:TorchBackend",
        "dense": "zoo.sparse.backends.dense:DenseBackend",
        "minkowski": "zoo.sparse.backends.minkowski:MinkowskiBackend",
    },
)
_formats = {
    "nii": "zoo.formats.nifti",
    "nii.gz": "zoo.formats.nifti",
    "nrrd": "zoo.formats.nrrd",
    "nhdr": "zoo.formats.nrrd",
    "npy": "zoo.formats.numpy",
    "npz": "zoo.formats.numpy",
}
readers = Registry(
    "zoo_readers", "reader", {suffix: f"{module}:read" for suffix, module in _formats.items()}
)
writers = Registry(
    "zoo_writers", "writer", {suffix: f"{module}:write" for suffix, module in _formats.items()}
)
cards = CardRegistry("zoo_cards", "model", {})


def everything() -> list[Registry]:
    """All of them."""
    return [architectures, heads, backends, readers, writers, cards]
