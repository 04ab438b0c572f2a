"""Training of super-resolution and segmentation."""

import csv

import numpy as np
import pytest
import torch
import yaml
from command_line import hollow_box
from training_runs import points

import zoo
from zoo.cli import main
from zoo.datasets.phantoms.chests import LABELS, thorax_case
from zoo.errors import ConfigError
from zoo.sparse import SparseTensor
from zoo.tasks.super_resolution._training import cropped, multiple
from zoo.training import check_config
from zoo.training._loop import make_training

FINER = {
    "architecture": "sparse-super-resolution",
    "config": {"channels": [2, 4, 4, 4]},
    "phantoms": {"resolution": 32, "skulls": 2},
    "steps": 4,
    "batch_size": 2,
    "validate_every": 2,
    "validation_cases": 1,
    "statistics_batches": 2,
}
ORGANS = {
    **FINER,
    "architecture": "sparse-segmentation",
    "config": {"channels": [2, 4, 4], "classes": 5},
    "thorax": {"resolution": 32, "chests": 2},
}


def task(folder, base, cell=8, **changes):
    return make_training(check_config(base | changes, source="test"), folder, cell)


@pytest.mark.parametrize("seed", range(4))
def test_a_coarse_sample_is_its_target_in_blocks(tmp_path, seed):
    made = task(tmp_path, FINER, refinement={"slices": 0}, seed=seed)
    blocks, fine = made.sample(3)
    assert points(fine) <= points(blocks)
    parents = {tuple(axis // 2 for axis in point) for point in points(fine)}
    assert points(blocks) == {
        (2 * i + a, 2 * j + b, 2 * k + c)
        for i, j, k in parents
        for a in range(2)
        for b in range(2)
        for c in range(2)
    }
    assert blocks.coordinates.min(0).values.tolist() == [0, 0, 0]


def test_coverage_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"coverage: .*wanted false: super-resolution"):
        task(tmp_path, FINER, coverage=True)


def test_some_samples_have_thick_slices(tmp_path):
    made = task(tmp_path, FINER, refinement={"slices": 0.5, "thickest": 4})
    blocks = [made.sample(n)[0].grid for n in range(12)]
    thick = [sum(map(is_thick, (grid, np.moveaxis(grid, 1, 0), grid.T))) == 1 for grid in blocks]
    assert 2 <= sum(thick) <= 10


def is_thick(grid):
    """Whether slices along the first axis come in equal ones, two or more."""
    size = next((n for n in range(1, len(grid)) if (grid[n] != grid[0]).any()), len(grid))
    return size > 1 and all(
        (grid[start : start + size] == grid[start]).all() for start in range(0, len(grid), size)
    )


def test_a_crop_is_a_box_with_something_in_it(corner):
    for seed in range(10):
        part = cropped(corner, 8, np.random.default_rng(seed))
        assert part.shape == (8, 8, 8) and part.any()
    assert cropped(corner, 99, np.random.default_rng(0)).shape == corner.shape
    assert multiple(corner[:23], 4).shape == (24, 24, 24)


def test_a_scan_sample_has_the_classes_of_its_voxels(tmp_path):
    made = task(tmp_path, ORGANS)
    inputs, target = made.sample(5)
    assert len(inputs.values) == len(target.values) == len(inputs.shape.coordinates)
    assert inputs.values.abs().max() <= 1 and set(target.values.tolist()) <= set(range(5))
    again = task(tmp_path, ORGANS).sample(5)
    assert torch.equal(again[0].values, inputs.values)
    assert not torch.equal(made.sample(6)[0].values, inputs.values)


@pytest.mark.slow
def test_a_batch_keeps_features_and_classes_together(tmp_path, backend):
    made = task(tmp_path, ORGANS)
    one, other = made.sample(0), made.sample(1)
    batch = [one[0], other[0]], [one[1], other[1]]
    x, classes = made.tensors(batch, backend, torch.get_default_device())
    assert isinstance(x, SparseTensor) and x.channels == 1 and len(classes) == len(x)
    found = {}
    for point, value, kind in zip(
        x.coordinates.tolist(), x.features[:, 0].tolist(), classes.tolist(), strict=True
    ):
        found[tuple(point)] = value, kind
    for item, (inputs, target) in enumerate((one, other)):
        rows = inputs.shape.coordinates.tolist()
        for row in range(0, len(rows), 97):
            wanted = pytest.approx(float(inputs.values[row])), int(target.values[row])
            assert found[(item, *rows[row])] == wanted


def test_some_of_the_structures_may_be_wanted(tmp_path):
    config = ORGANS["config"] | {"classes": 3}
    wanted = {"thorax": {"resolution": 32, "chests": 1, "labels": ["aorta", "heart"]}}
    made = task(tmp_path, ORGANS, config=config, **wanted)
    labels = thorax_case(0, 32).labels
    classes = made.chests.numbers[labels]
    assert ((classes == 1) == (labels == 1 + LABELS.index("aorta"))).all()
    assert ((classes == 2) == (labels == 1 + LABELS.index("heart"))).all()
    with pytest.raises(ConfigError, match=r"config.classes: wanted 3, .* got 5"):
        task(tmp_path, ORGANS, **wanted)
    with pytest.raises(ConfigError, match=r"thorax.labels: wanted some of .*, got spleen"):
        task(tmp_path, ORGANS, thorax={"labels": ["spleen"]})
    for windows in ([], [[100, -100]]):
        with pytest.raises(ConfigError, match="windows"):
            task(tmp_path, ORGANS, thorax={"windows": windows})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "score"), [(FINER, "dice"), (ORGANS, "mean_dice")], ids=["finer", "organs"]
)
def test_a_run_ends_in_a_model_that_predicts(tmp_path, config, score):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    out = tmp_path / "run"
    words = ["train", tmp_path / "mine.yaml", "-o", out, "--backend", "torch", "--workers", "0"]
    assert main([*map(str, words)]) == 0
    with (out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"] and 0 <= float(rows[-1][score]) <= 1
    model = zoo.load(f"local-dir:{out / 'model'}", backend="torch")
    if score == "dice":
        assert model.card.task == "super-resolution"
        coarse = zoo.Volume(hollow_box().array, np.diag([12.8, 12.8, 12.8, 1]))
        assert model.predict(coarse).volume.shape == (40, 36, 32)
    else:
        assert model.card.labels == LABELS and model.card.input.kind == "intensity"
        case = thorax_case(7, 32)
        scan = zoo.Volume(case.hu, np.diag([12.0, 12, 12, 1]))
        assert model.predict(scan).volume.shape == (32, 32, 32)
