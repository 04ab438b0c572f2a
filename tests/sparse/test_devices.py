"""A GPU's memory, in reports, plans and errors."""

import numpy as np
import pytest
import torch
from conftest import ON_A_GPU, WHERE

import zoo
from zoo import registries
from zoo.cli import main
from zoo.sparse.backends.bitmap.cpu.backend import CpuBackend
from zoo.sparse.devices import DeviceMemory


class OutOfMemory(CpuBackend):
    """A device that has no memory left."""

    name = "full"

    def convolve(self, *arguments):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.50 GiB. GPU 0 has a total capacity of 8 GiB"
        )


def test_out_of_memory_is_one_line_that_offers_the_cpu(tmp_path, monkeypatch, capsys):
    volume = np.zeros((20, 20, 20), np.uint8)
    volume[4:16, 4:16, 4:16] = 1
    zoo.Volume(volume, np.diag([3.2, 3.2, 3.2, 1])).save(tmp_path / "in.nii.gz")
    monkeypatch.setitem(registries.backends.own, "full", f"{__name__}:OutOfMemory")
    words = ["predict", "skull-completion-64", "-i", str(tmp_path / "in.nii.gz"), "-q"]
    out = tmp_path / "out.nii.gz"
    assert main([*words, "-o", str(out), "--backend", "full", "-d", "cpu"]) == 2
    complaint = capsys.readouterr().err
    assert "out of memory: needed 20.50 GiB more" in complaint and "use -d cpu" in complaint
    assert complaint.count("\n") == 1 and not out.exists()


def test_other_errors_pass_and_a_report_has_the_peak():
    with pytest.raises(ZeroDivisionError), DeviceMemory(torch.device("cpu")):
        raise ZeroDivisionError
    volume = np.zeros((20, 20, 20), np.uint8)
    volume[4:16, 4:16, 4:16] = 1
    given = zoo.Volume(volume, np.diag([3.2, 3.2, 3.2, 1]))
    model = zoo.load("skull-completion-64", device=WHERE)
    peak = model.predict(given).report["peak_device_memory"]
    planned = model.plan(given)
    if ON_A_GPU:
        assert 1e6 < peak < 2e9 and planned.peak_device_memory > 1e6
    else:
        assert peak is planned.peak_device_memory is planned.free_device_memory is None
