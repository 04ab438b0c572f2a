"""The examples in docstrings run, and give what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import zoo

FOLDER = Path(zoo.__file__).parent

# Found by their text: to import every module would take compilers and GPUs.
MODULES = [
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts)
    for path in sorted(FOLDER.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    results = doctest.testmod(import_module(module.removesuffix(".__init__")))
    assert results.attempted and not results.failed


def test_examples_are_found():
    assert "zoo.volumes.volume" in MODULES
