"""`zoo train` finds the plugin's own task, which makes samples that a network can learn from."""

import numpy as np
import pytest
import torch

from zoo.plugins import ConfigError, check_config, read_config, select_backend, training_class
from zoo.testing import check_architecture
from zoo_vessels import CARD, training
from zoo_vessels.network import VesselConfig, VesselSegmentation
from zoo_vessels.training import VesselRun, VesselTraining, cropped, turned

CPU = torch.device("cpu")


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "RESOLUTION", 32)
    monkeypatch.setattr(training, "HEADS", 2)
    config = VesselRun(architecture="vessel-segmentation", validation_cases=1)
    return VesselTraining(config, tmp_path, 16)


def test_the_architecture_names_its_task(task):
    assert training_class("vessel-segmentation") is VesselTraining
    assert task.facts()["labels"] == ("vessel",)


def test_heads_are_generated_before_training(task, tmp_path):
    preparations = task.preparations()
    assert len(preparations) == 2
    for make in preparations:
        make()
    assert len(list(tmp_path.rglob("head-*.npz"))) == 2


def test_samples_are_by_number_and_learned_from(task):
    x, target = task.sample(3)
    again, _ = task.sample(3)
    assert (x.values == again.values).all()
    assert len(x.values) == len(target.values) and set(target.values.tolist()) == {0, 1, 2}
    torch.manual_seed(0)
    network = VesselSegmentation(VesselConfig(channels=(4, 8, 8)))
    device, backend = CPU, select_backend("torch", CPU)
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
    grids = np.arange(16, dtype=np.uint8).reshape(2, 2, 2, 2)
    for seed in range(5):
        first, second = turned(grids, np.random.default_rng(seed))
        assert sorted(first.ravel()) == list(range(8)) and (second == first + 8).all()


def test_parts_of_a_head_are_seen_too():
    grids = np.stack([np.arange(4096).reshape(16, 16, 16)] * 2)
    shapes = set()
    for seed in range(12):
        part = cropped(grids, np.random.default_rng(seed))
        assert (part[0] == part[1]).all()
        corners = np.unravel_index([part[0, 0, 0, 0], part[0, -1, -1, -1]], (16, 16, 16))
        shape = np.diff(corners, axis=1)[:, 0] + 1
        assert (shape == part.shape[1:]).all() and (shape >= 8).all()
        shapes.add(part.shape)
    assert (2, 16, 16, 16) in shapes and len(shapes) > 3


def test_the_network_complies():
    for norm in ("batch", "instance"):
        check_architecture(
            VesselSegmentation, VesselConfig(channels=(4, 8, 8), norm=norm), backends=["torch"]
        )


def test_missing_an_axis_costs_more_than_missing_as_much_elsewhere(task):
    """The voxels along the axes of vessels count in Dice, and by themselves."""
    x, _ = task.sample(3)
    inputs, _ = task.tensors(([x], [x]), select_backend("torch", CPU), CPU)
    target = torch.zeros(len(inputs), dtype=torch.int64)
    target[:20], target[20:40] = 1, 2

    def loss(missed):
        logits = torch.zeros(len(inputs), 2)
        logits[:, 0] = 9
        logits[:40, 1] = 18
        logits[missed, 1] = 0
        return task.loss(lambda _: logits, inputs, target, forced=True).item()

    assert loss(slice(30, 40)) > loss(slice(10, 20)) + 0.4


def test_what_is_for_other_tasks_is_refused():
    config = {"architecture": "vessel-segmentation", "thorax": {"chests": 3}}
    with pytest.raises(ConfigError, match="thorax: Extra inputs are not permitted"):
        check_config(config, source="mine.yaml")


def test_the_recipe_is_the_one_of_the_weights():
    import zoo

    first, recipe = (read_config(CARD.with_suffix(end)) for end in (".first.yaml", ".yaml"))
    model = zoo.load(CARD.stem)
    assert model.origin.facts["training_config_sha256"] == recipe.sha256()
    assert recipe.initial == "local-dir:runs/vessels-first/model" and first.initial is None
    assert VesselConfig(**first.config) == VesselConfig(**recipe.config) == model.config
