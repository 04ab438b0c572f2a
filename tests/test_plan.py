"""Plans against what predictions really take."""

import numpy as np
import pytest

import zoo
from zoo.cli import main
from zoo.errors import VolumeError
from zoo.volume import Volume
from zoo.voxels import pooled


@pytest.fixture(scope="module")
def model():
    return zoo.create("sparse-completion", {"channels": [2, 2, 4, 4, 4, 4, 16]}, backend="cpu")


def hollow(size):
    grid = np.zeros((size,) * 3, dtype=bool)
    grid[2:-2, 2:-2, 2:-2] = True
    grid[4:-4, 4:-4, 4:-4] = False
    return grid


def test_plan_counts_and_is_in_proportion(model):
    small, large = (model.plan(hollow(size)) for size in (40, 160))
    assert small.voxels == hollow(40).sum() and small.shape == (40, 40, 40)
    assert large.voxels == hollow(160).sum()
    assert large.seconds > 2 * small.seconds > 0
    assert 1e8 < small.peak_memory < large.peak_memory < 4e9
    assert large.free_memory > 0


def test_plan_refuses_what_predict_refuses(model):
    with pytest.raises(VolumeError, match="more than two values"):
        model.plan(np.arange(27.0).reshape(3, 3, 3))


def test_pooling_keeps_any():
    grid = np.zeros((5, 4, 3), dtype=bool)
    grid[4, 1, 2] = True
    assert pooled(grid, 2).shape == (3, 2, 2)
    assert np.argwhere(pooled(grid, 2)).tolist() == [[2, 0, 1]]


def test_command_line_plan_writes_nothing(tmp_path, capsys):
    Volume(hollow(20), np.diag([3.2, 3.2, 3.2, 1])).save(tmp_path / "in.nii.gz")
    assert (
        main(["predict", "skull-completion-64", "-i", str(tmp_path / "in.nii.gz"), "--plan"]) == 0
    )
    printed = capsys.readouterr().out
    assert f"{hollow(20).sum():,} occupied voxels in 20 x 20 x 20" in printed
    assert " s and " in printed and " GB at the peak on cpu" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["in.nii.gz"]
