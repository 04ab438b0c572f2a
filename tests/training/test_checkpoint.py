"""Checkpoints: a run goes on as if it had never stopped."""

import csv
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_runs import losses, scored, settings, trainer

import zoo
from zoo.errors import ConfigError, ReadError
from zoo.training._loop import BEST, CHECKPOINT, LOG

pytestmark = pytest.mark.slow


def test_resumed_run_has_the_same_losses_and_weights(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = trainer(tmp_path / "a")
    wanted = losses(whole)
    assert len(set(wanted.values())) == 6  # every step sees something else
    losses(trainer(tmp_path / "b"), stop=5)  # killed two steps after its checkpoint
    again = trainer(tmp_path / "b")
    again.resume()
    assert again.step == 3
    assert losses(again) == {step: wanted[step] for step in (4, 5, 6)}
    for name, module in whole.modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, again.modules[name].state_dict()[key]), (name, key)
    with (tmp_path / "b" / LOG).open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [3, 6]


def test_checkpoint_of_another_config_is_refused(tmp_path):
    losses(trainer(tmp_path))
    other = trainer(tmp_path)
    other.config = settings(learning_rate=0.5)
    with pytest.raises(ConfigError, match="another training config"):
        other.resume()


def test_checkpoint_of_an_older_release_resumes(tmp_path):
    """One that knows nothing of newer keys, which have their defaults."""
    losses(trainer(tmp_path), stop=4)
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        metadata = file.metadata()
    older = json.loads(metadata["config"])
    del older["accumulate"], older["augmentation"]
    save_file(
        load_file(tmp_path / CHECKPOINT),
        tmp_path / CHECKPOINT,
        metadata | {"config": json.dumps(older)},
    )
    run = trainer(tmp_path)
    run.resume()
    assert run.step == 3


def test_resume_restores_the_random_state(tmp_path):
    run = trainer(tmp_path)
    losses(run)
    wanted = torch.rand(3)
    torch.manual_seed(123)
    run.resume()
    assert torch.equal(torch.rand(3), wanted)


def test_checkpoint_is_safetensors(tmp_path):
    losses(trainer(tmp_path), stop=4)
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        assert file.metadata()["step"] == "3"
        assert any(key.startswith("optimizer/") for key in file.keys())  # noqa: SIM118


def test_resumed_run_knows_its_best(tmp_path):
    losses(scored(trainer(tmp_path), 0.9, 0.1), stop=4)
    run = scored(trainer(tmp_path), 0.5)
    run.resume()
    losses(run)
    with safe_open(tmp_path / BEST, framework="pt") as file:
        assert file.metadata()["step"] == "3"


def test_damaged_checkpoint_is_one_line(tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"half")
    with pytest.raises(ReadError, match="not an intact checkpoint"):
        trainer(tmp_path).resume()


@pytest.fixture
def grown(tmp_path):
    """Makes runs whose coarser levels come from a model, at half the rate: two groups."""
    zoo.create("sparse-completion", {"channels": [2] * 4}, backend="torch").save(tmp_path / "model")
    changes = {"config": {"channels": [2] * 5}, "initial": f"local-dir:{tmp_path}/model"}
    return lambda: trainer(tmp_path, initial_rate=0.5, **changes)


def moments(run):
    """What the optimizer knows of every parameter, by name."""
    state, named = run.optimizer.state, run.network.named_parameters()
    return {name: state[p]["exp_avg"] for name, p in named if p in state}


def test_optimizer_state_belongs_to_names(tmp_path, grown):
    run = grown()
    losses(run, stop=4)
    run = grown()
    run.resume()
    assert len(run.optimizer.param_groups) == 2
    kept, found = load_file(tmp_path / CHECKPOINT), moments(run)
    assert {name.split(".")[0] for name in found} == {"encoder", "decoder", "heads"}
    for name, moment in found.items():
        assert torch.equal(kept[f"optimizer/{name}/exp_avg"], moment), name


def test_optimizer_state_stays_with_its_parameters_however_they_are_grouped(tmp_path, grown):
    losses(grown(), stop=4)
    one, other = grown(), grown()
    one.resume()
    other.optimizer.param_groups.reverse()
    other.resume()
    assert moments(one).keys() == moments(other).keys()
    for name, moment in moments(one).items():
        assert torch.equal(moments(other)[name], moment), name


def renamed(path, names):
    """Rewrite a checkpoint: the optimizer's state of each parameter under another one's name."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = {}
    for key, value in load_file(path).items():
        kind, _, rest = key.partition("/")
        if kind == "optimizer":
            name, _, part = rest.rpartition("/")
            key = f"optimizer/{names[name]}/{part}"
        tensors[key] = value
    save_file(tensors, path, metadata)


def test_optimizer_state_of_other_parameters_is_refused(tmp_path):
    run = trainer(tmp_path)
    losses(run, stop=4)
    names = [name for name, _ in run.network.named_parameters()]
    renamed(tmp_path / CHECKPOINT, dict(zip(names, names[::-1], strict=True)))
    with pytest.raises(
        ReadError, match=r"checkpoint.safetensors: .* other parameters than this network's"
    ):
        trainer(tmp_path).resume()


def test_without_best_weights_a_run_resumes_and_exports_the_last(tmp_path):
    losses(trainer(tmp_path))
    (tmp_path / BEST).unlink()
    run = trainer(tmp_path)
    run.resume()
    assert (run.step, run.best) == (6, -1)
    assert run.finish(workers=0).step == 6
