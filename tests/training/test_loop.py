"""Training: real steps on small phantoms."""

import csv
import json
import os
import signal

import numpy as np
import pytest
import torch
import yaml
from command_line import start
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from training_runs import SMALL, digest, losses, scored, settings, trainer

import zoo
from zoo.cli import main
from zoo.contract import InputContract
from zoo.datasets.phantoms.files import write_case
from zoo.errors import ConfigError
from zoo.networks.generative import LevelOutput
from zoo.tasks._skulls import Shapes
from zoo.tasks.completion._training import score
from zoo.training import read_config
from zoo.training._loop import BEST, CHECKPOINT, CURVE, LOG, learning_rate, make_training
from zoo.training.config import EVALUATION_SEEDS, VALIDATION_SEEDS, TrainingConfig
from zoo.training.losses import deep_supervision
from zoo.training.run import model_card

FACTS = {"input": InputContract.around(3.2)}


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


@pytest.mark.slow
def test_loss_goes_down(tmp_path):
    config = {"steps": 40, "validate_every": 40, "learning_rate": 0.01, "warmup": 0.05}
    seen = losses(trainer(tmp_path, **config))
    assert seen[40] < 0.8 * seen[1]


@pytest.mark.slow
def test_command_trains_resumes_and_exports_a_model(tmp_path, config_file, capsys):
    folder = tmp_path / "run"
    arguments = ["train", str(config_file), "-o", str(folder), "--workers", "0"]
    assert main(arguments) == 0
    model = zoo.load(f"local-dir:{folder}/model", backend="torch")
    assert model.card.input.spacing == pytest.approx((12.8,) * 3)
    assert json.loads((folder / "model" / "config.json").read_text())["config"] == SMALL["config"]
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    capsys.readouterr()
    before = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    assert main([*arguments, "--resume"]) == 0
    assert "finished before" in capsys.readouterr().out
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_goes_on_to_the_same_end(number, tmp_path):
    """After its first step, long before a validation writes a checkpoint."""
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = trainer(tmp_path / "whole", cache=tmp_path / "cache")
    wanted = losses(whole)
    seen = {}

    def on_step(step, loss):
        seen[step] = loss
        if step == 1:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "cut", cache=tmp_path / "cache").run(0, on_step)
    assert list(seen) == [1]
    run = trainer(tmp_path / "cut", cache=tmp_path / "cache")
    run.resume()
    assert seen | losses(run) == wanted
    assert digest(run.network) == digest(whole.network)
    logs = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("whole", "cut")]
    for one, other in zip(*logs, strict=True):  # but for the seconds
        assert one.split(",")[:3] == other.split(",")[:3]


def test_between_validations_there_are_checkpoints(tmp_path, monkeypatch):
    """So that a run that is killed goes on from near where it was, to the same end."""
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = trainer(tmp_path / "whole", cache=tmp_path / "cache")
    wanted = losses(whole)
    monkeypatch.setattr("zoo.training._loop.SAVED_EVERY", 0.0)
    seen = {}

    def on_step(step, loss):
        seen[step] = loss
        if step == 2:
            raise MemoryError("as if it were killed")

    with pytest.raises(MemoryError):
        trainer(tmp_path / "killed", cache=tmp_path / "cache").run(0, on_step)
    run = trainer(tmp_path / "killed", cache=tmp_path / "cache")
    run.resume()
    assert run.step == 1
    assert seen | losses(run) == wanted
    assert digest(run.network) == digest(whole.network)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_leaves_a_whole_step(number, tmp_path):
    """As a terminal and a batch system send it: the workers get it, too."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(SMALL | {"steps": 24, "validate_every": 24}))
    words = ["train", path, "--cache", tmp_path / "cache", "--backend", "torch", "--workers", "2"]
    process = start(*words, "-o", tmp_path / "cut", "--log-every", "1", start_new_session=True)
    for line in process.stderr:
        if "step 2 " in line:
            break
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    *lines, last = said.splitlines()
    assert all(line.startswith("step ") for line in lines)
    goes_on = "--resume continues from the checkpoint in"
    assert last == f"zoo: interrupted; {goes_on} {tmp_path / 'cut'}"
    assert not (tmp_path / "cut" / "model").exists()
    for folder, more in (("cut", ["--resume"]), ("whole", [])):
        assert main([*map(str, words), "-o", str(tmp_path / folder), *more]) == 0
    one, other = (zoo.load(f"local-dir:{tmp_path / name}/model") for name in ("cut", "whole"))
    assert digest(one.network) == digest(other.network)


@pytest.mark.slow
def test_statistics_are_measured_without_the_target(tmp_path, monkeypatch):
    """Exported BatchNorm statistics are those of predictions, not those gathered in training."""
    run = trainer(tmp_path)
    losses(run)
    before = run.average.module.encoder[0].norm.running_mean.clone()
    seen, forward = [], type(run.network).forward

    def watched(network, x, target=None, **more):
        seen.append(target)
        return forward(network, x, target, **more)

    monkeypatch.setattr(type(run.network), "forward", watched)
    finished = run.finish(workers=0).network
    assert len(seen) >= SMALL["statistics_batches"] and set(seen) == {None}
    assert not finished.training
    after = finished.encoder[0].norm
    assert not torch.allclose(before, after.running_mean)
    assert after.num_batches_tracked == SMALL["statistics_batches"]


def test_evaluation_seeds_are_never_trained_on():
    with pytest.raises(ValueError, match="900000"):
        settings(phantoms={"skulls": EVALUATION_SEEDS})
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
    card = model_card(settings(), "mine", FACTS, "phantoms")
    assert card.weights is None and card.task == "completion"


@pytest.mark.slow
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
    assert sorted(saved) == [
        f"{part}/{n}/coordinates" for part in ("input", "target") for n in range(4)
    ]
    assert torch.equal(saved["target/1/coordinates"], run.samples[3 * 4 + 1][1].coordinates)


@pytest.mark.parametrize(
    ("stem", "name"), [("My_Model", "my-model"), ("skull-1.5", "skull-1.5"), ("___", "model")]
)
def test_model_is_named_for_its_recipe(stem, name):
    assert model_card(settings(), stem, FACTS, "phantoms").name == name


@pytest.mark.slow
def test_log_has_scores_and_the_curve_is_drawn(tmp_path):
    losses(trainer(tmp_path))
    with (tmp_path / LOG).open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-3:] == ["implant_dice", "complete_dice", "implant_hd95"]
    assert 0.5 < float(rows[0]["complete_dice"]) < 1
    with Image.open(tmp_path / CURVE) as picture:
        assert picture.format == "PNG" and picture.width > 400


@pytest.mark.slow
@pytest.mark.parametrize(("last", "step"), [(0.8, 3), (0.95, 6)])
def test_best_weights_are_kept_and_exported_unless_the_last_are_better(tmp_path, last, step):
    run = scored(trainer(tmp_path), 0.9, 0.7, last, 0.9)
    losses(run)
    best = load_file(tmp_path / BEST)["encoder.0.convolution.kernel"]
    with safe_open(tmp_path / BEST, framework="pt") as file:
        assert file.metadata() == {"step": "3", "score": "0.9"}
    finished = run.finish(workers=0)
    assert (finished.step, finished.scores["implant_dice"]) == (step, max(last, 0.9))
    kernel = finished.network.encoder[0].convolution.kernel
    assert torch.equal(kernel, best) == (step == 3)


def test_scores_are_those_of_the_implant_and_the_whole(corner):
    """A network that answers with its input adds nothing."""
    run_backend = zoo.registries.backends.get("torch")()
    defective = corner.copy()
    defective[14:22, 14:22, 12:] = False
    case = Shapes(defective, corner, (1.0, 1.0, 1.0))

    class Copy(torch.nn.Module):
        def forward(self, x):
            return type("Output", (), {"occupancy": x})

    scores = score(Copy(), [case], run_backend, torch.device("cpu"))
    kept, whole = defective.sum(), corner.sum()
    assert scores["implant_dice"] == 0
    assert scores["complete_dice"] == pytest.approx(2 * kept / (kept + whole))
    assert np.isnan(scores["implant_hd95"])  # nothing was added


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


@pytest.mark.slow
def test_passes_add_up_to_the_gradient_of_their_mean_loss(tmp_path):
    """Two passes of two skulls: their gradients' mean, each with its own batch statistics."""
    split = trainer(tmp_path, accumulate=2)
    (one, other), *_ = split.batches(range(1), 0)
    wanted = []
    for batch in (one, other):
        alone = trainer(tmp_path)
        alone.update([batch])
        wanted.append([p.grad for p in alone.network.parameters()])
    split.update([one, other])
    for p, first, second in zip(split.network.parameters(), *wanted, strict=True):
        assert (p.grad is None) == (first is None)
        assert p.grad is None or torch.allclose(p.grad, (first + second) / 2, atol=1e-6)


def test_card_keeps_the_authors_folders_to_itself(tmp_path):
    write_case(tmp_path / "skulls", 0, 0, 16)
    config = settings(dataset={"folder": str(tmp_path / "skulls"), "share": 0.5})
    data = "generated phantoms and a data set"
    text = model_card(config, "mine", FACTS, data).text
    assert data in text and str(tmp_path) not in text
    assert make_training(config, tmp_path, 64).data == data


def test_every_process_says_what_the_mean_loss_became(tmp_path, monkeypatch):
    run = trainer(tmp_path)
    monkeypatch.setattr(run.accelerator, "reduce", lambda loss, how: loss * float("nan"))
    with pytest.raises(ConfigError, match=r"became nan at step 1: .* in another process"):
        losses(run)
    assert not list(tmp_path.glob("not-finite-*"))
