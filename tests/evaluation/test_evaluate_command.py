"""What `zoo evaluate` shows, and the folders that it refuses."""

import pytest
from case_folders import complete, segthor, skullfix, table
from command_line import contents

from zoo.cli import main
from zoo.cli.evaluate import case_table, remarks
from zoo.errors import ZooError
from zoo.evaluation import Result
from zoo.tasks.completion._scoring import MEASURES


def test_of_many_cases_the_worst_are_shown():
    measures = dict.fromkeys(MEASURES, 1.0)
    cases = [{**measures, "case": f"{n}", "implant_dice": n / 30} for n in range(30)]
    facts = {
        "cases": cases[::-1],
        "without_prediction": 0,
        "summary": {"hd95": {"cases": 28}},
    }
    result = Result(facts, MEASURES, {})
    assert [row["case"] for row in case_table(result)] == [str(n) for n in range(20)]
    shown, infinite = remarks(result)
    assert "20 worst of 30 cases" in shown and "infinite distances of 2 cases" in infinite


def test_the_layout_is_said_with_the_first_score(tmp_path, capfd, monkeypatch):
    heard = []

    def score(model, cases, scoring):
        yield cases[0], ZooError("no")
        heard.append(capfd.readouterr().out)
        yield cases[0], None
        heard.append(capfd.readouterr().out)
        raise ZooError("enough")

    monkeypatch.setattr("zoo.evaluation.evaluate", score)
    skullfix(tmp_path, "nii.gz")
    words = ["evaluate", "skull-completion-64", "--backend", "torch", "--data", f"{tmp_path}"]
    main(words)
    assert heard == ["", f"{tmp_path}: taken for a data set of layout skullfix\n"]


@pytest.fixture
def refused(tmp_path, capfd, monkeypatch):
    """The complaint of `zoo evaluate` in a folder that it leaves as it was."""
    monkeypatch.chdir(tmp_path)

    def refused(words):
        before = contents(tmp_path)
        assert main(["evaluate", "skull-completion-64", *words.split()]) == 2
        printed, complaint = capfd.readouterr()
        assert (printed, complaint.count("\n")) == ("", 1)
        assert contents(tmp_path) == before
        return complaint

    return refused


@pytest.mark.parametrize("resume", ["", " --resume"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--data set -o set", "set: is the folder of the data"),
        ("--data set/cases.csv -o set", "set: is the folder of the data"),
        ("--data set/cases.csv -o elsewhere/../set", "is the folder of the data"),
        ("--data set/other.csv -o set", "set: is the folder of the data"),
        ("--data linked.csv -o set", "set: is the folder of the data"),
        ("--data set/cases.csv -o skulls", "skulls: is a data set of layout complete, which"),
        ("--data fix/complete_skull -o fix", "fix: is a data set of layout skullfix, which"),
    ],
)
def test_scores_are_not_written_where_they_would_be_data(words, said, resume, tmp_path, refused):
    table(tmp_path / "set", "nii.gz")
    (tmp_path / "set" / "other.csv").write_bytes((tmp_path / "set" / "cases.csv").read_bytes())
    (tmp_path / "linked.csv").symlink_to(tmp_path / "set" / "cases.csv")
    complete(tmp_path / "skulls", "nii.gz")
    skullfix(tmp_path / "fix", "nii.gz")
    (tmp_path / "elsewhere").mkdir()
    assert said in refused(words + resume)


@pytest.mark.parametrize("option", ["", " --layout segthor"])
def test_data_for_segmentation_is_refused(option, tmp_path, refused):
    segthor(tmp_path / "scans", "nii.gz")
    said = refused("--data scans" + option)
    assert "scans: wanted cases that are a complete shape" in said and "got segthor" in said
