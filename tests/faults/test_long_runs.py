"""A training that is killed again and again ends as one that is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from training_runs import SMALL

KILLING = Path(__file__).parent / "killing.py"


@pytest.mark.long
def test_kills_leave_no_trace(tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**SMALL, "steps": 400}))
    done = subprocess.run(
        [sys.executable, KILLING, tmp_path / "runs", tmp_path / "recipe.yaml", "--every", "8"],
        capture_output=True,
        text=True,
    )
    assert done.stdout, done.stderr
    facts = json.loads(done.stdout)
    assert facts["kills"] >= 1 and not facts["differences"], facts
    assert done.returncode == 0
