"""Weights from where they may come from; the Hub is a real HTTP server, the client the real one."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import (
    BAD_TOKEN,
    GATED,
    NO_ENTRY,
    NO_REPOSITORY,
    NO_REVISION,
    RATE_LIMITED,
    Hook,
    Refuse,
    Reset,
    ResetHalfway,
    Slow,
    Truncated,
    WrongBytes,
)
from huggingface_hub import constants

import zoo
from zoo import cli
from zoo.cards import find_weights
from zoo.errors import ConfigError, WeightsError
from zoo.registries import shipped_cards

FILES = ("README.md", "config.json", "model.safetensors")
NAME = "hf-hub:lab/good"
WEIGHTS = "GET .*/model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The files of a tiny model, by name."""
    folder = tmp_path_factory.mktemp("saved")
    config = {"channels": [2, 2, 4, 4, 4, 4, 16]}
    zoo.create("sparse-completion", config, backend="torch").save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def good(hub, saved):
    """The Hub, with the model as lab/good."""
    hub.publish("lab/good", saved)
    return hub


def load(name=NAME, **options):
    return zoo.load(name, backend="torch", **options)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def cached(name="model.safetensors"):
    """What the cache holds under a file's name, in any commit."""
    return [path.read_bytes() for path in Path(constants.HF_HUB_CACHE).rglob(name)]


def partial_files():
    return list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))


@pytest.mark.slow
def test_a_model_is_pulled_verified_and_cached(good, saved):
    model = load()
    assert model.card.weights.sha256 == sha256(saved["model.safetensors"])
    assert cached() == [saved["model.safetensors"]]
    good.requests.clear()
    load(f"{NAME}@main", local_files_only=True)
    assert not good.requests
    commit = next(iter(Path(constants.HF_HUB_CACHE).rglob("snapshots/*"))).name
    load(f"{NAME}@{commit}")
    assert not good.requests  # a commit does not change: nothing needs to be asked


def test_sizes_are_asked_for_at_once_and_config_json_is_downloaded_once(good):
    load()
    asked = [line for line in good.requests if line.endswith("/config.json")]
    assert [line.split()[0] for line in asked] == ["HEAD", "GET"]
    assert sum("paths-info/main" in line for line in good.requests) == 1


def test_offline_mode_never_touches_the_network(good, monkeypatch):
    load()
    good.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    load()
    assert zoo.info(NAME).name == "sparse-completion"
    with pytest.raises(WeightsError, match=r"not in the Hugging Face cache.*local-dir:"):
        load("hf-hub:lab/other")
    assert not good.requests


@pytest.mark.slow
@pytest.mark.parametrize("option", [{"local_files_only": True}, {}])
def test_settings_count_in_a_process_of_its_own(good, tmp_path, option):
    """HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE, as a user sets them."""
    code = f"import zoo; print(zoo.load('{NAME}', backend='torch', **{option}).card.name)"
    settings = good.environment(tmp_path / "home", "hf_read")
    first = python(code, settings)
    if option:
        assert "not in the Hugging Face cache" in first.stderr
        assert not good.requests
        return
    assert first.stdout.strip() == "sparse-completion", first.stderr
    good.requests.clear()
    again = python(code, settings | {"HF_HUB_OFFLINE": "1"})
    assert again.stdout == first.stdout and not good.requests


def python(code, environment):
    words = [sys.executable, "-c", code]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)


RETRIED = {  # once, and the client or the zoo mends it by itself
    "wrong bytes": WrongBytes(),
    "truncated": Truncated(),
    "slow": Slow(3),
    "429": RATE_LIMITED,
}


@pytest.fixture
def impatient(monkeypatch):
    """A client that waits for a second at most."""
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)


@pytest.mark.slow
@pytest.mark.parametrize("fault", RETRIED.values(), ids=RETRIED.keys())
def test_what_goes_wrong_once_is_retried(good, saved, impatient, fault):
    good.fault(WEIGHTS, fault, times=1)
    assert load().card.weights.sha256 == sha256(saved["model.safetensors"])
    assert not good.traps[0].left
    assert cached() == [saved["model.safetensors"]] and not partial_files()


FETCH = "(HEAD|GET) .*/model.safetensors"
LASTING = {  # where, what, and what is said of it
    "wrong bytes": (WEIGHTS, WrongBytes(), r"not the weights of .*wanted sha256 .*got"),
    "truncated": (WEIGHTS, Truncated(), "model.safetensors of lab/good cannot be fetched"),
    "slow": (WEIGHTS, Slow(2), "model.safetensors of lab/good cannot be fetched"),
    "reset": (WEIGHTS, Reset(), "cannot be fetched from the Hub: .*reset"),
    "reset halfway": (WEIGHTS, ResetHalfway(), "model.safetensors of lab/good cannot be fetched"),
    "401": (FETCH, BAD_TOKEN, "401"),
    "403": (FETCH, GATED, "403"),
    "no repository": (FETCH, NO_REPOSITORY, "Repository Not Found"),
    "no revision": (FETCH, NO_REVISION, "Revision Not Found"),
    "no file": (FETCH, NO_ENTRY, "Entry Not Found"),
    "500": (WEIGHTS, Refuse(500), "cannot be fetched from the Hub: .*500"),
    "503": (WEIGHTS, Refuse(503), "cannot be fetched from the Hub: .*503"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("where", "fault", "said"), LASTING.values(), ids=LASTING.keys())
def test_what_stays_wrong_is_said_and_the_next_try_succeeds(
    good, saved, impatient, where, fault, said
):
    good.fault(where, fault)
    with pytest.raises(WeightsError, match=said) as caught:
        load()
    assert "\n" not in str(caught.value)
    good.traps.clear()
    load()
    assert cached() == [saved["model.safetensors"]] and not partial_files()


def test_a_busy_hub_is_waited_for_as_long_as_it_asks(good):
    good.fault("HEAD .*/README.md", RATE_LIMITED, times=2)
    good.fault("HEAD .*/config.json", Refuse(500), times=2)
    assert load().card.name == "sparse-completion"


def test_a_private_repository_takes_a_token(hub, saved, monkeypatch):
    hub.publish("lab/good", saved, private=True)
    assert load().card.name == "sparse-completion"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(WeightsError, match="lab/good cannot be fetched"):
        load("hf-hub:lab/good@other")


def test_a_branch_that_moves_between_two_files_mixes_nothing(good, saved):
    """After the card was read, the branch gets other weights and another card."""
    later = saved | {"model.safetensors": b"others", "config.json": b"{}"}
    good.fault("/config.json", Hook(lambda: good.publish("lab/good", later)), times=1)
    assert load().card.weights.sha256 == sha256(saved["model.safetensors"])
    asked = [line for line in good.requests if "resolve" in line and "safetensors" in line]
    assert asked and not any("/main/" in line for line in asked)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_corrupt_cache_is_replaced_and_not_trusted(good, saved, name, damage):
    load()
    content = {"cut": saved[name][:-20], "empty": b""}.get(damage)
    if damage == "flipped":
        content = saved[name].replace(b"16", b"17") if name != FILES[2] else b"x" + saved[name][1:]
    (blob,) = {path.resolve() for path in Path(constants.HF_HUB_CACHE).rglob(name)}
    blob.write_bytes(content)
    with pytest.raises((WeightsError, ConfigError)):
        load(local_files_only=True)
    assert blob.read_bytes() == content
    load()
    assert blob.read_bytes() == saved[name]


@pytest.mark.slow
def test_eight_processes_at_once_all_get_the_right_bytes(good, saved, tmp_path):
    code = f"from zoo.cards.hub import *; p = location_of('{NAME}'); c = card_at(p);" + (
        "print(hashlib.sha256(find_weights(c, location=p)[0]).hexdigest())"
    )
    settings = good.environment(tmp_path / "home", "hf_read")
    command = [sys.executable, "-c", code]
    running = [
        subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) for _ in range(8)
    ]
    answers = {process.communicate(timeout=120)[0].strip() for process in running}
    assert answers == {sha256(saved["model.safetensors"])}
    assert not list(tmp_path.rglob("*.incomplete"))


def test_download_fills_the_cache(good, capsys):
    assert cli.main(["download", NAME]) == 0
    said = capsys.readouterr().out
    assert all(f"{name}: " in said for name in (*FILES, "golden-input.nii.gz"))
    good.requests.clear()
    load(local_files_only=True)
    assert not good.requests
    assert cli.main(["download", "skull-completion-64"]) == 0  # comes with the zoo
    assert not good.requests


def test_download_fetches_the_models_of_an_ensemble(good, saved):
    good.publish("lab/other", saved)
    card = saved["README.md"].replace(b"\nzoo:\n", b"\nzoo:\n  ensemble: [hf-hub:lab/other]\n")
    good.publish("lab/good", saved | {"README.md": card})
    assert cli.main(["download", NAME]) == 0
    good.requests.clear()
    (other,) = load(local_files_only=True).card.ensemble
    load(other, local_files_only=True)
    assert not good.requests


def test_a_cards_own_weights_come_from_its_repository(good, saved, monkeypatch):
    """A card of the registry whose weights are not shipped."""
    card = zoo.info(NAME)
    pinned = card.weights.model_copy(update={"repo": "lab/good"})
    monkeypatch.setattr(
        zoo.registries.cards, "get", lambda _: card.model_copy(update={"weights": pinned})
    )
    model = load("some-name")
    assert str(model.origin.location) == "lab/good"
    good.publish("lab/good", saved | {"model.safetensors": b"what was pushed later"})
    good.requests.clear()
    assert load("some-name").card.weights.sha256 == pinned.sha256
    assert not good.requests  # the cache has what the card pins


def test_golden_cases_that_cannot_be_fetched_are_not_taken_for_absent(good, capsys):
    good.fault("HEAD .*/golden-input", Refuse(403))
    assert cli.main(["download", NAME]) == 2
    assert "golden-input.nii.gz of lab/good" in capsys.readouterr().err


def test_weights_beside_a_card_that_are_not_its_own_are_named(good, tmp_path, monkeypatch):
    card = zoo.info(NAME)
    (tmp_path / "some-name.safetensors").write_bytes(b"others")
    monkeypatch.setattr(zoo.registries.cards, "get", lambda _: card)
    monkeypatch.setattr(zoo.registries.cards, "path", lambda _: tmp_path / "some-name.md")
    with pytest.raises(WeightsError, match=r"some-name.safetensors does not have the sha256"):
        load("some-name", local_files_only=True)


PLACES = ["no", "", "a/b/c", "../x@main@2", "a/..", "a/b@", "a/b@../c", "a/b@c/../../d"]


@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_is_no_repository_is_refused(place):
    with pytest.raises(ConfigError, match="hf-hub:ORG/REPO"):
        zoo.info(f"hf-hub:{place}")


def test_given_weights_must_be_the_cards(tmp_path):
    card = zoo.info("skull-completion-64")
    shipped = shipped_cards() / f"{card.name}.safetensors"
    assert find_weights(card)[0] == find_weights(card, shipped)[0] == shipped.read_bytes()
    (tmp_path / "other.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not the weights of skull-completion-64"):
        find_weights(card, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no weights at"):
        find_weights(card, tmp_path / "missing.safetensors")
