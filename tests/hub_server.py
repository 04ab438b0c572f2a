"""A Hugging Face Hub on loopback: tests pull from it and push to it with the real client.

    with Hub({"hf_write": "write", "hf_read": "read"}) as hub:
        commit = hub.publish("lab/good", {"config.json": b"{}", "model.safetensors": weights})
        hub.fault("GET .*/model.safetensors", Truncated(), times=1)
        subprocess.run(command, env=hub.environment(tmp_path / "cache", token="hf_read"))
        assert "HEAD /lab/good/resolve/main/config.json" in hub.requests

It knows models, and never speaks of Xet. A client that has hf_xet downloads over plain HTTP then,
but still pushes LFS files that are given as paths through Xet alone: give it open files, or add
`PLAIN_LFS` to its environment.
"""

import hashlib
import hmac
import json
import math
import os
import re
import secrets
import socket
import struct
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import parse_qs, quote, unquote

LFS = (".bin", ".gz", ".npz", ".pt", ".safetensors")  # the rest are regular files, in git
PLAIN_LFS = {"HF_HUB_DISABLE_XET": "1"}
USER = "tester"


@dataclass(frozen=True)
class Answer:
    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def say(data, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(data).encode(), headers or {})


# What can go wrong.


class Fault:
    """Nothing goes wrong; each fault overrides a step of this."""

    of_body = False  # such a fault befalls GET alone

    def answer(self, request: "Protocol") -> Answer:
        return request.answer()

    def send(self, write: Callable[[bytes], object], content: bytes):
        write(content)


class Refuse(Fault, Exception):
    """A status instead of the answer; the client goes by the code, then by the status."""

    def __init__(self, status: int, code: str = "", message: str = "", headers=None):
        named = {"X-Error-Code": code, "X-Error-Message": message} | (headers or {})
        named = {name: value for name, value in named.items() if value}
        self.refused = say({"error": message or f"status {status}"}, status, named)

    def answer(self, request):
        return self.refused


BAD_TOKEN = Refuse(401, message="Invalid credentials in Authorization header")
GATED = Refuse(403, "GatedRepo", "Access to this model is restricted")
NO_REPOSITORY = Refuse(404, "RepoNotFound", "Repository not found")
NO_REVISION = Refuse(404, "RevisionNotFound", "Invalid rev id")
NO_ENTRY = Refuse(404, "EntryNotFound", "Entry not found")
RATE_LIMITED = Refuse(429, message="Too many requests", headers={"Retry-After": "1"})


@dataclass
class Hook(Fault):
    """Calls a function, then answers as ever; `Hook(partial(time.sleep, 3))` answers late."""

    call: Callable[[], object]

    def answer(self, request):
        self.call()
        return super().answer(request)


class WrongBytes(Fault):
    """The last byte is another one."""

    of_body = True

    def answer(self, request):
        right = super().answer(request)
        return replace(right, content=right.content[:-1] + bytes(b ^ 1 for b in right.content[-1:]))


class Truncated(Fault):
    """The connection is closed after half of what Content-Length says."""

    of_body = True

    def send(self, write, content):
        write(content[: len(content) // 2])
        self.pause()
        write(content[len(content) // 2 :])

    def pause(self):
        raise ConnectionAbortedError


@dataclass
class Slow(Truncated):
    """The body stalls halfway."""

    seconds: float

    def pause(self):
        time.sleep(self.seconds)


class ResetHalfway(Truncated):
    """The connection is reset after half of the body."""

    def pause(self):
        time.sleep(0.1)  # a reset discards what the other side has not read yet
        raise ConnectionResetError


class Reset(Fault):
    """The connection is reset before anything is sent."""

    def answer(self, request):
        raise ConnectionResetError


@dataclass
class Trap:
    pattern: str
    fault: Fault
    left: float

    def catches(self, line: str) -> bool:
        spared = self.fault.of_body and not line.startswith("GET ")
        return self.left > 0 and not spared and re.search(self.pattern, line) is not None


# The store: repositories of commits, which are files by name.


@dataclass(frozen=True)
class File:
    content: bytes
    lfs: bool = False

    @property
    def oid(self) -> str:
        """sha256 of what LFS keeps, the git blob's sha1 of the rest; also the ETag."""
        if self.lfs:
            return hashlib.sha256(self.content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


class Repository:
    """Commits by id, each one all of its files, and the branches that point to them."""

    def __init__(self, private: bool = False):
        self.private = private
        self.commits: dict[str, dict[str, File]] = {}
        self.branches: dict[str, str] = {}
        attributes = "".join(f"*{suffix} filter=lfs -text\n" for suffix in LFS)
        self.commit("main", {".gitattributes": File(attributes.encode())})

    def commit(self, branch: str, changes: Mapping[str, File | None]) -> str:
        """The id of a new commit on a branch; None deletes a file."""
        parent = self.branches.get(branch, "")
        files = self.commits.get(parent, {}) | changes
        files = {path: file for path, file in sorted(files.items()) if file}
        story = [len(self.commits), parent, *((path, file.oid) for path, file in files.items())]
        commit = hashlib.sha1(json.dumps(story).encode()).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit

    def resolve(self, revision: str) -> str:
        """The commit that a branch or an id names."""
        commit = self.branches.get(revision, revision)
        if commit not in self.commits:
            raise Refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def change(self, key: str, value: dict, head: str, objects: Mapping[str, bytes]) -> dict:
        """What one line of a pushed commit changes."""
        path, files = value.get("path", ""), self.commits[head]
        match key:
            case "header" if head.startswith(value.get("parentCommit", "")):
                return {}
            case "header":
                raise Refuse(412, message="A commit has happened since. Please refresh.")
            case "file":
                return {path: File(b64decode(value["content"]))}
            case "lfsFile" if value["oid"] in objects:
                return {path: File(objects[value["oid"]], lfs=True)}
            case "deletedFile" if path in files:
                return {path: None}
            case "deletedFile":
                raise Refuse(404, "EntryNotFound", "A file with this name doesn't exist")
            case "deletedFolder":
                return {name: None for name in files if name.startswith(path)}
        raise Refuse(400, message=f"cannot commit {key} {path}")


# The server: HTTP first, then the Hub's protocol on top of it.


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes

    def __init__(self, hub: "Hub", *arguments):
        self.hub = hub
        super().__init__(*arguments)

    def respond(self):
        path, _, self.query = self.path.partition("?")
        self.line = f"{self.command} {path}"
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.hub.note(self.line)
        try:
            self.send(fault.answer(self), fault)
        except ConnectionResetError:
            self.close_connection = True
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            os.close(self.connection.detach())  # the server would first close it in good order
        except ConnectionError:
            self.close_connection = True

    do_HEAD = do_GET = do_POST = do_PUT = respond  # noqa: N815

    def send(self, answer: Answer, fault: Fault):
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD":
            fault.send(self.wfile.write, answer.content)

    def part(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """The content, or what the Range header asks of it."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return Answer(200, content, headers)
        start, stop = int(wanted[1]), min(int(wanted[2] or len(content)) + 1, len(content))
        if start >= stop:
            raise Refuse(416, headers={"Content-Range": f"bytes */{len(content)}"})
        span = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
        return Answer(206, content[start:stop], headers | span)

    def log_message(self, *arguments):
        pass


ENDPOINTS: list[tuple[re.Pattern[str], Callable[..., Answer]]] = []


def serves(pattern: str):
    """Registers what answers `METHOD path`; the groups of the pattern are its arguments."""
    pattern = pattern.replace("REPOSITORY", "([^/]+/[^/]+)").replace("REVISION", "([^/]+)")

    def register(endpoint):
        ENDPOINTS.append((re.compile(pattern), endpoint))
        return endpoint

    return register


class Protocol(Connection):
    def answer(self) -> Answer:
        try:
            for pattern, endpoint in ENDPOINTS:
                if found := pattern.fullmatch(self.line):
                    with self.hub.lock:
                        return endpoint(self, *(name and unquote(name) for name in found.groups()))
        except Refuse as refusal:
            return refusal.refused
        return say({"error": f"There is no {self.line}"}, 404)

    def role(self) -> str | None:
        """What the token may do, None without one."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens:
            raise Refuse(401, message="Invalid credentials in Authorization header")
        return self.hub.tokens.get(token)

    def readable(self, name: str) -> Repository:
        if name in self.hub.renamed:
            renamed = self.path.replace(name, self.hub.renamed[name], 1)
            raise Refuse(307, headers={"Location": renamed})
        role, repository = self.role(), self.hub.repositories.get(name)
        if repository is None or (repository.private and not role):
            # The Hub's 401 has no code, but only over https does the client know what it means.
            raise Refuse(404 if role else 401, "RepoNotFound", "Repository not found")
        return repository

    def writable(self, name: str) -> Repository:
        self.must_write()
        return self.readable(name)

    def must_write(self):
        match self.role():
            case None:
                raise Refuse(401, "RepoNotFound", "Invalid username or password.")
            case "read":
                raise Refuse(403, message="You must use a write token to upload to a repository.")

    @serves("GET /api/whoami-v2")
    def whoami(self):
        if not (role := self.role()):
            raise Refuse(401, message="Invalid username or password.")
        access = {"type": "access_token", "accessToken": {"displayName": role, "role": role}}
        return say({"type": "user", "name": USER, "fullname": USER, "orgs": [], "auth": access})

    @serves("POST /api/validate-yaml")
    def validate_card(self):
        return say({"errors": [], "warnings": []})

    @serves("POST /api/repos/create")
    def create_repository(self):
        self.must_write()
        wanted = json.loads(self.body)
        name = f"{wanted['organization'] or USER}/{wanted['name']}"
        answer = {"url": f"{self.hub.endpoint}/{name}", "name": name}
        if name in self.hub.repositories:
            return say(answer | {"error": "You already created this model repo"}, 409)
        self.hub.repositories[name] = Repository(wanted.get("visibility") == "private")
        return say(answer)

    @serves("POST /api/models/REPOSITORY/branch/REVISION")
    def create_branch(self, name, branch):
        repository = self.writable(name)
        if branch in repository.branches:
            raise Refuse(409, message=f"Reference already exists: refs/heads/{branch}")
        start = json.loads(self.body).get("startingPoint", "main")
        repository.branches[branch] = repository.resolve(start)
        return say({})

    @serves("GET /api/models/REPOSITORY(?:/revision/REVISION)?")
    def model_info(self, name, revision):
        repository = self.readable(name)
        commit = repository.resolve(revision or "main")
        siblings = [{"rfilename": path} for path in repository.commits[commit]]
        private = repository.private
        return say({"id": name, "sha": commit, "private": private, "siblings": siblings})

    @serves("GET /api/models/REPOSITORY/tree/REVISION")
    def list_files(self, name, revision):
        repository = self.readable(name)

        def entry(path, file):
            known = {"oid": file.oid, "size": len(file.content)}
            lfs = {"lfs": known | {"pointerSize": 130}} if file.lfs else {}
            return {"type": "file", "path": path} | known | lfs

        files = repository.commits[repository.resolve(revision)]
        return say([entry(path, file) for path, file in files.items()])

    @serves("POST /api/models/REPOSITORY/paths-info/REVISION")
    def list_paths(self, name, revision):
        wanted = parse_qs(self.body.decode())["paths"]
        listed = json.loads(self.list_files(name, revision).content)
        return say([entry for entry in listed if entry["path"] in wanted])

    @serves("(?:HEAD|GET) /REPOSITORY/resolve/REVISION/(.+)")
    def resolve(self, name, revision, path):
        repository = self.readable(name)
        commit = repository.resolve(revision)
        file = repository.commits[commit].get(path)
        headers = {"X-Repo-Commit": commit}
        if file is None:
            raise Refuse(404, "EntryNotFound", "Entry not found", headers)
        headers["ETag"] = f'"{file.oid}"'
        if not file.lfs:
            return self.part(file.content, headers)
        headers |= {"X-Linked-ETag": f'"{file.oid}"', "X-Linked-Size": str(len(file.content))}
        headers["Location"] = self.hub.object_url("GET", file.oid, path)
        return Answer(302, headers=headers)

    @serves("GET /objects/([0-9a-f]{64})/.*")
    def download_object(self, oid):
        self.check_signature(oid)
        return self.part(self.hub.objects[oid], {"ETag": f'"{oid}"'})

    @serves("PUT /objects/([0-9a-f]{64})/")
    def upload_object(self, oid):
        self.check_signature(oid)
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refuse(400, message="The content is not what its oid says")
        self.hub.objects[oid] = self.body
        return Answer()

    def check_signature(self, oid):
        """As the stores behind the Hub do: a signed address is enough, and a token too much."""
        signature = parse_qs(self.query).get("signature")
        if signature != [self.hub.sign(self.command, oid)] or "Authorization" in self.headers:
            raise Refuse(403, message="The address is not signed, or there is a token too")

    @serves("POST /api/models/REPOSITORY/preupload/REVISION")
    def plan_commit(self, name, revision):
        repository = self.writable(name)
        there = repository.commits[repository.resolve(revision)]

        def plan(path):
            mode = "lfs" if path.endswith(LFS) else "regular"
            oid = {"oid": there[path].oid} if path in there else {}
            return {"path": path, "uploadMode": mode, "shouldIgnore": False} | oid

        return say({"files": [plan(file["path"]) for file in json.loads(self.body)["files"]]})

    @serves("POST /REPOSITORY.git/info/lfs/objects/batch")
    def plan_objects(self, name):
        self.writable(name)
        verify = {"href": f"{self.hub.endpoint}/{name}.git/info/lfs/objects/verify"}

        def plan(wanted):
            if wanted["oid"] in self.hub.objects:
                return wanted
            upload = {"href": self.hub.object_url("PUT", wanted["oid"])}
            return wanted | {"actions": {"upload": upload, "verify": verify}}

        objects = [plan(wanted) for wanted in json.loads(self.body)["objects"]]
        return say({"transfer": "basic", "objects": objects})

    @serves("POST /REPOSITORY.git/info/lfs/objects/verify")
    def verify_object(self, name):
        self.writable(name)
        wanted = json.loads(self.body)
        if len(self.hub.objects.get(wanted["oid"], b"")) != wanted["size"]:
            raise Refuse(404, message="The object is not there")
        return say({})

    @serves("POST /api/models/REPOSITORY/commit/REVISION")
    def commit(self, name, branch):
        repository = self.writable(name)
        head = repository.resolve(branch)
        changes = {}
        for line in map(json.loads, self.body.splitlines()):
            changes |= repository.change(line["key"], line["value"], head, self.hub.objects)
        commit = repository.commit(branch, changes)
        url = f"{self.hub.endpoint}/{name}/commit/{commit}"
        return say({"commitOid": commit, "commitUrl": url})


class Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # a client may leave when it likes
            super().handle_error(request, client_address)


class Hub:
    """Serves while it is entered.

    Attributes:
        endpoint: its address; LFS objects lie at another one, as they do behind the Hub.
        repositories: by `ORG/NAME`.
        objects: what LFS keeps, by sha256.
        requests: `METHOD path` of each request, without its query.
    """

    def __init__(self, tokens: Mapping[str, str] | None = None):
        """`tokens`: what each one may do, "read" or "write"."""
        self.tokens = dict(tokens or {})
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.traps: list[Trap] = []
        self.lock = Lock()
        self.key = secrets.token_bytes()
        # Two ports are two origins: within one, the client takes the redirect for a renaming.
        self.servers = [Server(("127.0.0.1", 0), partial(Protocol, self)) for _ in range(2)]
        self.endpoint, self.store = (f"http://127.0.0.1:{s.server_port}" for s in self.servers)

    def __enter__(self):
        for server in self.servers:
            Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def publish(
        self, name: str, files: Mapping[str, bytes], private: bool = False, branch: str = "main"
    ) -> str:
        """The id of a commit that adds files to a repository, which is made when it is new."""
        changes = {path: File(content, path.endswith(LFS)) for path, content in files.items()}
        with self.lock:
            repository = self.repositories.setdefault(name, Repository(private))
            self.objects |= {file.oid: file.content for file in changes.values() if file.lfs}
            return repository.commit(branch, changes)

    def rename(self, old: str, new: str):
        """The old name redirects to the new one."""
        with self.lock:
            self.repositories[new] = self.repositories.pop(old)
            self.renamed[old] = new

    def fault(self, pattern: str, fault: Fault, times: float = math.inf):
        """Lets a fault befall the next requests whose `METHOD path` holds `pattern`, a regex.

        The first of the faults that fit is taken. The bytes of an LFS file come from
        `GET /objects/SHA256/FILE`, those of others from `GET /ORG/NAME/resolve/REVISION/FILE`.
        """
        with self.lock:
            self.traps.append(Trap(pattern, fault, times))

    def environment(self, cache: Path, token: str | None = None) -> dict[str, str]:
        """For a process whose client talks to this Hub and keeps all of its files in `cache`."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        settings = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "0"}
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        signed_in = {"HF_TOKEN": token} if token else {}
        return kept | settings | quiet | signed_in | {"no_proxy": "127.0.0.1"}

    def note(self, line: str) -> Fault:
        """Logs a request; what shall go wrong with it."""
        with self.lock:
            self.requests.append(line)
            trap = next((trap for trap in self.traps if trap.catches(line)), None)
            if trap is None:
                return Fault()
            trap.left -= 1
            return trap.fault

    def sign(self, method: str, oid: str) -> str:
        return hmac.new(self.key, f"{method} {oid}".encode(), "sha256").hexdigest()

    def object_url(self, method: str, oid: str, path: str = "") -> str:
        return f"{self.store}/objects/{oid}/{quote(path)}?signature={self.sign(method, oid)}"
