"""Training: real steps on small phantoms."""

import csv
import json

import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_runs import SMALL, trainer

import zoo
from zoo.architectures.completion import LevelOutput
from zoo.errors import ConfigError, ReadError
from zoo.training import command
from zoo.training.config import EVALUATION_SEEDS, VALIDATION_SEEDS, TrainingConfig, read_config
from zoo.training.loop import BEST, CHECKPOINT, CURVE, LOG, learning_rate
from zoo.training.losses import deep_supervision
from zoo.training.scoring import Scores, score
from zoo.training.sources import Shapes


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


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


def test_loss_goes_down(tmp_path):
    config = {"steps": 40, "validate_every": 40, "learning_rate": 0.01, "warmup": 0.05}
    seen = losses(trainer(tmp_path, **config))
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
    finished = run.finish(workers=0).network
    assert not finished.training
    after = finished.encoder[0].norm
    assert not torch.allclose(before, after.running_mean)
    assert after.num_batches_tracked == SMALL["statistics_batches"]


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
        ({"dataset": {"folder": "x", "share": 2}}, "dataset.share: "),
        ({"augmentation": {"scale": [1.1, 0.9]}}, "augmentation.scale: .*smallest factor"),
        ({"loss_weights": [1, -1]}, "loss_weights.1: "),
        ({"precision": "half"}, "precision: .*bfloat16"),
    ],
)
def test_errors_name_the_key(tmp_path, change, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(SMALL | change))
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_architecture_config_errors_name_the_key(tmp_path):
    with pytest.raises(ConfigError, match="channels"):
        trainer(tmp_path, config={"channels": [1, 2]})


def test_training_card_names_no_weights():
    card = command.model_card(TrainingConfig(**SMALL), "mine")
    assert card.weights is None and card.task == "completion"


def test_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path):
    losses(trainer(tmp_path), stop=4)
    before = (tmp_path / CHECKPOINT).read_bytes()
    run = trainer(tmp_path)
    run.resume()
    torch.nn.init.constant_(run.network.heads[0].classifier.bias, float("nan"))
    batch = tmp_path / "not-finite-step4-process0.safetensors"
    with pytest.raises(
        ConfigError, match=f"nan at step 4: lower learning_rate.* {batch}"
    ) as caught:
        run.run(0, lambda step, loss: None)
    assert "\n" not in str(caught.value)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    saved = load_file(batch)
    assert sorted(saved) == [f"{part}/{n}" for part in ("input", "target") for n in range(4)]
    assert torch.equal(saved["target/1"], run.samples[3 * 4 + 1][1].coordinates)


@pytest.mark.parametrize(
    ("stem", "name"), [("My_Model", "my-model"), ("skull-1.5", "skull-1.5"), ("___", "model")]
)
def test_model_is_named_for_its_recipe(stem, name):
    assert command.model_card(TrainingConfig(**SMALL), stem).name == name


def test_log_has_scores_and_the_curve_is_drawn(tmp_path):
    losses(trainer(tmp_path))
    with (tmp_path / LOG).open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-3:] == ["implant_dice", "complete_dice", "implant_hd95"]
    assert 0.5 < float(rows[0]["complete_dice"]) < 1
    with Image.open(tmp_path / CURVE) as picture:
        assert picture.format == "PNG" and picture.width > 400


def scored(run, *scores):
    """The run with validations that give these implant Dice."""
    given = iter(scores)
    run._score = lambda network: Scores(next(given), 1.0, 1.0)
    return run


@pytest.mark.parametrize(("last", "step"), [(0.8, 3), (0.95, 6)])
def test_best_weights_are_kept_and_exported_unless_the_last_are_better(tmp_path, last, step):
    run = scored(trainer(tmp_path), 0.9, 0.7, last, 0.9)
    losses(run)
    best = load_file(tmp_path / BEST)["encoder.0.convolution.kernel"]
    with safe_open(tmp_path / BEST, framework="pt") as file:
        assert file.metadata() == {"step": "3", "implant_dice": "0.9"}
    finished = run.finish(workers=0)
    assert (finished.step, finished.scores.implant_dice) == (step, max(last, 0.9))
    kernel = finished.network.encoder[0].convolution.kernel
    assert torch.equal(kernel, best) == (step == 3)


def test_resumed_run_knows_its_best(tmp_path):
    losses(scored(trainer(tmp_path), 0.9, 0.1), stop=4)
    run = scored(trainer(tmp_path), 0.5)
    run.resume()
    losses(run)
    with safe_open(tmp_path / BEST, framework="pt") as file:
        assert file.metadata()["step"] == "3"


def test_scores_are_those_of_the_implant_and_the_whole(corner):
    """A network that answers with its input adds nothing."""
    run_backend = zoo.registries.backends.get("torch")()
    defective = corner.copy()
    defective[14:22, 14:22, 12:] = False
    case = Shapes(defective, corner, (1.0, 1.0, 1.0))

    class Copy(torch.nn.Module):
        def forward(self, x):
            return type("Output", (), {"answer": x})

    scores = score(Copy(), [case], run_backend, torch.device("cpu"))
    kept, whole = defective.sum(), corner.sum()
    assert scores.implant_dice == 0
    assert scores.complete_dice == pytest.approx(2 * kept / (kept + whole))
    assert scores.implant_hd95 != scores.implant_hd95  # nothing was added


def levels():
    generator = torch.Generator().manual_seed(0)
    return [
        LevelOutput(stride, torch.randn(5, generator=generator), torch.arange(5) % 2 == 0)
        for stride in (32, 16)
    ]


def test_loss_weights_go_from_fine_to_coarse():
    coarse, fine = (deep_supervision([level]) for level in levels())
    assert torch.equal(deep_supervision(levels()), coarse + fine)
    assert torch.equal(deep_supervision(levels(), (3.0, 0.5)), 0.5 * coarse + 3.0 * fine)
    with pytest.raises(ConfigError, match="loss_weights: wanted 2, one per level, got 3"):
        deep_supervision(levels(), (1.0, 1.0, 1.0))


def test_passes_add_up_to_the_gradient_of_their_mean_loss(tmp_path):
    """Two passes of two skulls: their gradients' mean, each with its own batch statistics."""
    split = trainer(tmp_path, accumulate=2)
    (one, other), *_ = split._batches(range(1), 0)
    wanted = []
    for batch in (one, other):
        alone = trainer(tmp_path)
        alone.update([batch])
        wanted.append([p.grad for p in alone.network.parameters()])
    split.update([one, other])
    for p, first, second in zip(split.network.parameters(), *wanted, strict=True):
        assert p.grad is None or torch.allclose(p.grad, (first + second) / 2, atol=1e-6)


@pytest.fixture
def parent(tmp_path):
    """The folder of a model of SMALL's config."""
    zoo.create("sparse-completion", SMALL["config"], backend="torch").save(tmp_path / "parent")
    return tmp_path / "parent"


def test_run_starts_from_a_model_of_its_config(tmp_path, parent):
    run = trainer(tmp_path, initial=f"local-dir:{parent}")
    wanted = load_file(parent / "model.safetensors")
    assert all(torch.equal(value, wanted[key]) for key, value in run.network.state_dict().items())
    assert not torch.equal(
        trainer(tmp_path).network.state_dict()["encoder.0.convolution.kernel"],
        wanted["encoder.0.convolution.kernel"],
    )


def test_other_config_is_left_to_the_architecture(tmp_path, parent, monkeypatch):
    wider = {"channels": [4, 4, 4, 4, 4, 4, 8]}
    design = zoo.registries.architectures.get("sparse-completion")
    given = []
    monkeypatch.setattr(design, "start_from", lambda _, other: given.append(other), raising=False)
    trainer(tmp_path, config=wider, initial=f"local-dir:{parent}")
    assert given[0].config.channels == tuple(SMALL["config"]["channels"])
    monkeypatch.delattr(design, "start_from")
    with pytest.raises(ConfigError, match=r"initial: .*cannot start from another"):
        trainer(tmp_path, config=wider, initial=f"local-dir:{parent}")


def test_damaged_checkpoint_is_one_line(tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"half")
    with pytest.raises(ReadError, match="not a whole checkpoint"):
        trainer(tmp_path).resume()


def test_card_keeps_the_authors_folders_to_itself():
    config = TrainingConfig(**SMALL, dataset={"folder": "/home/me/skulls", "share": 0.5})
    text = command.model_card(config, "mine").text
    assert "phantoms and a data set" in text and "/home/me" not in text
