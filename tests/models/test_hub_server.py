"""The Hub on loopback, driven by the real client."""

import hashlib
import subprocess
import sys
from functools import partial
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from hub_server import (
    GATED,
    PLAIN_LFS,
    RATE_LIMITED,
    Hook,
    Hub,
    Refuse,
    Reset,
    ResetHalfway,
    Slow,
    Truncated,
    WrongBytes,
)

WEIGHTS = bytes(range(256)) * 16
CARD = b"---\nlicense: mit\n---\nHello\n"
CLIENT = """
from pathlib import Path
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download

def attempt(call, *arguments, **more):
    try:
        print(call(*arguments, **more))
    except Exception as error:
        print(type(error).__name__, getattr(getattr(error, "response", None), "status_code", ""))

def pull(file, **more):
    path = Path(hf_hub_download("lab/good", file, **more))
    return f"{path.parent.name} {path.read_bytes().hex()}"

api = HfApi()
"""


@pytest.fixture
def hub():
    with Hub({"hf_write": "write", "hf_read": "read"}) as hub:
        yield hub


@pytest.fixture
def run(hub, tmp_path):
    """Runs code in a process with a client, in an empty folder; the lines that it prints."""

    def run(code, token=None, settings=None):
        done = subprocess.run(
            [sys.executable, "-c", CLIENT + code],
            env=hub.environment(tmp_path / "cache", token) | (settings or {}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_a_pushed_folder_is_pulled_and_each_commit_stays(hub, run, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/README.md").write_bytes(CARD)
    (tmp_path / "folder/model.safetensors").write_bytes(WEIGHTS)
    code = """
push = lambda **more: api.upload_folder(repo_id="lab/good", folder_path="folder", **more).oid
api.create_repo("lab/good")
api.create_repo("lab/good", exist_ok=True)
first = push()
print(first, push(), api.model_info("lab/good").sha)
Path("folder/model.safetensors").write_bytes(b"other")
print(second := push(delete_patterns="README.md", allow_patterns="*.safetensors"))
api.create_branch("lab/good", branch="v1/old", revision=first)
for revision in (None, "v1/old", first):
    print(pull("model.safetensors", revision=revision))
print(pull("README.md", revision=first))
print(api.list_repo_files("lab/good"), Path(snapshot_download("lab/good")).name == second)
"""
    pushed, second, *pulled, files = run(code, "hf_write", PLAIN_LFS)
    first, *unchanged = pushed.split()
    assert unchanged == [first, first] and len(first) == 40 and first != second
    old = f"{first} {WEIGHTS.hex()}"
    assert pulled == [f"{second} {b'other'.hex()}", old, old, f"{first} {CARD.hex()}"]
    assert files == "['.gitattributes', 'model.safetensors'] True"
    assert list(hub.objects.values()) == [WEIGHTS, b"other"]
    assert sum(line.startswith("PUT /objects/") for line in hub.requests) == 2


def test_open_files_are_pushed_beside_xet_and_a_late_commit_is_refused(hub, run):
    first = hub.publish("lab/good", {"model.safetensors": WEIGHTS})
    code = f"""
Path("weights").write_bytes(b"other")
def push():
    add = CommitOperationAdd("model.safetensors", Path("weights").open("rb"))
    return api.create_commit("lab/good", [add], commit_message="new", parent_commit="{first}").oid
attempt(push)
Path("weights").write_bytes(b"third")
attempt(push)
"""
    second, refused = run(code, "hf_write")
    repository = hub.repositories["lab/good"]
    assert repository.branches == {"main": second} and refused == "HfHubHTTPError 412"
    assert repository.commits[first]["model.safetensors"].content == WEIGHTS
    assert repository.commits[second]["model.safetensors"].content == b"other"
    assert not any("xet" in line for line in hub.requests)


def test_tokens_open_what_they_may(hub, run):
    hub.publish("lab/good", {"config.json": b"{}"}, private=True)
    code = """
attempt(pull, "config.json")
attempt(pull, "config.json", token="hf_bad")
attempt(api.upload_file, path_or_fileobj=b"[]", path_in_repo="a", repo_id="lab/good")
api = HfApi(token="hf_read")
attempt(api.upload_file, path_or_fileobj=b"[]", path_in_repo="a", repo_id="lab/good")
attempt(api.create_repo, "lab/new", exist_ok=True)
print(api.whoami()["name"], pull("config.json", token="hf_read")[41:])
"""
    assert run(code) == [
        "RepositoryNotFoundError 401",
        "HfHubHTTPError 401",
        "RepositoryNotFoundError 401",
        "HfHubHTTPError 403",
        "HfHubHTTPError 403",
        f"tester {b'{}'.hex()}",
    ]
    assert list(hub.repositories) == ["lab/good"]


def test_what_is_not_there_is_said_and_a_renamed_repository_is_found(hub, run):
    commit = hub.publish("lab/old", {"model.safetensors": WEIGHTS})
    hub.rename("lab/old", "lab/good")
    code = """
attempt(hf_hub_download, "lab/none", "config.json", token="hf_read")
attempt(pull, "config.json", revision="none")
attempt(pull, "config.json")
path = Path(hf_hub_download("lab/old", "model.safetensors"))
print(path.parent.name, path.stat().st_size)
"""
    assert run(code) == [
        "RepositoryNotFoundError 404",
        "RevisionNotFoundError 404",
        "RemoteEntryNotFoundError 404",
        f"{commit} {len(WEIGHTS)}",
    ]


def test_an_object_is_sent_in_parts_from_its_signed_address_alone(hub):
    hub.publish("lab/good", {"model.safetensors": WEIGHTS})
    address = hub.object_url("GET", hashlib.sha256(WEIGHTS).hexdigest(), "model.safetensors")
    opener = build_opener(ProxyHandler({}))

    def get(address, **headers):
        with opener.open(Request(address, headers=headers), timeout=10) as answer:
            return answer.status, answer.headers["Content-Range"], answer.read()

    assert get(address) == (200, None, WEIGHTS)
    assert get(address, Range="bytes=4000-") == (206, "bytes 4000-4095/4096", WEIGHTS[4000:])
    assert get(address, Range="bytes=1-2") == (206, "bytes 1-2/4096", WEIGHTS[1:3])
    with pytest.raises(HTTPError, match="416"):
        get(address, Range="bytes=4096-")
    with pytest.raises(HTTPError, match="403"):
        get(address.partition("?")[0])
    with pytest.raises(HTTPError, match="403"):
        get(address, Authorization="Bearer hf_write")


FAULTS = {
    "wrong": (WrongBytes(), "pulled, wrong"),
    "truncated": (Truncated(), "pulled"),
    "slow": (Slow(2.5), "pulled"),
    "limited": (RATE_LIMITED, "pulled"),
    "reset": (Reset(), "ReadError "),
    "halfway": (ResetHalfway(), "ReadError "),
    "down": (Refuse(503), "HfHubHTTPError 503"),
    "gated": (GATED, "GatedRepoError 403"),
}


@pytest.mark.slow
def test_each_fault_befalls_one_request(hub, run):
    hub.publish("lab/good", {f"{name}.safetensors": name.encode() + WEIGHTS for name in FAULTS})
    for name, (fault, _) in FAULTS.items():
        hub.fault(f"GET .*/{name}.safetensors", fault, times=1)
    code = f"""
def check(name):
    got = pull(name + ".safetensors")[41:]
    return "pulled" if got == name.encode().hex() + "{WEIGHTS.hex()}" else "pulled, wrong"
for name in {list(FAULTS)}:
    attempt(check, name)
"""
    lines = run(code, settings={"HF_HUB_DOWNLOAD_TIMEOUT": "1"})
    assert dict(zip(FAULTS, lines, strict=True)) == {name: end for name, (_, end) in FAULTS.items()}
    tries = {name: sum(f"/{name}." in line for line in hub.requests) for name in FAULTS}
    again = {"truncated", "slow", "limited"}  # one HEAD, one GET, and another GET for these
    assert tries == {name: 3 if name in again else 2 for name in FAULTS}


def test_a_hook_moves_the_branch_between_two_files(hub, run):
    first = hub.publish("lab/good", {"a.json": b"1", "b.json": b"1"})
    move = partial(hub.publish, "lab/good", {"a.json": b"2", "b.json": b"2"})
    hub.fault("HEAD .*/main/b.json", Hook(move), times=1)
    code = f"""
for file in ("a.json", "b.json"):
    print(pull(file), pull(file, revision="{first}"))
"""
    second = hub.repositories["lab/good"].branches
    assert run(code) == [
        f"{first} {b'1'.hex()} {first} {b'1'.hex()}",
        f"{second['main']} {b'2'.hex()} {first} {b'1'.hex()}",
    ]
    assert second["main"] != first
