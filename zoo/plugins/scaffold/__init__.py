"""Creates new plugins: packages that install and pass their tests as they are."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from keyword import iskeyword
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from zoo import registries
from zoo.cards import README, WEIGHTS, BesideCard, Card
from zoo.errors import ConfigError, WriteError
from zoo.models import INPUT, PREDICTION, Model
from zoo.sparse import select_backend
from zoo.volumes import InputContract, make_folder

TEMPLATE = Path(__file__).parent / "template"
TEXT = """# {name}-model

Labels the voxels of a scan. **Its weights are random**: train it, then say here what it was
trained on, how well it does and what it is not for.

Research use only.
"""


def new_plugin(name: str, parent: str | Path = ".") -> Path:
    """Create a package in a folder of its own.

    Args:
        name: name of the distribution and the architecture: a-z, 0-9 and single dashes.
        parent: the folder to create the package's folder in.

    Returns:
        The package's folder.

    Raises:
        ConfigError: the name is not valid, or is taken.
        WriteError: the folder already exists, or cannot be written.
    """
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or iskeyword(module):
        raise ConfigError(
            f"wanted a name of a-z, 0-9 and single dashes, such as my-vessels, got {name!r}"
        )
    folder = Path(parent) / name
    if folder.exists():
        raise WriteError(f"{folder} already exists: choose another name, or remove it")
    spec = find_spec(module)
    if name in registries.architectures or (spec and spec.origin):
        raise ConfigError(f"wanted a name that is free, got {name!r}, which is already installed")
    make_folder(parent)
    design = f"{name.title().replace('-', '')}Network"
    words = {"@NAME@": name, "@MODULE@": module, "@CLASS@": design}
    with TemporaryDirectory(prefix=".zoo-", dir=parent) as temporary:
        made = Path(temporary, name)
        package = made / module
        for source, target in {
            "pyproject.toml": made / "pyproject.toml",
            "README.md": made / "README.md",
            "__init__.py": package / "__init__.py",
            "network.py": package / "network.py",
            "test_plugin.py": made / "tests" / f"test_{module}.py",
        }.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(TEMPLATE / f"{source}.txt", words), encoding="utf-8")
        _write_model(package / "network.py", design, package / f"{name}-model.md")
        made.rename(folder)
    return folder


def _filled(template: Path, words: dict[str, str]) -> str:
    text = template.read_text(encoding="utf-8")
    for placeholder, word in words.items():
        text = text.replace(placeholder, word)
    return text


def _write_model(source: Path, design: str, path: Path) -> None:
    """Write the card, random weights and reference case of a network that is not installed yet."""
    architecture = _class(source, design)
    torch.manual_seed(0)
    config = architecture.config_class()
    contract = InputContract.around(1.0, 0.3, 3.0, kind="intensity", windows=((-200.0, 3000.0),))
    name = path.stem.removesuffix("-model")
    card = Card(
        name=path.stem,
        task=architecture.task,
        architecture=name,
        config=config.model_dump(mode="json"),
        input=contract,
        labels=("structure",),
        text=TEXT.format(name=name),
    )
    device = torch.device("cpu")
    model = Model(architecture(config), card, select_backend("torch", device), device)
    beside = BesideCard(path)
    with TemporaryDirectory() as folder:
        model.save(folder)
        for file in (WEIGHTS, INPUT, PREDICTION):
            shutil.copy(Path(folder, file), beside.path_of(file))
        shutil.copy(Path(folder, README), path)


def _class(source: Path, name: str) -> Any:
    spec = spec_from_file_location("new_plugin_network", source)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)
