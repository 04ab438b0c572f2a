"""What `zoo train` says while it goes on, where there is no terminal."""

import re

import pytest
import yaml
from training_runs import SMALL, trainer

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
    lines = [
        re.sub(r": loss [\d.]+, [\d.]+ s a step, \d+ min left", "", line)
        for line in said.splitlines()
    ]
    assert lines == [
        *(f"data: {n} of 3 ready" for n in (1, 2, 3)),
        *("step 2 of 6", "validating", "step 4 of 6", "step 6 of 6", "validating"),
        *("averaging statistics of step 6", "validating", "saving"),
    ]
    assert "averaged after step 6" in printed  # whatever scored higher before


def test_statistics_and_validation_say_how_far_they_are(tmp_path):
    run = trainer(tmp_path, steps=1, validation_cases=2)
    seen = []
    run.stage = lambda *stage: seen.append(stage)
    run.run(0, lambda step, loss: None)
    validating = [("validating", 0, 0), ("validating", 1, 2), ("validating", 2, 2)]
    assert seen == validating
    run.finish(0)
    averaging = [("averaging statistics of step 1", done, 2) for done in (0, 1, 2)]
    assert seen[3:] == averaging + validating
