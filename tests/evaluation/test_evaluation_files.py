"""The pictures that an evaluation leaves in its folder."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from zoo.datasets.cases import Case
from zoo.evaluation import _files as evaluation_files
from zoo.evaluation._files import draw_worst
from zoo.evaluation.scores import Measure
from zoo.tasks.completion._scoring import MEASURES


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Draws the worst `count` cases; returns the title of each picture by its file name."""

    def draw(dice, count, measures=MEASURES):
        titles = {}

        def save(path, prediction, title):
            path.write_bytes(b"new")
            titles[path.name] = title

        monkeypatch.setattr(evaluation_files, "draw_prediction", save)
        cases = [Case(name, None, Path("skull.nii"), None) for name in dice]
        first = next(iter(measures))
        scores = [SimpleNamespace(**{"case": name, first: value}) for name, value in dice.items()]
        model = SimpleNamespace(card=SimpleNamespace(name="a-model"))
        checks = SimpleNamespace(measures=measures, score=lambda model, case: (None, None))
        drawn = draw_worst(tmp_path, model, cases, scores, checks, count)
        assert [path.name for path in drawn] == list(titles)
        return titles

    return draw


def test_the_worst_cases_are_drawn(tmp_path, draw):
    for name in ("worst-1-bilateral%2F002.png", "worst-1-mine.png"):
        (tmp_path / name).write_bytes(b"old")
    titles = draw({"bilateral/000": 0.5, "bilateral/001": 0.2, "bilateral/002": 0.9}, 2)
    names = ["worst-1-bilateral%2F001.png", "worst-2-bilateral%2F000.png"]
    assert list(titles) == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "worst-1-mine.png"])
    assert titles[names[0]] == "bilateral/001, a-model: implant Dice 0.2000"


def test_the_worst_of_errors_are_the_largest(draw):
    titles = draw({"a": 0.5, "b": 2.0, "c": 1.0}, 2, {"error": Measure("error mm", unit="mm")})
    assert list(titles) == ["worst-1-b.png", "worst-2-c.png"]


def test_no_two_cases_share_a_picture(tmp_path, draw):
    pictures = [draw({name: 0.5}, 1) for name in ("a/b", "a-b", "a%2Fb")]
    assert len(list(tmp_path.iterdir())) == 3 == len(set().union(*pictures))


def test_old_pictures_are_looked_for_once(draw, monkeypatch):
    looked, glob = [], Path.glob
    monkeypatch.setattr(Path, "glob", lambda *given: looked.append(given) or glob(*given))
    draw({f"{number}": 0.5 for number in range(9)}, 1)
    assert len(looked) == 1
