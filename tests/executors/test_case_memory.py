"""The memory that a job is expected to need."""

from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.executors import Job, Outcome, Outputs
from zoo.executors.memory import MARGIN, Memory


@pytest.fixture
def memory():
    return Memory(zoo.create("sparse-completion", {"channels": [2, 2, 4, 4]}, backend="torch"))


def job(folder, size):
    path = folder / f"{size}.nii.gz"
    zoo.Volume(np.zeros((size,) * 3, np.uint8)).save(path)
    return Job(path, Outputs(Path("out.nii.gz")))


def test_a_larger_volume_needs_more(memory, tmp_path):
    small, large = job(tmp_path, 16), job(tmp_path, 128)
    assert memory(small) < memory(large) < 2 * memory(small) + 128**3 * 100


def test_what_a_job_needed_is_what_others_of_its_size_will(memory, tmp_path):
    like, other = job(tmp_path, 128), job(tmp_path, 32)
    before = memory(other)
    for peak in (3_000_000_000, 2_000_000_000):
        memory.learn(Outcome(like, {"peak_memory": peak}))
    assert memory(like) == pytest.approx(MARGIN * 3e9) and memory(other) == before


def test_a_file_whose_header_cannot_be_read_counts_by_its_bytes(memory, tmp_path):
    path = tmp_path / "junk.nii.gz"
    path.write_bytes(b"junk")
    assert 0 < memory(Job(path, Outputs(path))) < 1e9
