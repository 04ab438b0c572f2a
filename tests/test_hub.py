"""Weights from where they may come from; the Hub is a real HTTP server on loopback."""

import hashlib
import os
import subprocess
import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

import zoo
from zoo.cards import shipped_cards
from zoo.errors import ConfigError, WeightsError
from zoo.hub import find_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The part of the Hub's protocol that a download uses: resolve, with ETag and commit."""

    def __init__(self, files, *arguments):
        self.files = files
        super().__init__(*arguments)

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        *_, repo, _resolve, _revision, name = self.path.split("/")
        content = self.files.get((repo, name))
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def saved(tmp_path):
    config = {"channels": [2, 2, 4, 4, 4, 4, 16]}
    zoo.create("sparse-completion", config, backend="torch").save(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def hub(saved):
    """Serves `saved` as lab/good, and with wrong weights as lab/bad."""
    files = {("good", path.name): path.read_bytes() for path in saved.iterdir()}
    files |= {("bad", name): content for (_, name), content in files.items()}
    files["bad", "model.safetensors"] = files["good", "model.safetensors"][:-1] + b"\7"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, files))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def run(code, endpoint, cache):
    """In a process of its own: the client reads its settings when it is imported."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", f"import zoo\n{code}"],
        env=os.environ | settings | {"no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_model_is_pulled_verified_and_cached(hub, tmp_path):
    code = "print(zoo.load('hf-hub:lab/good', backend='torch'{more}).card.weights.sha256)"
    first = run(code.format(more=""), hub, tmp_path / "cache")
    assert first.returncode == 0, first.stderr
    offline = code.format(more=", local_files_only=True")
    again = run(offline, "http://127.0.0.1:9", tmp_path / "cache")
    assert again.stdout == first.stdout and len(first.stdout.strip()) == 64


def test_wrong_bytes_are_refused(hub, tmp_path):
    done = run("zoo.load('hf-hub:lab/bad', backend='torch')", hub, tmp_path / "cache")
    assert "WeightsError" in done.stderr and "wanted sha256" in done.stderr


def test_what_is_not_there_is_said(hub, tmp_path):
    done = run("zoo.load('hf-hub:lab/nothing', backend='torch')", hub, tmp_path / "cache")
    assert "zoo.errors.WeightsError" in done.stderr and "lab/nothing" in done.stderr


@pytest.mark.parametrize("name", ["hf-hub:no", "hf-hub:", "hf-hub:a/b/c", "hf-hub:../x@main@2"])
def test_a_name_that_is_no_repository_is_refused(name):
    with pytest.raises(ConfigError, match="hf-hub:ORG/REPO"):
        zoo.info(name)


def test_offline_without_a_cached_file_says_what_to_do(tmp_path):
    code = "zoo.load('hf-hub:lab/good', backend='torch', local_files_only=True)"
    done = run(code, "http://127.0.0.1:9", tmp_path / "cache")
    assert "not in the Hugging Face cache" in done.stderr and "weights=" in done.stderr


def test_given_weights_must_be_the_cards(tmp_path):
    card = zoo.info("skull-completion-64")
    shipped = shipped_cards() / "skull-completion-64.safetensors"
    assert find_weights(card) == find_weights(card, shipped) == shipped.read_bytes()
    (tmp_path / "other.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not the weights of skull-completion-64"):
        find_weights(card, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no weights at"):
        find_weights(card, tmp_path / "missing.safetensors")
