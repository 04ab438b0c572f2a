"""Every finding of the campaign, and a short search of each kind from a fixed seed."""

import mmap
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from campaign import Found, search
from firing import damaged, fire, put
from kinds import KINDS, contents

from zoo.errors import ReadError

CORPUS = Path(__file__).parent / "corpus"
FINDINGS = sorted(path for kind in CORPUS.iterdir() for path in kind.iterdir())
INPUTS = 10


@pytest.fixture(autouse=True)
def quiet():
    """Warnings of libraries go to stderr, which the command line keeps for itself."""
    with warnings.catch_warnings(action="ignore"):
        yield


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_findings(finding, tmp_path):
    if finding.parent.name not in KINDS:
        pytest.skip(f"{finding.parent.name}: its plugin is not installed")
    put(contents(finding), tmp_path / "input")
    fire(KINDS[finding.parent.name], tmp_path / "input")


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_short_search(name, tmp_path):
    """As the campaign searches for hours."""
    kind, folder, worst = KINDS[name], tmp_path / "input", []

    def shot(script):
        put(damaged(kind, script), folder)
        try:
            fire(kind, folder)
        except Exception as error:
            worst.append(f"{type(error).__name__}: {error}")
            raise Found from error

    search(shot, 0, 2 if name == "hub" else INPUTS)  # it waits between its tries
    assert not worst, f"{worst[-1]}, of the files {contents(folder)}"


def test_an_error_of_the_campaign_itself_is_no_finding_and_not_lost():
    def broken(script):
        raise TypeError("seeds")

    with pytest.raises(TypeError, match="seeds"):
        search(broken, 0, INPUTS)


def test_a_finding_need_not_come_twice_but_nothing_else_is_taken_for_one():
    def once(error):
        errors = [error]

        def shot(script):
            if errors:
                raise errors.pop()

        return shot

    search(once(Found()), 0, INPUTS)
    with pytest.raises(ExceptionGroup) as lost:
        search(once(TypeError("seeds")), 0, INPUTS)
    assert lost.group_contains(TypeError, match="seeds")


def sleep_for_ever(folder):
    time.sleep(60)


def grow(folder):
    """Pages from the system: an array may lie in memory that other tests took and left."""
    with mmap.mmap(-1, 600 << 20) as taken:
        for start in range(0, len(taken), mmap.PAGESIZE):
            taken[start] = 1


class Mumbling(ReadError):
    def __str__(self):
        return "first line" + "." * 9000


def mumble(folder):
    raise Mumbling


def trip(folder):
    raise KeyError("step")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("read", "said"),
    [(sleep_for_ever, "longer than"), (grow, "took "), (mumble, "a line of"), (trip, "step")],
)
def test_what_breaks_a_promise_is_found(read, said, tmp_path, monkeypatch):
    monkeypatch.setattr("firing.WAITING", 3)
    with pytest.raises((AssertionError, KeyError), match=said):
        fire(replace(KINDS["nii"], read=read), tmp_path)
