"""Plugins as users meet them: wheels that pip installs into a fresh environment, and uninstalls."""

import pytest
from command_line import ROOT, hollow_box
from fresh_environment import environment, install, rows, uninstall

pytestmark = pytest.mark.slow
ON_TORCH = ("--backend", "torch")  # `cpu` would be compiled for this environment

BROKEN = {
    "broken-import": ("raise RuntimeError('out of order')", "broken-net", "broken_import:Net"),
    "broken-version": ("zoo_plugin_api_version = 99\nNet = 1", "newer-net", "broken_version:Net"),
    "broken-name": ("Net = 1", "sparse-completion", "broken_name:Net"),
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("fresh"))


def make_broken(folder, name):
    code, part, target = BROKEN[name]
    package = folder / name
    package.mkdir()
    (package / f"{name.replace('-', '_')}.py").write_text(code)
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{name}"\nversion = "3.1"\n'
        f'[project.entry-points.zoo_architectures]\n{part} = "{target}"\n'
        f'[tool.hatch.build.targets.wheel]\ninclude = ["*.py"]\n'
    )
    return package


def test_a_new_plugin_installs_passes_its_tests_and_leaves_no_trace(fresh, tmp_path):
    said = fresh("-m", "zoo", "plugin", "new", "demo-plugin", "-o", tmp_path).stdout
    assert f"pytest {tmp_path}/demo-plugin" in said
    before = rows(fresh, "list")
    install(fresh, tmp_path / "demo-plugin")
    added = [row for row in rows(fresh, "list") if row not in before]
    assert [row["name"] for row in added] == ["demo-plugin-model"]
    assert added[0]["origin"] == "demo-plugin 0.1.0"
    fresh("-m", "pytest", "-q", tmp_path / "demo-plugin")
    assert rows(fresh, "info", "demo-plugin-model")["origin"] == "demo-plugin 0.1.0"
    assert "demo-plugin 0.1.0" in fresh("-m", "zoo", "doctor").stdout
    again = fresh("-m", "zoo", "plugin", "new", "demo-plugin", "-o", tmp_path, check=False)
    assert again.returncode == 2 and "already exists" in again.stderr
    uninstall(fresh, "demo-plugin")
    assert rows(fresh, "list") == before
    gone = fresh("-m", "zoo", "info", "demo-plugin-model", check=False)
    assert gone.returncode == 2 and "unknown model" in gone.stderr


@pytest.mark.parametrize("name", ["Demo", "demo--plugin", "../demo", "json", "1st", "class"])
def test_a_plugin_needs_a_name_that_does(name, tmp_path):
    from zoo.errors import ConfigError
    from zoo.plugins.scaffold import new_plugin

    with pytest.raises(ConfigError, match="wanted a name"):
        new_plugin(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_broken_plugins_are_named_and_break_nothing(fresh, tmp_path):
    before = rows(fresh, "list")
    install(fresh, *(make_broken(tmp_path, name) for name in BROKEN))
    try:
        assert rows(fresh, "list") == before
        problems = "\n".join(rows(fresh, "doctor")["problems"])
        assert "plugin broken-import 3.1 does not load: RuntimeError: out of order" in problems
        assert "plugin broken-version 3.1 is written for plugin API 99" in problems
        assert "of plugin broken-name 3.1 is ignored: the name is taken by zoo" in problems
        hollow_box().save(tmp_path / "in.nii.gz")
        words = ("predict", "skull-completion-64", "-i", tmp_path / "in.nii.gz")
        fresh("-m", "zoo", *words, "-o", tmp_path / "out.nii.gz", *ON_TORCH)
        assert (tmp_path / "out.nii.gz").exists()
        fresh("-m", "zoo", "verify", "skull-completion-64", "--backends", "torch")
    finally:
        uninstall(fresh, *BROKEN)
    assert rows(fresh, "doctor")["problems"] == []


def test_listing_imports_no_plugin(fresh, tmp_path):
    """Not even one that brings a card; `zoo doctor`, which imports them all, gets over it."""
    fresh("-m", "zoo", "plugin", "new", "silent", "-o", tmp_path)
    package = tmp_path / "silent/silent/__init__.py"
    package.write_text("raise SystemExit('imported')\n" + package.read_text())
    install(fresh, tmp_path / "silent")
    try:
        (row,) = rows(fresh, "list", "silent-*")
        assert row["task"] == "segmentation" and row["origin"] == "silent 0.1.0"
        assert rows(fresh, "info", "silent-model")["labels"] == ["structure"]
        assert "imported" in fresh("-c", "import silent", check=False).stderr
        problems = "\n".join(rows(fresh, "doctor")["problems"])
        assert "of plugin silent 0.1.0 does not load: SystemExit: imported" in problems
    finally:
        uninstall(fresh, "silent")


@pytest.mark.long
def test_vessels_come_with_pip(fresh, tmp_path):
    install(fresh, ROOT / "zoo_plugins/zoo-vessels")
    try:
        (row,) = rows(fresh, "list", "vessel-*")
        assert row["name"] == "vessel-segmentation-128"
        assert row["origin"].startswith("zoo-vessels ")
        fresh("-m", "zoo", "verify", "vessel-segmentation-128", "--backends", "torch")
        (case,) = ROOT.glob("zoo_plugins/zoo-vessels/zoo_vessels/cards/*.golden-input.nii.gz")
        words = ("predict", "vessel-segmentation-128", "-i", case, "-o", tmp_path / "out.nii.gz")
        fresh("-m", "zoo", *words, *ON_TORCH)
        assert (tmp_path / "out.nii.gz").exists()
    finally:
        uninstall(fresh, "zoo-vessels")
    left = rows(fresh, "list")
    assert left and "vessel" not in str(left)


@pytest.mark.long
def test_an_implant_goes_to_a_printer_with_zoo_mesh(fresh, tmp_path):
    fresh("-m", "zoo", "phantom", "skull", "-o", tmp_path, "--resolution", "64")
    (skull,) = (tmp_path / "defective_skull").iterdir()
    implant = tmp_path / "implant.stl"
    words = ("-m", "zoo", "predict", "skull-completion-64", "-i", skull, "--implant", implant)
    words += ("-o", tmp_path / "complete.nii.gz", *ON_TORCH)
    refused = fresh(*words, check=False)
    assert refused.returncode == 2 and f"pip install {ROOT}/zoo_plugins/zoo-mesh" in refused.stderr
    install(fresh, ROOT / "zoo_plugins/zoo-mesh", alone=False)
    try:
        fresh(*words)
        facts = fresh("-c", f"import trimesh as t; m = t.load('{implant}'); print(m.is_watertight)")
        assert facts.stdout.strip() == "True"
    finally:
        uninstall(fresh, "zoo-mesh")
