"""A hostile repository can do no more than fail: nothing of it is run, and little of it is read."""

import json
import os
from itertools import pairwise

import pytest
import safetensors.torch
import torch
import yaml
from hub_server import Refuse

import zoo
from zoo.cards import parse_card, sha256_of
from zoo.cli import main
from zoo.errors import ConfigError, NotRegistered, WeightsError, ZooError
from zoo.models.report import peak_memory

CHANNELS = [2, 2, 4, 4, 4, 4, 16]


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The files of a tiny model, by name."""
    folder = tmp_path_factory.mktemp("saved")
    zoo.create("sparse-completion", {"channels": CHANNELS}, backend="torch").save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(honest, tmp_path):
    """The same as a folder of its own, to be tampered with."""
    for name, content in honest.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def load(folder):
    return zoo.load(f"local-dir:{folder}", backend="torch")


def change_card(folder, change):
    """Let `change` alter the card's block; config.json follows."""
    path = folder / "README.md"
    _, front, text = path.read_text().split("---\n", 2)
    content = yaml.safe_load(front)
    change(content["zoo"])
    path.write_text(f"---\n{yaml.safe_dump(content)}---\n{text}")
    config = {key: content["zoo"][key] for key in ("architecture", "config")}
    (folder / "config.json").write_text(json.dumps(config))


def replace_weights(folder, content):
    """Other weights, which the card pins."""
    (folder / "model.safetensors").write_bytes(content)
    digest = sha256_of(folder / "model.safetensors")
    change_card(folder, lambda block: block["weights"].update(sha256=digest))


def test_the_honest_model_loads(folder):
    change_card(folder, lambda block: None)
    assert load(folder).card.task == "completion"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", "../../outside.safetensors"),
        ("file", "/etc/outside.safetensors"),
        ("file", "sub/outside.safetensors"),
        ("file", "..safetensors"),
        ("file", "weights.pkl"),
        ("repo", "../outside"),
        ("repo", "lab/../../outside"),
        ("repo", "https://elsewhere/lab/model"),
        ("revision", "../../outside"),
        ("revision", "main/../../outside"),
        ("sha256", "0"),
    ],
)
def test_no_path_leads_out(folder, key, value):
    change_card(folder, lambda block: block["weights"].update({key: value}))
    with pytest.raises(ConfigError, match=rf"weights\.{key}"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.safetensors", "not the weights"),
        ("README.md", "front matter"),
        ("config.json", "config.json is not readable as JSON"),
    ],
)
def test_a_link_to_another_file_is_only_read_and_never_shown(folder, tmp_path, name, said):
    secret = tmp_path / "secret"
    secret.write_text("the password is swordfish")
    (folder / name).unlink()
    os.symlink(secret, folder / name)
    with pytest.raises(ZooError, match=said) as caught:
        load(folder)
    assert "swordfish" not in str(caught.value)
    assert secret.read_text() == "the password is swordfish"


def test_a_link_in_a_repository_is_a_text_like_any_other(hub, honest):
    """As git has it, and the Hub serves it: a file that holds a path."""
    hub.publish("lab/links", honest | {"README.md": b"/etc/passwd"})
    with pytest.raises(ConfigError, match="front matter"):
        zoo.load("hf-hub:lab/links", backend="torch")


@pytest.mark.parametrize("name", ["os:system", "zoo:Model", "builtins.exec", "../evil", ""])
def test_only_what_is_registered_is_an_architecture(folder, name):
    change_card(folder, lambda block: block.update(architecture=name))
    with pytest.raises(NotRegistered, match="unknown architecture"):
        load(folder)


def test_an_architecture_for_another_task_is_refused(folder):
    change_card(folder, lambda block: block.update(architecture="sparse-super-resolution"))
    with pytest.raises(ConfigError, match="wanted an architecture for completion"):
        load(folder)


@pytest.mark.parametrize("head", ["labels", "os:system"])
def test_only_a_fitting_head_is_made(folder, head):
    change_card(folder, lambda block: block["config"].update(head=head))
    with pytest.raises((ConfigError, NotRegistered), match="head"):
        load(folder)


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch WITNESS']",
        "!!python/object/new:os.system ['touch WITNESS']",
        "!!python/name:os.system",
        "!!python/module:antigravity",
        "!evil x",
    ],
)
def test_a_tag_in_a_card_makes_nothing(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="front matter is not YAML"):
        parse_card(f"---\nzoo: {value}\n---\n", source="card")
    assert not list(tmp_path.iterdir())


def test_a_billion_laughs_are_not_laughed(folder):
    lines = ["a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise("abcdefghi")]
    with pytest.raises(ConfigError, match="alias"):
        parse_card("---\n" + "\n".join([*lines, "zoo: {name: *i}"]) + "\n---\n", source="card")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[" * 10_000, "{a: " * 10_000, "---\n" * 40_000, "\n" * 10**5])
def test_a_card_that_nests_or_goes_on_for_ever_is_refused(text):
    """At once: what backtracks would take hours."""
    for content in (f"---\n{text}", f"---\n{text}\n---\n", f"---\nzoo: {text}\n---\n"):
        with pytest.raises(ConfigError):
            parse_card(content, source="card")


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07", "\x9b31m", "a\x00b", "\x08"])
def test_a_card_cannot_write_to_the_terminal(folder, text):
    path = folder / "README.md"
    path.write_text(path.read_text() + text)
    with pytest.raises(ConfigError, match="control character"):
        load(folder)
    change = {"labels": [f"heart{text}"]}
    path.write_text(path.read_text().replace(text, ""))
    change_card(folder, lambda block: block.update(change))
    with pytest.raises(ConfigError, match="labels"):
        load(folder)


def header(**entries):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text


def entry(begin, end, shape=(1,), kind="F32"):
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x02",
        (2**63).to_bytes(8, "little") + b"{}",
        (10**8).to_bytes(8, "little") + b"{" + b" " * 10**6,
        (2**20 + 8).to_bytes(8, "little") + b"{}" + b" " * (2**20 + 6),
        (10**5).to_bytes(8, "little") + b"[" * 10**5,
        header() + b"trailing",
        header(a=entry(0, 4), b=entry(0, 4)) + bytes(4),
        header(a=entry(0, 2**62, (2**60,))) + bytes(4),
        header(a=entry(-4, 4, (2,))) + bytes(4),
        header(a=entry(0, 4, kind="OBJECT")) + bytes(4),
        header(a=7),
        b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    ],
    ids=range(13),
)
def test_a_header_that_lies_is_refused_before_any_tensor(folder, content, monkeypatch):
    monkeypatch.setattr(safetensors.torch, "load", lambda _: pytest.fail("a tensor was read"))
    replace_weights(folder, content)
    before = peak_memory()
    with pytest.raises(WeightsError, match=r"the weights of|bytes at most"):
        load(folder)
    assert peak_memory() - before < 200e6


def test_tensors_that_overlap_are_refused(folder):
    """The names, shapes and types are right, the places are not."""
    content = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + length])
    first, second = [name for name in entries if name.endswith("norm.bias")][:2]
    assert entries[first]["shape"] == entries[second]["shape"]
    entries[second]["data_offsets"] = entries[first]["data_offsets"]
    replace_weights(folder, header(**entries) + content[8 + length :])
    with pytest.raises(WeightsError, match="not readable as safetensors"):
        load(folder)


def test_other_tensors_than_the_config_has_are_named(folder):
    rows = safetensors.torch.load((folder / "model.safetensors").read_bytes())
    rows["output.kernel"] = rows["output.kernel"].double()
    rows["output.bias"] = torch.zeros(2)
    del rows["heads.0.classifier.bias"]
    rows["extra"] = torch.zeros(1)
    replace_weights(folder, safetensors.torch.save(rows))
    with pytest.raises(WeightsError) as caught:
        load(folder)
    said = str(caught.value)
    assert "extra: wanted none, got F32 [1]" in said
    assert "heads.0.classifier.bias: wanted F32 [1], got none" in said
    assert "output.bias: wanted F32 [1], got F32 [2]" in said and "1 more" in said


def test_a_config_cannot_ask_for_more_memory_than_its_weights_have(folder):
    change_card(folder, lambda block: block.update(config={"channels": [4096] * 12}))
    before = peak_memory()
    with pytest.raises(WeightsError, match="its tensors are not those of the card's config"):
        load(folder)
    assert peak_memory() - before < 200e6
    change_card(folder, lambda block: block["config"].update(channels=[10**9] * 7))
    with pytest.raises(ConfigError, match="channels"):
        load(folder)


def test_escape_sequences_in_a_card_do_not_reach_the_terminal(folder, capsys):
    change_card(folder, lambda block: block.update({"after": "x\x1b]0;owned\x07"}))
    assert main(["info", f"local-dir:{folder}"]) == 0
    change_card(folder, lambda block: block.update({"odd\x1b[2J": 1}))
    assert main(["info", f"local-dir:{folder}"]) == 2
    streams = capsys.readouterr()
    assert "owned" in streams.out and "odd" in streams.err
    assert "\x1b" not in streams.out + streams.err


def test_a_warm_cache_lets_no_large_file_in(hub, honest):
    hub.publish("lab/large", honest)
    zoo.load("hf-hub:lab/large", backend="torch")
    hub.publish("lab/large", {"README.md": honest["README.md"] + b" " * 2**21})
    hub.requests.clear()
    with pytest.raises(WeightsError, match=r"README\.md of lab/large: wanted"):
        zoo.load("hf-hub:lab/large", backend="torch")
    assert not any(line.startswith("GET") for line in hub.requests)


@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors"])
def test_a_file_that_is_too_large_is_not_fetched(hub, honest, name):
    hub.publish("lab/large", honest | {name: honest[name] + b" " * 2**21})
    with pytest.raises(WeightsError, match=rf"{name} of lab/large: wanted .* bytes at most, got"):
        zoo.load("hf-hub:lab/large", backend="torch")
    assert not any(line.startswith("GET") and name in line for line in hub.requests)


def test_a_mirror_that_only_knows_files_is_asked_for_each_size(hub, honest):
    hub.fault("paths-info", Refuse(404))
    hub.publish("lab/large", honest | {"config.json": b" " * 2**21})
    with pytest.raises(WeightsError, match=r"config\.json of lab/large: wanted"):
        zoo.load("hf-hub:lab/large", backend="torch")


def test_code_in_a_repository_is_not_even_fetched(hub, honest):
    code = b"raise SystemExit('run')"
    files = {"modeling.py": code, "__init__.py": code, "setup.py": code, "pytorch_model.bin": code}
    hub.publish("lab/code", honest | files)
    zoo.load("hf-hub:lab/code", backend="torch")
    assert not any(name in line for line in hub.requests for name in files)


def test_a_config_with_code_for_transformers_is_not_a_config(folder):
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="different networks"):
        load(folder)
