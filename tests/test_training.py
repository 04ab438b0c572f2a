"""Training: real steps on small phantoms."""

import csv
import json

import pytest
import torch
import yaml
from safetensors import safe_open

import zoo
from zoo import registries
from zoo.errors import ConfigError
from zoo.training import command
from zoo.training.config import EVALUATION_SEEDS, VALIDATION_SEEDS, TrainingConfig, read_config
from zoo.training.data import PhantomPairs, batches
from zoo.training.loop import CHECKPOINT, LOG, Trainer, learning_rate

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


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


def trainer(folder):
    backend = registries.backends.get("torch")()
    return Trainer(TrainingConfig(**SMALL), folder, backend, torch.device("cpu"))


def losses(run, stop=None):
    """Losses of the steps up to `stop`, as a killed process would have done them."""
    seen = {}

    def on_step(step, loss):
        seen[step] = loss
        if step == stop:
            raise KeyboardInterrupt

    if stop is None:
        run.run(0, on_step)
    else:
        with pytest.raises(KeyboardInterrupt):
            run.run(0, on_step)
    return seen


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
    other.config = TrainingConfig(**(SMALL | {"learning_rate": 0.5}))
    with pytest.raises(ConfigError, match="another training config"):
        other.resume()


def test_checkpoint_is_safetensors(tmp_path):
    losses(trainer(tmp_path), stop=4)
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        assert file.metadata()["step"] == "3"
        assert any(key.startswith("optimizer/") for key in file.keys())  # noqa: SIM118


def test_loss_goes_down(tmp_path):
    config = SMALL | {"steps": 40, "validate_every": 40, "learning_rate": 0.01, "warmup": 0.05}
    backend = registries.backends.get("torch")()
    run = Trainer(TrainingConfig(**config), tmp_path, backend, torch.device("cpu"))
    seen = losses(run)
    assert seen[40] < 0.8 * seen[1]


def test_command_trains_resumes_and_exports_a_model(tmp_path, config_file, capsys):
    from zoo.cli import main

    folder = tmp_path / "run"
    arguments = ["train", str(config_file), "-o", str(folder), "--workers", "0"]
    assert main(arguments) == 0
    model = zoo.load(f"local-dir:{folder}/model", backend="torch")
    assert model.card.input.spacing == pytest.approx((12.8,) * 3)
    assert json.loads((folder / "model" / "config.json").read_text())["config"] == SMALL["config"]
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0


def test_statistics_are_measured_without_the_target(tmp_path):
    """Exported BatchNorm statistics are those of predictions, not those gathered in training."""
    run = trainer(tmp_path)
    losses(run)
    before = run.average.module.encoder[0].norm.running_mean.clone()
    finished = run.finish(workers=0)
    assert not finished.training
    after = finished.encoder[0].norm
    assert not torch.allclose(before, after.running_mean)
    assert after.num_batches_tracked == SMALL["statistics_batches"]


def test_samples_depend_on_seed_and_number_alone():
    config = TrainingConfig(**SMALL).phantoms
    first, second = PhantomPairs(config, 0), PhantomPairs(config, 0)
    assert all(torch.equal(a, b) for a, b in zip(first[7], second[7], strict=True))
    assert not torch.equal(first[7][0], first[8][0])
    assert not torch.equal(first[7][0], PhantomPairs(config, 1)[7][0])


def test_a_sample_lacks_something_of_its_target():
    source, target = (
        set(map(tuple, part.tolist()))
        for part in PhantomPairs(TrainingConfig(**SMALL).phantoms, 0)[0]
    )
    assert source < target


def test_worker_processes_make_the_same_batches():
    config = TrainingConfig(**SMALL)
    here, there = (list(batches(config, 1, 3, workers)) for workers in (0, 1))
    assert len(here) == 2
    for a, b in zip(here, there, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a[0] + a[1], b[0] + b[1], strict=True))


def test_evaluation_seeds_are_never_trained_on():
    with pytest.raises(ValueError, match="900000"):
        TrainingConfig(architecture="x", phantoms={"skulls": EVALUATION_SEEDS})
    assert VALIDATION_SEEDS < EVALUATION_SEEDS


def test_schedule():
    config = TrainingConfig(architecture="x", steps=100, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert max(rates) == rates[10] == 1.0
    assert rates[0] < 0.1 and rates[-1] < 1e-3
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps: "),
        ({"stepz": 3}, "stepz: "),
        ({"phantoms": {"resolution": "big"}}, "phantoms.resolution: .*got 'big'"),
    ],
)
def test_errors_name_the_key(tmp_path, change, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(SMALL | change))
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_architecture_config_errors_name_the_key(tmp_path):
    config = TrainingConfig(**(SMALL | {"config": {"channels": [1, 2]}}))
    with pytest.raises(ConfigError, match="channels"):
        Trainer(config, tmp_path, registries.backends.get("torch")(), torch.device("cpu"))


def test_training_card_names_no_weights():
    card = command.model_card(TrainingConfig(**SMALL), "mine")
    assert card.weights is None and card.task == "completion"


def test_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path):
    losses(trainer(tmp_path), stop=4)
    before = (tmp_path / CHECKPOINT).read_bytes()
    run = trainer(tmp_path)
    run.resume()
    torch.nn.init.constant_(run.network.heads[0].classifier.bias, float("nan"))
    with pytest.raises(ConfigError, match="nan at step 4: lower learning_rate"):
        run.run(0, lambda step, loss: None)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize(
    ("stem", "name"), [("My_Model", "my-model"), ("skull-1.5", "skull-1.5"), ("___", "model")]
)
def test_model_is_named_for_its_recipe(stem, name):
    assert command.model_card(TrainingConfig(**SMALL), stem).name == name
