"""What `zoo train` says while it goes on, where there is no terminal."""

import re

import pytest
import yaml
from training_runs import SMALL

from zoo.cli import main
from zoo.datasets.phantoms.files import write_case


@pytest.mark.slow
def test_a_log_file_says_how_far_data_and_steps_are(tmp_path, capfd):
    for number in range(3):
        write_case(tmp_path / "data", number, seed=number, resolution=32)
    config = SMALL | {"dataset": {"folder": str(tmp_path / "data")}, "keep": "last"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    words = f"train {tmp_path / 'run.yaml'} -o {tmp_path / 'run'} --workers 0 --log-every 2"
    assert main(words.split()) == 0
    printed, said = capfd.readouterr()
    assert printed.startswith("trained: ") and printed.count("\n") == 1
    lines = [line for line in said.splitlines() if line.startswith(("data", "step", "measuring"))]
    assert lines[:3] == [f"data: {n} of 3 ready" for n in (1, 2, 3)]
    steps = [re.match(r"step (\d) of 6: loss [\d.]+, [\d.]+ s a step", line) for line in lines[3:6]]
    assert [match and match[1] for match in steps] == ["2", "4", "6"]
    assert lines[6:] == ["measuring statistics and validating"]
    assert "averaged after step 6" in printed  # whatever scored higher before
