"""README's lines of Python, as a type checker sees them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_readme_passes_a_strict_type_checker(tmp_path):
    api = pytest.importorskip("mypy.api")
    (code,) = re.findall(r"```python\n(import zoo\n.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert ".implant.save(" in code
    path = tmp_path / "readme.py"
    path.write_text(code)
    said, _, status = api.run(["--config-file", str(ROOT / "pyproject.toml"), str(path)])
    assert status == 0, said
