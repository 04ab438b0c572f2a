"""Predictions from several passes of a network, mirrored and moved."""

from itertools import islice

import numpy as np
import pytest

import zoo
from zoo.datasets import Case
from zoo.datasets.phantoms import skull_case
from zoo.errors import ConfigError
from zoo.networks import GeneratedCoverage
from zoo.tasks.completion import _passes
from zoo.tasks.completion._options import CompletionSettings
from zoo.tasks.completion._passes import averaged, passes
from zoo.tasks.completion._scoring import CompletionScoring

SPACING = 3.2


@pytest.fixture(scope="module")
def model():
    return zoo.load("skull-completion-64.skullfix", backend="cpu", device="cpu")


@pytest.fixture(scope="module")
def skull():
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    return zoo.Volume(skull_case(1_000_003, 64).defective.astype(np.uint8), affine)


def generated(low, values):
    return GeneratedCoverage(low, np.array(values, np.float32))


def test_the_first_pass_takes_the_input_as_it_is_and_all_differ():
    moves = list(islice(_passes._moves(128), 16))
    assert moves[0] == (False, (0, 0, 0)) and len(set(moves)) == 16
    assert [mirrored for mirrored, _ in moves] == [False, True] * 8
    furthest = np.abs([nudge for _, nudge in moves]).max()
    assert 6 <= furthest <= 128 / (2 * _passes.REACH)


def test_a_pass_gives_its_answer_on_the_grid_as_it_was(monkeypatch):
    """The network's part is played by one that finds what it is given, whatever the axes."""
    seen = []

    def found(model, grid, nudge):
        seen.append(grid)
        return generated((0, 0, 0), grid / 255)

    monkeypatch.setattr(_passes, "cover", found)
    grid = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
    model = zoo.load("skull-completion-64.skullfix", backend="torch", device="cpu")
    first, mirrored = islice(passes(model, grid), 2)
    assert np.array_equal(seen[1], grid[::-1])
    for one in (first, mirrored):
        assert np.array_equal(one.within((slice(0, 6), slice(0, 5), slice(0, 4))), first.values)


def test_a_mean_is_of_all_passes_where_any_adds_something():
    given = np.zeros((6, 1, 1), np.uint8)
    given[2] = 255
    one = generated((1, 0, 0), [[[0.5]], [[0.2]]])  # less than what is given at 2
    other = generated((3, 0, 0), [[[1.0]], [[0.4]]])
    mean = averaged([one, other], given)
    assert mean.low == (1, 0, 0)
    assert mean.values[:, 0, 0] == pytest.approx([0.25, 1, 0.5, 0.2])
    assert averaged([one], given) is one


def test_passes_are_averaged_by_default_and_one_is_as_before(model, skull):
    alone, default, two = (
        model.predict(skull, **kind) for kind in ({"passes": 1}, {}, {"passes": 2})
    )
    assert np.array_equal(default.volume.array, two.volume.array)
    assert not np.array_equal(alone.implant.array, two.implant.array)
    assert zoo.volumes.dice(alone.implant.array, two.implant.array) > 0.8


def test_scores_are_those_of_as_many_passes_as_are_wanted(model, skull, tmp_path):
    found = skull_case(1_000_003, 64)
    whole = skull.with_array((found.defective | found.implant).astype(np.uint8))
    source, target = tmp_path / "defective.nii.gz", tmp_path / "complete.nii.gz"
    skull.save(source)
    whole.save(target)
    case = Case("skull", source, target, None)
    for count in (1, 2):
        settings = CompletionSettings(model=model.card.name, weights=None, passes=count)
        prediction, score = CompletionScoring(settings).score(model, case)
        alone = model.predict(source, passes=count)
        assert np.array_equal(prediction.implant.array, alone.implant.array)
        assert score.implant_voxels == np.count_nonzero(alone.implant.array)


@pytest.mark.parametrize("passes", [0, 17])
def test_passes_are_one_to_sixteen(model, skull, passes):
    with pytest.raises(ConfigError, match="passes"):
        model.predict(skull, passes=passes)


def test_occupancy_has_no_mean(skull):
    phantom = zoo.load("skull-completion-64.phantom", backend="torch", device="cpu")
    with pytest.raises(ConfigError, match="wanted 1, got 2: skull-completion-64"):
        phantom.predict(skull, passes=2)
