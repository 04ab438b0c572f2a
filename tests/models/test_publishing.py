"""What is saved, pushed and pulled again, with the real client and a Hub on loopback."""

import hashlib
import json
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from command_line import KEEP_ALL, ROOT, hollow_box
from hub_server import Hook, Refuse, Reset
from safetensors import safe_open

import zoo
from zoo import cli
from zoo.errors import ConfigError, HubError
from zoo.models.publishing import rehearse

CHANNELS = [2, 2, 4, 4, 4, 4, 16]
FILES = {
    *("README.md", "config.json", "model.safetensors"),
    *("golden-input.nii.gz", "golden-answer.nii.gz"),
}


@pytest.fixture
def model():
    torch_seed(0)
    config = {"channels": CHANNELS, "thresholds": [-1.05] * 6}
    return zoo.create("sparse-completion", config)


def torch_seed(seed):
    import torch

    torch.manual_seed(seed)


@pytest.fixture
def writer(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    return hub


def contents(hub, repo, revision="main"):
    repository = hub.repositories[repo]
    files = repository.commits[repository.resolve(revision)]
    return {name: file.content for name, file in files.items() if name != ".gitattributes"}


@pytest.mark.parametrize("other", ["local-dir:mine", "hf-hub:lab/other"])
def test_an_ensemble_that_nobody_else_has_or_that_may_change_is_not_pushed(hub, model, other):
    model.card = model.card.model_copy(update={"ensemble": (other,)})
    for publish in (model.push_to_hub, partial(rehearse, model)):
        with pytest.raises(ConfigError, match=rf"hf-hub:ORG/REPO@COMMIT, got {other}; push that"):
            publish("lab/mine")
    assert not hub.repositories


@pytest.mark.slow
def test_what_was_pushed_loads_back_and_predicts_the_same(writer, model):
    published = model.push_to_hub("lab/mine")
    assert set(contents(writer, "lab/mine")) == FILES
    pulled = zoo.load("hf-hub:lab/mine")
    assert pulled.card.weights.sha256 == published.sha256
    assert pulled.card.weights.repo == "lab/mine"
    assert published.name == f"hf-hub:lab/mine@{writer.repositories['lab/mine'].branches['main']}"
    volume = hollow_box()
    wanted, got = (each.predict(volume) for each in (model, pulled))
    assert (got.volume.array == wanted.volume.array).all()
    assert np.count_nonzero(got.volume.array) > np.count_nonzero(volume.array)
    again = zoo.load(published.name).push_to_hub("lab/other")
    assert again.sha256 == published.sha256


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_in_every_process(tmp_path):
    code = (
        "import sys, torch, zoo; torch.manual_seed(0);"
        "zoo.create('sparse-completion', backend='torch').save(sys.argv[1])"
    )
    for name in "ab":
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab"
    )
    assert one == other and set(one) == FILES


def test_the_weights_say_what_they_are(model, tmp_path):
    model.save(tmp_path / "made")
    with safe_open(tmp_path / "made/model.safetensors", "np") as file:
        assert file.metadata() == {
            "architecture": "sparse-completion",
            "format": "pt",
            "zoo_version": zoo.__version__,
        }
    card = zoo.info(f"local-dir:{tmp_path}/made")
    assert card.metadata["library_name"] == "sparse-volume-zoo"
    assert "completion" in card.metadata["tags"]


@pytest.mark.slow
def test_branches_and_private_repositories(writer, model, monkeypatch):
    model.push_to_hub("lab/mine", private=True, revision="trial")
    assert writer.repositories["lab/mine"].private
    assert set(contents(writer, "lab/mine", "trial")) == FILES
    assert not contents(writer, "lab/mine")
    assert zoo.info("hf-hub:lab/mine@trial").task == "completion"
    model.push_to_hub("lab/mine", revision="trial")  # again: it is all there


@pytest.mark.slow
def test_nothing_private_goes_to_a_public_repository(writer, model):
    model.push_to_hub("lab/mine")
    writer.requests.clear()
    with pytest.raises(HubError, match="lab/mine is public"):
        model.push_to_hub("lab/mine", private=True)
    assert not any("commit" in line for line in writer.requests)


@pytest.mark.parametrize(
    ("token", "said"), [("hf_read", "needs write access"), ("hf_wrong", "hf auth login")]
)
def test_a_token_that_may_not_write_is_told_so(hub, model, monkeypatch, token, said):
    hub.publish("lab/mine", {"README.md": b""})
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=said) as caught:
        model.push_to_hub("lab/mine")
    assert "\n" not in str(caught.value) and "lab/mine was not pushed" in str(caught.value)
    assert set(contents(hub, "lab/mine")) == {"README.md"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("POST /api/repos/create", Refuse(500)),
        ("PUT /objects", Refuse(403)),
        ("POST .*/commit/main", Refuse(500)),
        ("POST .*/commit/main", Reset()),
    ],
)
def test_a_push_that_fails_leaves_the_repository_as_it_was(writer, model, where, fault):
    before = writer.publish("lab/mine", {"README.md": b"as it was"})
    writer.fault(where, fault)
    with pytest.raises(HubError, match="lab/mine was not pushed"):
        model.push_to_hub("lab/mine")
    assert writer.repositories["lab/mine"].branches == {"main": before}
    writer.traps.clear()
    model.push_to_hub("lab/mine")
    assert set(contents(writer, "lab/mine")) == FILES


def test_only_a_repositorys_name_is_pushed_to(model):
    for repo in ("mine", "lab/mine@main", "../mine", "a/b/c"):
        with pytest.raises(ConfigError, match="ORG/REPO"):
            model.push_to_hub(repo)


def test_the_command(writer, tmp_path, capsys):
    words = ["push", "skull-completion-64", "lab/skulls", "--json"]
    assert cli.main(words) == 0
    said = json.loads(capsys.readouterr().out)
    shipped = zoo.info("skull-completion-64").weights.sha256
    pushed = contents(writer, "lab/skulls")
    assert said["sha256"] == shipped == hashlib.sha256(pushed["model.safetensors"]).hexdigest()
    assert zoo.info(said["name"]).text == zoo.info("skull-completion-64").text
    assert cli.main(["push", "skull-completion-64", "lab/skulls"]) == 0
    assert "load it as hf-hub:lab/skulls@" in capsys.readouterr().out


def test_a_refused_card_is_not_pushed(writer, model):
    writer.fault("validate-yaml", Refuse(400, message="license: unknown"))
    with pytest.raises(HubError, match="lab/mine was not pushed"):
        model.push_to_hub("lab/mine")
    assert not contents(writer, "lab/mine")


def test_a_hub_that_does_not_answer_is_not_waited_for_without_end(writer, model, monkeypatch):
    monkeypatch.setattr("zoo.models.publishing.PATIENCE", 0.2)
    writer.fault("/api/repos/create", Hook(partial(time.sleep, 1)))
    with pytest.raises(HubError, match=r"lab/mine was not pushed: .*timed out"):
        model.push_to_hub("lab/mine")


@pytest.fixture
def illustrated(model, tmp_path):
    """A saved model whose card shows a picture in its folder, one elsewhere and one that is not."""
    model.save(tmp_path / "made")
    for picture in ("made/plots/loss.png", "secret.png"):
        path = tmp_path / picture
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture.encode())
    card = tmp_path / "made/README.md"
    links = "![a](plots/loss.png) ![b](../secret.png) ![c](none.png)"
    card.write_text(card.read_text() + links)
    return f"local-dir:{tmp_path}/made"


def test_pictures_of_a_card_go_along_but_not_those_of_other_folders(writer, illustrated):
    zoo.load(illustrated).push_to_hub("lab/mine")
    pushed = contents(writer, "lab/mine")
    assert pushed.keys() == {*FILES, "plots/loss.png"}
    assert pushed["plots/loss.png"] == b"made/plots/loss.png"
    again = zoo.load("hf-hub:lab/mine")
    again.push_to_hub("lab/other")
    assert contents(writer, "lab/other") == pushed | {
        "README.md": pushed["README.md"].replace(b"lab/mine", b"lab/other")
    }


def test_files_of_the_same_content_are_both_pushed(writer, illustrated, tmp_path):
    case = [tmp_path / f"made/golden-{part}.nii.gz" for part in ("input", "answer")]
    case[1].write_bytes(case[0].read_bytes())  # as of a model that adds nothing
    zoo.load(illustrated).push_to_hub("lab/mine")
    assert contents(writer, "lab/mine")[case[1].name] == case[0].read_bytes()


def test_a_shipped_cards_pictures_are_linked_where_they_are_then(tmp_path, monkeypatch):
    name = "thorax-segmentation-128"
    monkeypatch.setitem(zoo.registries.cards.own, name, str(ROOT / f"cards/{name}.md"))
    zoo.load(name, backend="torch").save(tmp_path)
    assert (tmp_path / "docs/thorax-segmentation-128.png").is_file()
    assert "](docs/thorax-segmentation-128.png)" in (tmp_path / "README.md").read_text()


def test_the_reference_case_is_the_authors_as_long_as_the_weights_are(illustrated, tmp_path):
    golden = tmp_path / "made/golden-answer.nii.gz"
    golden.write_bytes(b"the author's")
    loaded = zoo.load(illustrated)
    loaded.save(tmp_path / "same")
    assert (tmp_path / "same/golden-answer.nii.gz").read_bytes() == b"the author's"
    loaded.network.output.bias.data += 1
    loaded.save(tmp_path / "changed")
    assert (tmp_path / "changed/golden-answer.nii.gz").read_bytes() != b"the author's"


def test_a_downloaded_folder_is_the_model(writer, illustrated, tmp_path, capsys):
    pushed = zoo.load(illustrated).push_to_hub("lab/mine")
    assert cli.main(["download", "hf-hub:lab/mine", "--to", str(tmp_path / "here")]) == 0
    loaded = zoo.load(f"local-dir:{tmp_path}/here")
    assert loaded.card.weights.sha256 == pushed.sha256
    assert zoo.Model.from_pretrained("lab/mine").card == loaded.card
    commit = pushed.name.partition("@")[2]
    assert zoo.Model.from_pretrained("lab/mine", commit).card == loaded.card


def test_scores_are_on_the_pushed_card(writer, model, tmp_path, capsys):
    model.save(tmp_path / "made")
    name = f"local-dir:{tmp_path}/made"
    means = {"dice": {"mean": 0.91234}, "hd95": {"mean": None}}
    facts = {"model": "mine", "weights": zoo.info(name).weights.sha256, "summary": means}
    (tmp_path / "summary.json").write_text(json.dumps(facts))
    words = ["push", name, "lab/mine", "--scores"]
    assert cli.main([*words, f"Heads={tmp_path}"]) == 0
    assert "licence" in capsys.readouterr().err
    metadata = zoo.info("hf-hub:lab/mine").metadata
    assert metadata["pipeline_tag"] == "image-to-image"
    ((result,),) = (entry["results"] for entry in metadata["model-index"])
    assert result["dataset"] == {"name": "Heads", "type": "all"}
    assert result["metrics"] == [{"type": "dice", "value": 0.9123, "name": "mean dice"}]
    (tmp_path / "summary.json").write_text(json.dumps(facts | {"weights": "others"}))
    for wrong, said in [(tmp_path, "wanted DATASET"), (f"H={tmp_path}", "wanted scores of")]:
        assert cli.main([*words, str(wrong)]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_train_push_load_predict(writer, tmp_path, capsys, monkeypatch):
    """The whole way of a lab that publishes, and of another that has an empty cache."""
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        f"architecture: sparse-completion\nconfig: {{channels: {CHANNELS},"
        f" thresholds: {KEEP_ALL}}}\nphantoms: {{resolution: 24, skulls: 2, jitter: 0}}\n"
        "steps: 2\nbatch_size: 2\nvalidation_cases: 1\nstatistics_batches: 1\n"
    )
    out = tmp_path / "run"
    assert cli.main(["train", str(recipe), "-o", str(out), "--workers", "0"]) == 0
    made = f"local-dir:{out}/model"
    assert cli.main(["push", made, "lab/trained"]) == 0
    volume = tmp_path / "skull.nii.gz"
    hollow_box().save(volume)
    answers = []
    for name in (made, "hf-hub:lab/trained"):
        answer = tmp_path / f"{len(answers)}.nii.gz"
        assert cli.main(["predict", name, "-i", str(volume), "-o", str(answer), "-q"]) == 0
        answers.append(zoo.Volume.of(answer).array)
    assert (answers[0] == answers[1]).all() and answers[0].sum() > hollow_box().array.sum()
    facts = zoo.load("hf-hub:lab/trained").origin.facts
    assert len(facts["training_config_sha256"]) == 64
