"""A run small enough for tests, in this process or, as a script, in one of its own.

    python training_runs.py FOLDER CONFIG.json

prints the loss of every step and the sha256 of the parameters in the end.
"""

import contextlib
import hashlib
import json
import sys
from pathlib import Path

import torch

from zoo import registries
from zoo.networks.application import COARSEST
from zoo.tasks import _generative_training as generative
from zoo.training import check_config
from zoo.training._batches import Samples
from zoo.training._loop import Trainer, make_training
from zoo.training._processes import start_processes

SMALL = {
    "architecture": "sparse-completion",
    "config": {"channels": [2, 2, 4, 4, 4, 4, 8]},
    "phantoms": {"resolution": 16, "skulls": 3, "jitter": 1},
    "steps": 6,
    "batch_size": 4,
    "validate_every": 3,
    "validation_cases": 1,
    "statistics_batches": 2,
}


def trainer(folder, *, backend="torch", cache=None, **changes):
    config = settings(**changes)
    accelerator, target = start_processes("cpu")
    chosen = registries.backends.get(backend)()
    return Trainer(config, Path(folder), chosen, target, accelerator, cache)


def losses(run, stop=None):
    """Losses of the steps up to `stop`, as a killed process would have done them."""
    seen = {}

    def on_step(step, loss):
        seen[step] = loss
        if step == stop:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        run.run(0, on_step)
    assert stop is None or max(seen) == stop
    return seen


def scored(run, *scores):
    """The run with validations that give these implant Dice."""
    given = iter(scores)
    run._score = lambda network: {"implant_dice": next(given), "complete_dice": 1.0}
    return run


def settings(**changes):
    return check_config(SMALL | changes, source="test")


def samples(folder, **changes):
    return Samples(make_training(settings(**changes), folder / "cache", COARSEST))


def equal(one, other):
    return torch.equal(one.coordinates, other.coordinates)


def same(one, other):
    return all(equal(a, b) for a, b in zip(one, other, strict=True))


def points(shape):
    return set(map(tuple, shape.coordinates.tolist()))


def digest(network):
    parameters = [p.detach().numpy().tobytes() for p in network.parameters()]
    return hashlib.sha256(b"".join(parameters)).hexdigest()


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, changes = sys.argv[1], json.loads(sys.argv[2])
    resumed = changes.pop("resume", False)
    run = trainer(folder, cache=Path(folder).parent / "cache", **changes)
    if resumed:
        run.resume()
    if run.accelerator.process_index == 1:  # as if a level had been left without voxels there
        whole = generative.deep_supervision
        generative.deep_supervision = lambda levels, weights: whole(levels[:-1], weights)
    run.run(0, lambda step, loss: print(step, float(loss).hex(), flush=True))
    print("end", digest(run.network), flush=True)
    run.accelerator.end_training()
