"""Batches of training pairs, made in worker processes or in this one."""

import hashlib
import json
import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from command_line import ROOT
from threadpoolctl import threadpool_info, threadpool_limits
from training_runs import equal, points, same, samples, settings

from zoo.errors import ReadError
from zoo.networks.application import COARSEST
from zoo.registries import shipped_cards
from zoo.tasks import _skulls as sources
from zoo.training import read_config
from zoo.training._batches import Samples, batches, prepare
from zoo.training._loop import make_training
from zoo.training.config import AugmentationConfig

# The published recipe's samples, which its card's scores rest on.
PUBLISHED = {
    0: ("a1d641de8638b20c", "1a418224626472b9"),
    1: ("ee5b839a89e97229", "8a3e6f5b7ed3f7ea"),
    47999: ("4dfd8700c30ab600", "2b15c0013becbe49"),
}


@pytest.mark.parametrize("number", PUBLISHED)
def test_published_recipe_has_its_samples(tmp_path, number):
    recipe = read_config(shipped_cards() / "skull-completion-64.phantom.yaml")
    pair = make_training(recipe, tmp_path, COARSEST).sample(number)
    coordinates = [part.coordinates.numpy().tobytes() for part in pair]
    digests = (hashlib.sha256(part).hexdigest()[:16] for part in coordinates)
    assert tuple(digests) == PUBLISHED[number]


def test_samples_depend_on_seed_and_number_alone(tmp_path):
    first, second = samples(tmp_path), samples(tmp_path)
    assert same(first[7], second[7])
    assert not equal(first[7][0], first[8][0])
    assert not equal(first[7][0], samples(tmp_path, seed=1)[7][0])


def test_a_sample_lacks_something_of_its_target(tmp_path):
    source, target = map(points, samples(tmp_path)[0])
    assert source < target


def test_worker_processes_make_the_same_batches(tmp_path):
    state = torch.get_rng_state()
    here, there = (list(batches(samples(tmp_path), settings(), range(1, 3), n)) for n in (0, 1))
    assert torch.equal(torch.get_rng_state(), state)  # or a resumed run would draw another way
    assert len(here) == 2
    for (a,), (b,) in zip(here, there, strict=True):
        assert same(a[0] + a[1], b[0] + b[1])


def test_processes_and_passes_share_a_batch(tmp_path):
    """Whoever makes them: the same samples in a step, each once."""
    ((whole,),) = batches(samples(tmp_path), settings(), range(1, 2), 0)
    split = settings(accumulate=2)
    parts = []
    for process in range(2):
        (passes,) = batches(samples(tmp_path), split, range(1, 2), 0, process=process, processes=2)
        assert [len(s) for s, _ in passes] == [1, 1]
        parts += [s for inputs, _ in passes for s in inputs]
    assert same(parts, whole[0])


def threads():
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


def write_threads(path):
    """At module level, where a worker that was not forked finds it."""
    path.write_text(f"{threads()}")


def test_numpy_has_one_thread_in_a_worker(tmp_path):
    """With as many as there are cores, two workers conformed scans 15 times slower than one."""
    with threadpool_limits(2, user_api="blas"):
        assert set(threads()) == {2}
        asked = [partial(write_threads, tmp_path / f"{number}") for number in range(2)]
        assert list(prepare(asked, 2)) == [1, 2]
    for number in range(2):
        assert set(json.loads((tmp_path / str(number)).read_text())) == {1}


class Emptied:
    """A task whose files have been emptied since the training began."""

    def sample(self, number):
        raise ReadError("skull.nrrd: the file is empty")


@pytest.mark.slow
def test_an_error_in_a_worker_is_one_line(monkeypatch):
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)  # or it waits 5 s
    for workers in (0, 1):
        with pytest.raises(ReadError) as caught:
            list(batches(Samples(Emptied()), settings(), range(1), workers))
        assert str(caught.value) == "skull.nrrd: the file is empty"


@pytest.mark.slow
def test_a_run_that_fails_leaves_no_worker_to_wait_for():
    """Though the traceback is kept, as a notebook keeps it."""
    code = """if True:
        import sys
        from training_runs import settings
        from test_samples import Emptied
        from zoo.training._batches import Samples, batches
        try:
            list(batches(Samples(Emptied()), settings(), range(1), 1))
        except Exception as error:
            sys.last_exc = error
            print(error)
        """
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests/training")))
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stdout) == (0, "skull.nrrd: the file is empty\n"), run.stderr


def test_a_skull_is_generated_once_for_all_workers(tmp_path, monkeypatch):
    made = []

    def skull(seed, resolution):
        made.append(seed)
        return complete_skull(seed, resolution)

    complete_skull = sources.complete_skull
    monkeypatch.setattr(sources, "complete_skull", skull)
    first = [samples(tmp_path)[n] for n in range(6)]
    again = [samples(tmp_path)[n] for n in range(6)]
    assert sorted(made) == sorted(set(made))
    assert all(map(same, first, again))


def test_augmented_samples_are_reproducible_and_off_by_default(tmp_path):
    augmentation = {"flip": 0.5, "degrees": 10, "scale": (0.9, 1.1), "noise": 0.1}
    plain, first, second = (
        samples(tmp_path, **change)[5]
        for change in ({}, {"augmentation": augmentation}, {"augmentation": augmentation})
    )
    assert same(first, second)
    assert not equal(plain[0], first[0])
    assert AugmentationConfig() == settings().augmentation
