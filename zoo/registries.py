"""Every registry, on one page.

A registry maps names to objects. The zoo's own are listed below as "module:attribute" and imported
on first use; those of pip-installed plugins come from entry points, in the registry's group.
Listing only reads names and metadata, and imports nothing.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import catalogue

from zoo.errors import AlreadyRegistered, ConfigError, NotRegistered, PluginError, ZooError
from zoo.version import __version__, plugin_api_version

TAGGED = re.compile(r"(.+)\.([a-z][a-z0-9-]*)$")  # a card's name with its tag
REPOSITORY = "https://github.com/sparse-volume-zoo/sparse-volume-zoo"
VERSION = "zoo_plugin_api_version"  # its name in a plugin's top-level module
FROM_1 = (
    "in the plugin, import only from zoo, zoo.plugins and zoo.testing, let networks return"
    " `occupancy` instead of `answer`, derive backends from zoo.plugins.Backend, and set"
    f" {VERSION} = 2 (CONTRIBUTING.md, 'From plugin API 1 to 2')"
)


PLUGINS = {  # the zoo's own plugins, by what they add
    "architecture": {"vessel-segmentation": "zoo-vessels"},
    "backend": {"spconv": "zoo-spconv[cpu]"},
    "executor": {"ray": "zoo-ray"},
    "model": {"vessel-segmentation-128": "zoo-vessels"},
}


def installing(plugin: str) -> str:
    """The command that installs one of the zoo's own plugins, for a hint.

    None of them is on an index, where a name may be anyone's: they come from the checkout that the
    zoo runs or was installed from, or else from its repository.

    Args:
        plugin: the name of its package, perhaps with extras in brackets.
    """
    name = plugin.partition("[")[0]
    for checkout in (Path(__file__).parents[1], _installed_from()):
        if checkout and (checkout / "zoo_plugins" / name).is_dir():
            return f"pip install {shlex.quote(f'{checkout}/zoo_plugins/{plugin}')}"
    part = f"@v{__version__}#subdirectory=zoo_plugins/{name}"
    return f"pip install {shlex.quote(f'{plugin} @ git+{REPOSITORY}{part}')}"


def _installed_from() -> Path | None:
    """The folder that pip installed the zoo from; None if it was an index, or another tool."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname  # takes a while to import

    with suppress(PackageNotFoundError, ValueError):
        stated = distribution("sparse-volume-zoo").read_text("direct_url.json")
        url = urlsplit(json.loads(stated or "{}").get("url", ""))
        if url.scheme == "file":
            return Path(url2pathname(url.path))
    return None


class Registry(catalogue.Registry):  # type: ignore[misc]
    """A catalogue registry that refuses duplicates and isolates broken plugins.

    Names come from three sources: the zoo itself, `register`, and the entry points of plugins. A
    name may only come from one of them.
    """

    def __init__(self, group: str, noun: str, own: Mapping[str, str]) -> None:
        """Make a registry.

        Args:
            group: the entry-point group.
            noun: what an error message calls an entry, such as "backend".
            own: the zoo's own entries, name to "module:attribute".
        """
        super().__init__((group,), entry_points=True)
        self.noun = noun
        self.own = dict(own)
        self._looked_through: Any = None
        self._points: list[EntryPoint] = []

    def names(self) -> list[str]:
        """List every name, sorted; imports no plugin."""
        plugins = (point.name for point in self._get_entry_points())
        return sorted({*self.own, *self._registered(), *plugins})

    def origin(self, name: str) -> str:
        """Say where a name comes from: "zoo", "registered", or its plugin's "package version"."""
        if name in self.own:
            return "zoo"
        if name in self._registered():
            return "registered"
        points = [point for point in self._get_entry_points() if point.name == name]
        return " and ".join(sorted(map(_package, points))) or "nowhere"

    def register(self, name: str, *, func: Any = None) -> Any:
        """Register `func` under a name, or return a decorator that does.

        Raises:
            AlreadyRegistered: the name is taken; nothing is overwritten.
        """
        if name in self:
            raise AlreadyRegistered(
                f"{self.noun} {name!r} is taken by {self.origin(name)}; choose another name"
            )
        return super().register(name, func=func)

    def get(self, name: str) -> Any:
        """Look up the object under a name, and import it if necessary.

        Raises:
            NotRegistered: there is no such name; the message lists the nearest ones.
            AlreadyRegistered: two plugins claim the name.
            PluginError: the plugin that provides it cannot be imported.
        """
        if name in self.own:
            return named(self.own[name])
        if name in self._registered():
            return self._registered()[name]
        return _load(self._plugin(name), self.noun)

    def problems(self) -> list[str]:
        """Report every entry of a plugin that cannot be used, one per line; imports all plugins."""
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
        """Raise a ZooError unless the object under a name can be imported."""
        self.get(name)

    def _registered(self) -> dict[str, Any]:
        return {keys[-1]: value for keys, value in catalogue._get_all(self.namespace).items()}

    def _get_entry_points(self) -> list[EntryPoint]:
        """Those of this group: catalogue would look through all of the environment every time."""
        if self._looked_through is not catalogue.AVAILABLE_ENTRY_POINTS:
            self._looked_through = catalogue.AVAILABLE_ENTRY_POINTS
            self._points = list(super()._get_entry_points())
        return self._points

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
        nearest = ", ".join(get_close_matches(name, names, n=3, cutoff=0.5))
        there = f"the nearest are: {nearest}" if nearest else self._all(names)
        said = f"unknown {self.noun} {name!r}; {there}"
        plugin = PLUGINS.get(self.noun, {}).get(name)
        return f"{said}; {installing(plugin)} adds it" if plugin else said

    def _all(self, names: list[str]) -> str:
        """What there is, where nothing is near to an unknown name."""
        return f"there are: {', '.join(names) or 'none'}"


class CardRegistry(Registry):
    """The registry of cards; a plugin's entry point refers to a Card, or to the path of its file.

    If a plugin's package contains the card as NAME.md, it is read without importing the plugin. A
    name may end in a tag, NAME.TAG; NAME alone then stands for the card that is the default.
    """

    def __init__(self, group: str, noun: str, folder: Path, read: str) -> None:
        """Make a registry of cards.

        Args:
            group: the entry-point group.
            noun: what an error message calls an entry.
            folder: the folder with the zoo's own cards.
            read: "module:function" of the function that reads a card from a path.
        """
        super().__init__(group, noun, {path.stem: str(path) for path in folder.glob("*.md")})
        self.read = read

    def names(self) -> list[str]:
        """All names, sorted: those of cards, and NAME for the cards that are called NAME.TAG."""
        own = super().names()
        return sorted({*own, *(match[1] for name in own if (match := TAGGED.match(name)))})

    def tagged(self, name: str) -> list[str]:
        """The names of the cards NAME.TAG, if NAME is no card of its own."""
        own = super().names()
        found = [each for each in own if (match := TAGGED.match(each)) and match[1] == name]
        return [] if name in own else found

    def get(self, name: str) -> Any:
        """Get the `zoo.Card` of a model, or of its default tag.

        Raises:
            NotRegistered, AlreadyRegistered, PluginError: as for `Registry.get`; or no card of that
                name, or several, say that they are the default.
        """
        return self._default(name) if self.tagged(name) else self._card(name)

    def _default(self, name: str) -> Any:
        cards = [self._card(each) for each in self.tagged(name)]
        defaults = [card for card in cards if card.default or len(cards) == 1]
        if len(defaults) != 1:
            found = ", ".join(card.name for card in defaults or cards)
            many = "several are the default" if defaults else "none is the default"
            raise NotRegistered(f"{self.noun} {name!r}: {many}; load one of {found}")
        return defaults[0]

    def _card(self, name: str) -> Any:
        found = self._found(name)
        if not isinstance(found, str | PathLike):
            return found
        try:
            return named(self.read)(found)
        except (ConfigError, TypeError) as error:
            raise PluginError(
                f"card {name!r} of {self.origin(name)} is not usable: {error};"
                " upgrade or uninstall the package"
            ) from error

    def _all(self, names: list[str]) -> str:
        return "`zoo list` shows all names"

    def path(self, name: str) -> Path | None:
        """The path of a model's card, beside which its files are; None if it is not in a file.

        Raises:
            AlreadyRegistered, PluginError: as for `get`.
        """
        found = self._found(name) if name in self else None
        return Path(found) if isinstance(found, str | PathLike) else None

    def origin(self, name: str) -> str:
        """Say where a card comes from, or all cards of a name without its tag; reads none."""
        cards = self.tagged(name) or [name]
        return " and ".join(sorted({super(CardRegistry, self).origin(card) for card in cards}))

    def _found(self, name: str) -> Any:
        if self.tagged(name):
            name = self._default(name).name
        if name in self.own:
            return self.own[name]
        if name in self._registered() or name not in self:
            return super().get(name)
        return _file_in_package(self._plugin(name), f"{name}.md") or super().get(name)

    def _check(self, name: str) -> None:
        super().get(name)
        self.get(name)


def shipped_cards() -> Path:
    """The folder with the zoo's own cards and small weights, in the wheel or in the checkout."""
    packaged = Path(__file__).parent / "model_cards"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "cards"


def named(reference: str) -> Any:
    """Import what "module:attribute" refers to."""
    module, attribute = reference.split(":")
    return getattr(import_module(module), attribute)


def _file_in_package(point: EntryPoint, name: str) -> Path | None:
    """Find a file in the package that an entry point refers to, without importing it."""
    spec = find_spec(point.module.partition(".")[0])
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () for path in Path(folder).rglob(name)), None)


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _load(point: EntryPoint, noun: str) -> Any:
    _check_version(point, noun, _declared(point))
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{noun} {point.name!r} of plugin {_package(point)} does not load: "
            f"{type(error).__name__}: {error}; upgrade or uninstall the plugin"
        ) from error
    package = sys.modules[point.module.partition(".")[0]]
    _check_version(point, noun, getattr(package, VERSION, None))
    return found


def _declared(point: EntryPoint) -> int | None:
    """The plugin API version in a package's source, which is read before any of it is run."""
    spec = find_spec(point.module.partition(".")[0])
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    text = Path(spec.origin).read_text(encoding="utf-8", errors="replace")
    declared = re.search(rf"(?m)^{VERSION}\s*=\s*(\d+)\s*(#|$)", text)
    return int(declared[1]) if declared else None


def _check_version(point: EntryPoint, noun: str, declared: Any) -> None:
    """Raise PluginError if a package is written for another plugin API; None fits any."""
    if declared in (None, plugin_api_version):
        return
    older = isinstance(declared, int) and declared < plugin_api_version
    raise PluginError(
        f"{noun} {point.name!r} of plugin {_package(point)} is written for plugin API"
        f" {declared!r}, this zoo has {plugin_api_version}; "
        + (FROM_1 if declared == 1 else f"upgrade {'the plugin' if older else 'the zoo'}")
        + ", or uninstall the plugin"
    )


architectures = Registry(
    "zoo_architectures",
    "architecture",
    {
        "sparse-completion": "zoo.networks.completion:SparseCompletion",
        "sparse-super-resolution": "zoo.networks.super_resolution:SparseSuperResolution",
        "sparse-segmentation": "zoo.networks.segmentation:SparseSegmentation",
    },
)
heads = Registry(
    "zoo_heads",
    "head",
    {"occupancy": "zoo.networks.heads:OccupancyHead", "labels": "zoo.networks.heads:LabelsHead"},
)
backends = Registry(
    "zoo_backends",
    "backend",
    {  # fastest first: `auto` tries them in this order
        "cpu": "zoo.sparse.backends.bitmap.cpu.backend:CpuBackend",
        "gpu": "zoo.sparse.backends.bitmap.gpu.backend:GpuBackend",
        "minkowski": "zoo.sparse.backends.minkowski:MinkowskiBackend",
        "torch": "zoo.sparse.backends.reference:TorchBackend",
        "dense": "zoo.sparse.backends.dense:DenseBackend",
    },
)
_formats = {
    "nii": "zoo.volumes.formats.nifti",
    "nii.gz": "zoo.volumes.formats.nifti",
    "nrrd": "zoo.volumes.formats.nrrd",
    "nhdr": "zoo.volumes.formats.nrrd",
    "mha": "zoo.volumes.formats.metaimage",
    "mhd": "zoo.volumes.formats.metaimage",
    "npy": "zoo.volumes.formats.numpy",
    "npz": "zoo.volumes.formats.numpy",
}
tasks = Registry(
    "zoo_tasks",
    "task",
    {
        "completion": "zoo.tasks.completion:TASK",
        "super-resolution": "zoo.tasks.super_resolution:TASK",
        "segmentation": "zoo.tasks.segmentation:TASK",
    },
)
readers = Registry(
    "zoo_readers", "reader", {suffix: f"{module}:read" for suffix, module in _formats.items()}
)
writers = Registry(
    "zoo_writers", "writer", {suffix: f"{module}:write" for suffix, module in _formats.items()}
)
executors = Registry("zoo_executors", "executor", {"local": "zoo.executors.local:run_in_workers"})
cards = CardRegistry("zoo_cards", "model", shipped_cards(), "zoo.cards.card:read_card")


def drawing() -> Any:
    """The function that draws a prediction: it is in a room above the one that makes predictions.

    It takes the path of a PNG file, the prediction and a title.
    """
    return named("zoo.pictures:draw_prediction")


def showing(what: str) -> Any:
    """What a notebook shows, `html_of` or `view_of` an object: from a room above them all."""
    return named(f"zoo.viewer:{what}")


def everything() -> list[Registry]:
    """All registries."""
    return [architectures, heads, tasks, executors, backends, readers, writers, cards]


def plugin_parts() -> list[dict[str, str]]:
    """List what plugins provide, as package with version, kind and name; imports none of them."""
    return [
        {"package": registry.origin(name), "kind": registry.noun, "name": name}
        for registry in everything()
        for name in registry.names()
        if registry.origin(name) not in ("zoo", "registered")
    ]


def plugin_problems() -> list[str]:
    """Report every entry of a plugin, in any registry, that cannot be used, one per line."""
    return [problem for registry in everything() for problem in registry.problems()]
