"""Registries, with plugins that are really installed as distributions on the path."""

import shlex
import subprocess
import sys
from importlib import metadata

import catalogue
import pytest
from command_line import ROOT
from packaging.requirements import Requirement

import zoo
from zoo import registries
from zoo.errors import AlreadyRegistered, NotRegistered, PluginError


def make_plugin(folder, package, group, entries, code=""):
    """A distribution as pip leaves it: a module, and metadata that declares entry points."""
    (folder / f"{package}.py").write_text(code)
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = [f"{name} = {package}:{attribute}" for name, attribute in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path, and what makes catalogue look at the installed metadata again."""
    monkeypatch.syspath_prepend(tmp_path)

    def refresh():
        monkeypatch.setattr(catalogue, "AVAILABLE_ENTRY_POINTS", metadata.entry_points())

    return tmp_path, refresh


@pytest.fixture
def registry():
    made = registries.Registry("zoo_test_things", "thing", {"own": "math:pi"})
    yield made
    for name in made._registered():
        catalogue._remove([made.namespace[0], name])


def test_what_the_zoo_brings():
    assert "sparse-completion" in registries.architectures
    assert "occupancy" in registries.heads
    assert {"torch", "minkowski"} <= set(registries.backends.names())
    assert set(registries.readers.names()) == {
        *("nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd", "npy", "npz")
    }
    assert registries.writers.names() == registries.readers.names()


@pytest.mark.parametrize("group", registries.everything(), ids=lambda group: group.noun)
def test_everything_listed_can_be_had(group):
    for name in group.names():
        if name != "minkowski":
            assert group.get(name) is not None


def test_own_and_registered(registry):
    assert registry.get("own") == pytest.approx(3.14159, abs=1e-4)
    registry.register("more", func=42)
    assert registry.get("more") == 42
    assert registry.names() == ["more", "own"]
    assert [registry.origin(name) for name in registry.names()] == ["registered", "zoo"]


def test_register_as_decorator(registry):
    @registry.register("made")
    def make():
        return "it"

    assert registry.get("made") is make


def test_failed_look_up_lists_the_nearest(registry):
    registry.register("sparse-completion", func=1)
    registry.register("other", func=2)
    with pytest.raises(NotRegistered, match=r"unknown thing 'sparse-completon'.*-completion$"):
        registry.get("sparse-completon")


def test_models_are_too_many_to_be_listed_where_none_is_near():
    with pytest.raises(NotRegistered) as caught:
        registries.cards.get("qqqq")
    assert str(caught.value) == "unknown model 'qqqq'; `zoo list` shows all names"
    with pytest.raises(NotRegistered, match="unknown head 'qqqq'; there are: labels, occupancy"):
        registries.heads.get("qqqq")


@pytest.mark.parametrize("name", ["own", "more"])
def test_second_registration_is_refused(registry, name):
    registry.register("more", func=1)
    with pytest.raises(AlreadyRegistered, match=name):
        registry.register(name, func=2)
    assert registry.get("more") == 1


def test_listing_imports_no_plugin(site, registry):
    folder, refresh = site
    make_plugin(folder, "plug_a", "zoo_test_things", {"theirs": "thing"}, "thing = 5")
    refresh()
    assert registry.names() == ["own", "theirs"]
    assert registry.origin("theirs") == "plug_a 1.2"
    assert "plug_a" not in sys.modules
    assert registry.get("theirs") == 5


def test_broken_plugin_is_reported_and_breaks_nothing_else(site, registry):
    folder, refresh = site
    make_plugin(folder, "plug_bad", "zoo_test_things", {"bad": "x"}, "raise RuntimeError('boom')")
    make_plugin(folder, "plug_good", "zoo_test_things", {"good": "x"}, "x = 7")
    refresh()
    assert registry.names() == ["bad", "good", "own"]
    assert registry.get("good") == 7 and registry.get("own")
    with pytest.raises(NotRegistered):
        registry.get("typo")
    with pytest.raises(PluginError, match=r"plugin plug_bad 1\.2 .*RuntimeError: boom"):
        registry.get("bad")
    assert len(registry.problems()) == 1 and "plug_bad" in registry.problems()[0]


def test_plugin_cannot_take_a_name(site, registry):
    folder, refresh = site
    make_plugin(folder, "plug_thief", "zoo_test_things", {"own": "x"}, "x = 'stolen'")
    refresh()
    assert registry.get("own") == pytest.approx(3.14159, abs=1e-4)
    assert "plug_thief" in registry.problems()[0]
    with pytest.raises(AlreadyRegistered, match="own"):
        registry.register("own", func=1)


def test_two_plugins_with_one_name_are_both_refused(site, registry):
    folder, refresh = site
    for package in ("plug_one", "plug_two"):
        make_plugin(folder, package, "zoo_test_things", {"same": "x"}, "x = 1")
    refresh()
    with pytest.raises(AlreadyRegistered, match=r"plug_one 1\.2 and plug_two 1\.2"):
        registry.get("same")


def test_importing_zoo_is_light():
    """No torch, no numba, no plugin, no environment variable."""
    code = (
        "import os, sys; before = dict(os.environ); import zoo;"
        "assert dict(os.environ) == before;"
        "print(sorted({'torch', 'numba', 'nibabel', 'catalogue'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_zoos_own_plugins_are_named_where_they_are_missing():
    """By a command that installs them, of which pip can make something."""
    with pytest.raises(NotRegistered) as caught:
        registries.backends.get("spconv")
    command = str(caught.value).split("; ")[-1].removesuffix(" adds it")
    assert shlex.split(command) == ["pip", "install", f"{ROOT}/zoo_plugins/zoo-spconv[cpu]"]
    for plugin in {name for parts in registries.PLUGINS.values() for name in parts.values()}:
        assert (ROOT / "zoo_plugins" / plugin.partition("[")[0] / "pyproject.toml").is_file()


@pytest.mark.parametrize("installed_from", [None, "checkout"])
def test_a_plugin_comes_from_where_the_zoo_did(installed_from, tmp_path, monkeypatch):
    """And from no index, where someone else may have its name."""
    (tmp_path / "checkout/zoo_plugins/zoo-mesh").mkdir(parents=True)
    monkeypatch.setattr(registries, "__file__", str(tmp_path / "site-packages/zoo/registries.py"))
    folder = installed_from and tmp_path / installed_from
    monkeypatch.setattr(registries, "_installed_from", lambda: folder)
    wanted = "zoo-mesh @ git+https://github.com/sparse-volume-zoo/sparse-volume-zoo"
    wanted += f"@v{zoo.__version__}#subdirectory=zoo_plugins/zoo-mesh"
    if folder:
        wanted = f"{folder}/zoo_plugins/zoo-mesh"
    assert shlex.split(registries.installing("zoo-mesh")) == ["pip", "install", wanted]
    if folder is None:
        assert Requirement(wanted).url.startswith("git+https://")
