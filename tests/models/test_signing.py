"""Signatures: real keys, the real library, and a Hub on loopback."""

import subprocess

import pytest
from command_line import save_model

import zoo
from zoo.cli import main


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A folder with two pairs of keys: mine and theirs, private and public."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "theirs"):
        words = ["-name", "prime256v1", "-genkey", "-noout", "-out", f"{folder}/{name}.pem"]
        subprocess.run(["openssl", "ecparam", *words], check=True)
        words = ["-in", f"{folder}/{name}.pem", "-pubout", "-out", f"{folder}/{name}-public.pem"]
        subprocess.run(["openssl", "ec", *words], check=True, capture_output=True)
    return folder


@pytest.fixture
def pushed(hub, monkeypatch, tmp_path, keys):
    """A signed model on the Hub."""
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    name = save_model(tmp_path / "made")
    zoo.load(name, backend="torch").push_to_hub("lab/mine", key=keys / "mine.pem")
    return hub.repositories["lab/mine"]


def verify(*words):
    return main(["verify", "hf-hub:lab/mine", "--backends", "torch", *map(str, words)])


def head(repository):
    """The files of the branch main, which a test may change."""
    return repository.commits[repository.branches["main"]]


@pytest.mark.slow
def test_a_model_is_signed_and_its_signature_checked(pushed, keys, capfd):
    assert "model.sig" in head(pushed)
    assert b"/tmp" not in head(pushed)["model.sig"].content
    assert verify("--key", keys / "mine-public.pem") == 0
    assert "all files are signed by" in capfd.readouterr().out
    assert verify("--key", keys / "theirs-public.pem") == 2
    assert "by another key or a damaged one" in capfd.readouterr().err
    assert verify("--key", keys / "mine.pem") == 2
    assert "wanted a signature by" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("README.md", lambda old: old + b"\nBetter than before.\n", "README.md changed"),
        ("golden-answer.nii.gz", lambda old: None, "golden-answer.nii.gz missing"),
        ("model.sig", lambda old: None, "wanted model.sig beside its files, got none"),
        ("model.sig", lambda old: b"{}", "wanted a signature, got"),
    ],
)
def test_what_was_done_to_a_model_is_found(file, content, said, pushed, keys, capfd):
    files = head(pushed)
    new = content(files[file].content)
    if new is None:
        del files[file]
    else:
        files[file] = type(files[file])(new)
    assert verify("--key", keys / "mine-public.pem") == 2
    assert said in capfd.readouterr().err


def test_a_key_that_is_none_is_refused_before_anything_is_sent(tmp_path, capfd):
    (tmp_path / "key.pem").write_text("secret")
    words = ["push", "skull-completion-64", "lab/mine", "--dry-run", "--sign"]
    assert main([*words, f"{tmp_path}/key.pem"]) == 2
    assert "wanted a private key on an elliptic curve" in capfd.readouterr().err
    assert main(["verify", "--key", f"{tmp_path}/key.pem"]) == 2
    assert "wanted the NAME of a model" in capfd.readouterr().err
