"""Training in several processes, in processes that are killed, and in mixed precision."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch
import training_runs
from training_runs import settings, trainer

from zoo.errors import ConfigError, MissingDependency
from zoo.training._log import read_log
from zoo.training._processes import check_shares, start_processes, uses_bfloat16
from zoo.training.task import CountsCases


def start_two(folders, **changes):
    """Two processes of one run."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        start(folder, {**shared, "RANK": f"{rank}", "LOCAL_RANK": f"{rank}"}, **changes)
        for rank, folder in enumerate(folders)
    ]


def start(folder, environment=None, **changes):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, training_runs.__file__, str(folder), json.dumps(changes)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_losses_bit_for_bit(tmp_path):
    process = start(tmp_path / "killed", accumulate=2)
    seen = {}
    for line in process.stdout:
        step, loss = line.split()
        seen[int(step)] = float.fromhex(loss)
        if step == "5":  # two steps after its checkpoint
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait(60) == -signal.SIGKILL, process.stderr.read()
    process.communicate()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    (tmp_path / "whole").mkdir()
    whole = trainer(tmp_path / "whole", accumulate=2)
    wanted = {}
    whole.run(0, wanted.__setitem__)
    resumed = trainer(tmp_path / "killed", accumulate=2)
    resumed.resume()
    again = {}
    resumed.run(0, again.__setitem__)
    torch.set_num_threads(threads)
    assert seen == {step: wanted[step] for step in range(1, 6)}
    assert again == {step: wanted[step] for step in range(4, 7)}
    for name, module in whole.modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, resumed.modules[name].state_dict()[key]), (name, key)


@pytest.mark.slow
def test_two_processes_end_with_equal_weights_and_the_main_one_writes(tmp_path):
    """Process 1 has no loss at the finest level, so half of what is learned there is unused."""
    changes = {"steps": 2, "validate_every": 2, "batch_size": 8, "accumulate": 2}
    folders = [tmp_path / "0", tmp_path / "1"]
    started = start_two(folders, validation_cases=3, **changes)
    try:
        outputs = [process.communicate(timeout=90) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], outputs
    (one, _), (other, _) = outputs
    assert len(one.splitlines()) == 3
    assert one == other  # mean losses, and the digest of the weights
    assert {path.name for path in (tmp_path / "0").iterdir()} == {
        "best.safetensors",
        "checkpoint.safetensors",
        "curve.png",
        "log.csv",
    }
    assert not list((tmp_path / "1").iterdir())
    alone = trainer(tmp_path / "0", validation_cases=3, **changes)
    alone.resume()
    scores = alone.validate()
    (row,) = read_log(tmp_path / "0" / "log.csv")
    logged = {name: float(row[name]) for name in scores}
    assert logged == pytest.approx(scores, nan_ok=True)


@pytest.mark.slow
@pytest.mark.long
def test_one_of_two_processes_is_killed(tmp_path):
    """The other ends with a line, and both go on from the checkpoint to the same losses."""
    whole = [p.communicate(timeout=120) for p in start_two([tmp_path / "whole"] * 2)]
    killed = start_two([tmp_path / "killed"] * 2)
    seen = []
    for line in killed[1].stdout:
        seen.append(line)
        if line.startswith("4 "):  # a step after the checkpoint
            killed[1].send_signal(signal.SIGKILL)
            break
    _, complaint = killed[0].communicate(timeout=60)
    killed[1].communicate()
    assert killed[0].returncode == 1
    last = complaint.splitlines()[-1]
    assert "another process of this run has ended, during step" in last and "--resume" in last
    resumed = start_two([tmp_path / "killed"] * 2, resume=True)
    again = [p.communicate(timeout=120)[0].splitlines() for p in resumed]
    wanted = [lines.splitlines() for lines, _ in whole]
    assert len(wanted[0]) == 7 and again == [lines[3:] for lines in wanted]
    logs = [(tmp_path / name / "log.csv").read_text() for name in ("whole", "killed")]
    rows = [[row.split(",")[:3] for row in log.splitlines()] for log in logs]
    assert rows[0] == rows[1]


def test_validation_cases_are_shared():
    """Every case is scored once, by the process whose turn it is."""
    task, shares = CountsCases(), []
    assert task.shared(5) == range(5) and task.gathered([[1], [2]]) == [[1], [2]]
    for process in range(3):
        with task.sharing(process, 3):
            shares.append(list(task.shared(5)))
    assert shares == [[0, 3], [1, 4], [2]] and task.shared(5) == range(5)


def test_batch_is_split_over_processes_and_passes():
    config = settings(accumulate=2)
    check_shares(config, processes=2)
    with pytest.raises(ConfigError, match=r"batch_size: wanted a multiple of 6, .* got 4"):
        check_shares(config, processes=3)


@pytest.mark.slow
def test_mixed_precision_trains(tmp_path):
    losses = {}
    for precision in ("float32", "bfloat16"):
        run = trainer(tmp_path / precision, precision=precision, steps=3)
        (tmp_path / precision).mkdir()
        run.run(0, losses.setdefault(precision, {}).__setitem__)
        assert all(p.dtype == torch.float32 for p in run.network.parameters())
    assert losses["float32"] != losses["bfloat16"]
    assert losses["float32"][3] == pytest.approx(losses["bfloat16"][3], rel=0.05)


@pytest.mark.parametrize("backend", ["cpu", "dense"])
def test_backend_that_cannot_mix_precisions_says_so(tmp_path, backend):
    with pytest.raises(ConfigError, match=f"precision: .* backend {backend} .* --backend torch"):
        trainer(tmp_path, backend=backend, precision="bfloat16")


def test_precision_of_the_launcher_counts():
    backend = type("Plugin", (), {"name": "mine", "bfloat16": True})()
    config = settings()
    assert uses_bfloat16(config, "bf16", backend) and not uses_bfloat16(config, "no", backend)
    with pytest.raises(ConfigError, match="wanted no or bf16, got fp16"):
        uses_bfloat16(config, "fp16", backend)


def test_without_accelerate_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingDependency, match=r"pip install 'sparse-volume-zoo\[train\]'"):
        start_processes("cpu")
