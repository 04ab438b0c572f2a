"""What `zoo train --plan` says, and that it leaves nothing behind."""

import re

import pytest
import yaml
from training_runs import SMALL

import zoo
from zoo.cli import main
from zoo.datasets.phantoms.files import write_case
from zoo.training import plan


@pytest.fixture
def recipe(tmp_path):
    def write(**changes):
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(SMALL | changes))
        return path

    return write


@pytest.mark.slow
def test_a_plan_is_one_line_and_nothing_else(recipe, tmp_path, capfd):
    path = recipe(steps=20_000)
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", str(path), "--plan"]) == 0
    printed, said = capfd.readouterr()
    number = r"[\d,.:]+"
    assert re.fullmatch(
        rf"{re.escape(str(path))}: {number} parameters; 20,000 steps of 4 samples and {number} s,"
        rf" data 00:00, validation {number}: about {number};"
        rf" a peak of {number} GB; {number} GB are free\n",
        printed,
    )
    assert said == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_plan_counts_steps_validations_and_data(recipe, tmp_path):
    for number in range(3):
        write_case(tmp_path / "data", number, seed=number, resolution=32)
    dataset = {"folder": str(tmp_path / "data")}
    once = plan(recipe(steps=3, validation_cases=1))
    often = plan(recipe(steps=3000, validation_cases=8, dataset=dataset))
    assert often.validation_seconds > 500 * once.validation_seconds  # 8,000 cases for one
    assert once.data_seconds == 0 < often.data_seconds
    assert often.seconds > often.validation_seconds + 3000 * often.step_seconds
    network = zoo.create("sparse-completion", SMALL["config"]).network
    counted = sum(parameter.numel() for parameter in network.parameters())
    assert once.parameters == often.parameters == counted
    assert 100e6 < once.peak_memory < 4e9


def test_without_a_folder_it_says_what_to_pass(recipe, capsys):
    assert main(["train", str(recipe())]) == 2
    assert "pass -o FOLDER" in capsys.readouterr().err
