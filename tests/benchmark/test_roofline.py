"""What work takes at least: bytes, operations, and the seconds of both."""

import json

import numpy as np
import pytest
import torch
from conftest import ON_A_GPU

from zoo import sparse
from zoo.benchmark._measure import Spec
from zoo.benchmark._roofline import tallied
from zoo.benchmark._suite import run_measurement
from zoo.cli import main
from zoo.sparse import SparseTensor
from zoo.sparse.backends.bitmap.cpu.backend import CpuBackend


def test_what_convolutions_must_move_and_multiply_is_counted():
    """In bytes and operations, of a convolution whose pairs of voxels can be counted by hand."""
    counting, tally = tallied(CpuBackend())
    line = torch.tensor([[0, 0, k] for k in range(10)])
    x = SparseTensor.from_coordinates(line, torch.rand(10, 2), backend=counting)
    kernel = torch.rand(27, 2, 3)
    sparse.convolution(x, kernel)
    assert tally.operations == 2 * 2 * 3 * (10 + 9 + 9)
    assert tally.bytes == 4 * (10 * 2 + kernel.numel() + 10 * 3)
    tally.clear()
    features = torch.rand(10, 2, requires_grad=True)
    sparse.convolution(x.with_features(features), kernel.requires_grad_()).features.sum().backward()
    assert tally.operations == 3 * 2 * 2 * 3 * (10 + 9 + 9)


@pytest.mark.slow
def test_a_measurement_may_say_how_far_from_the_roofline_it_is(tmp_path):
    grid = np.zeros((20, 20, 20), dtype=bool)
    grid[3:17, 3:17, 3:17] = True
    np.save(tmp_path / "grid.npy", grid)
    facts = {"volume": str(tmp_path / "grid.npy"), "backend": "cpu", "threads": 1, "roofline": True}
    result = run_measurement(Spec(work="convolution alone", channels=(8, 8), **facts))
    pairs = (3 * 14 - 2) ** 3
    assert result["operations"] == 2 * 8 * 8 * pairs and result["floor"] > 0


@pytest.mark.skipif(not ON_A_GPU, reason="needs a GPU")
def test_the_whole_suite_of_measurements_runs(capsys):
    assert main(["bench", "-d", "cuda", "--resolutions", "32", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    own = [row for row in rows if row["backend"] == "gpu"]
    assert own and all(row["error"] is None and row["seconds"] > 0 for row in own)
