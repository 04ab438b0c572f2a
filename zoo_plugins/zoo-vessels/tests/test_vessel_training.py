"""`zoo train` finds the plugin's own task, which makes samples that a network can learn from."""

import numpy as np
import pytest
import torch

from zoo.plugins import ConfigError, check_config, read_config, select_backend, training_class
from zoo_vessels import CARD, training
from zoo_vessels.network import VesselConfig, VesselSegmentation
from zoo_vessels.training import VesselRun, VesselTraining, turned


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "RESOLUTION", 32)
    monkeypatch.setattr(training, "HEADS", 2)
    config = VesselRun(architecture="vessel-segmentation", validation_cases=1)
    return VesselTraining(config, tmp_path, 16)


def test_the_architecture_names_its_task(task):
    assert training_class("vessel-segmentation") is VesselTraining
    assert task.facts()["labels"] == ("vessel",)


def test_samples_are_by_number_and_learned_from(task):
    x, target = task.sample(3)
    again, _ = task.sample(3)
    assert (x.values == again.values).all()
    assert len(x.values) == len(target.values) and set(target.values.tolist()) == {0, 1}
    torch.manual_seed(0)
    network = VesselSegmentation(VesselConfig(channels=(4, 8, 8)))
    device, backend = torch.device("cpu"), select_backend("torch", torch.device("cpu"))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    losses = []
    for _ in range(15):
        inputs, wanted = task.tensors(([x], [target]), backend, device)
        loss = task.loss(network, inputs, wanted, forced=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    scores = task.score(network.eval(), backend, device)
    assert list(scores) == ["dice", "centreline_recall"]
    assert all(0 <= share <= 1 for share in scores.values())


def test_turning_moves_tissues_and_makes_none():
    tissues = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    for seed in range(5):
        assert sorted(turned(tissues, np.random.default_rng(seed)).ravel()) == list(range(8))


def test_what_is_for_other_tasks_is_refused():
    config = {"architecture": "vessel-segmentation", "thorax": {"chests": 3}}
    with pytest.raises(ConfigError, match="thorax: Extra inputs are not permitted"):
        check_config(config, source="mine.yaml")


def test_the_recipe_is_the_one_of_the_weights():
    import zoo

    recipe = read_config(CARD.with_suffix(".yaml"))
    facts = zoo.load(CARD.stem).origin.facts
    assert facts["training_config_sha256"] == recipe.sha256()
