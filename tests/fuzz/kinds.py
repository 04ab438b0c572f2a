"""What is put under fire: kinds of files, with good ones to damage and what reads them."""

import gzip
import hashlib
import http.client
import io
import json
import re
import socket
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
import torch
import yaml
from hub_server import Answer, Fault, Hub
from huggingface_hub import constants
from mutation import Files

import zoo
from zoo.cards import CONFIG, README, WEIGHTS, read_card
from zoo.datasets import find_cases
from zoo.errors import ZooError
from zoo.evaluation._files import read_scores
from zoo.executors import Identity, Journal, Outcome, Outputs, inputs_of, plan_jobs
from zoo.models import convert
from zoo.models.conversion import read_settings
from zoo.tasks.completion._options import CompletionSettings
from zoo.tasks.completion._scoring import CompletionScore
from zoo.training import read_config
from zoo.training._checkpoint import load_tensors, save_tensors, steps_done
from zoo.training._log import append_log, read_log
from zoo.training.cache import GridCache, Grids
from zoo.viewer import Server, cases_of
from zoo.volumes import read_volume, write_volume

SILENCE = 0.3  # seconds after which no more of an answer comes
CHANNELS = [2, 2, 4, 4, 4, 4, 8]
ROOT = Path(__file__).parents[2]
IDENTITY = Identity("m", "0" * 64, {"threshold": 200.0})


def as_it_is(files: Files) -> Files:
    return files


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        seeds: makes good ones; each is a folder of files, by their names.
        read: reads what lies in a folder.
        pack: puts damaged content into what contains it, such as an archive, which is whole again.
    """

    seeds: Callable[[], list[Files]]
    read: Callable[[Path], object]
    pack: Callable[[Files], Files] = as_it_is


def volume(dtype=np.int16, shape=(3, 4, 5)) -> zoo.Volume:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return zoo.Volume(values, np.diag([-0.5, 0.75, 2.0, 1]))


def written(name: str, *dtypes: type) -> Callable[[], list[Files]]:
    """Makes volumes with the zoo's own writer of that suffix."""
    return lambda: [files_of(partial(write, volume(dtype), name)) for dtype in dtypes]


def write(made: zoo.Volume, name: str, folder: Path) -> None:
    write_volume(made, folder / name)


def files_of(make: Callable[[Path], object]) -> Files:
    """What `make` leaves in a folder."""
    with TemporaryDirectory() as folder:
        make(Path(folder))
        return contents(Path(folder))


def contents(folder: Path) -> Files:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def reads(name: str) -> Callable[[Path], object]:
    return lambda folder: read_volume(folder / name)


# Volumes.


def niftis() -> list[Files]:
    return [
        {"v.nii": image.to_bytes()}
        for image in (
            nib.Nifti1Image(volume().array, np.eye(4)),
            nib.Nifti2Image(volume(np.float32).array, np.eye(4)),
            scaled(nib.Nifti1Image(volume(np.uint8).array, np.eye(4))),
            nib.Nifti1Image(volume().array, np.eye(4), nib.Nifti1Header(endianness=">")),
        )
    ]


def scaled(image: nib.Nifti1Image) -> nib.Nifti1Image:
    image.header.set_slope_inter(0.5, -3)
    return image


def gzipped(files: Files) -> Files:
    return {f"{name}.gz": gzip.compress(content, 1, mtime=0) for name, content in files.items()}


def nrrds() -> list[Files]:
    text = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 3 4 5\nencoding: %s\nendian: little\n"
    space = b"space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,2)\n\n"
    data = volume().array.tobytes("F")
    numbers = " ".join(map(str, volume().array.ravel("F"))).encode()
    made = [(b"raw", data), (b"ascii", numbers), (b"gzip", gzip.compress(data))]
    plain = [{"v.nrrd": text % kind + space + content} for kind, content in made]
    return plain + written("v.nrrd", np.float32)()


def metaimages(header: str, data: str) -> list[Files]:
    text = (
        b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        b"CompressedData = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
        b"ElementSpacing = 1 1 2\nDimSize = 3 4 5\nElementType = MET_SHORT\nElementDataFile = "
    )
    content = volume().array.tobytes("F")
    if header == "v.mha":
        return [{header: text + b"LOCAL\n" + content}, *written(header, np.float32)()]
    return [{header: text + data.encode() + b"\n", data: content}, *written(header, np.int16)()]


def zipped_members(name: str, files: Files) -> Files:
    """The files as one archive, whose checksums are right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            archive.writestr(zipfile.ZipInfo(member), content, zipfile.ZIP_DEFLATED)
    return {name: stream.getvalue()}


def members(name: str, files: Files) -> Files:
    with zipfile.ZipFile(io.BytesIO(files[name])) as archive:
        return {member: archive.read(member) for member in archive.namelist()}


def npz_members() -> list[Files]:
    return [members("v.npz", files) for files in written("v.npz", np.int16, np.float32)()]


# Models.


@cache
def model_folder() -> Files:
    made = zoo.create("sparse-completion", {"channels": CHANNELS}, backend="torch")
    return {name: content for name, content in files_of(made.save).items() if "golden" not in name}


def pinned(files: Files) -> Files:
    """The same with the sha256 of the weights, however damaged, on the card."""
    digest = hashlib.sha256(files.get(WEIGHTS, b"")).hexdigest()
    card = re.sub(rb"sha256: [0-9a-f]{64}", f"sha256: {digest}".encode(), files[README])
    return {**files, README: card}


def load_folder(folder: Path) -> object:
    return zoo.load(f"local-dir:{folder}", backend="torch", device="cpu")


def checkpoints() -> list[Files]:
    state = load_model().network.state_dict()
    made = []
    for content, zipped in ((state, True), ({"state_dict": state, "step": 3}, False)):
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=zipped)
        made.append({"v.pth": stream.getvalue()})
    return made


@cache
def load_model() -> zoo.Model:
    return zoo.create("sparse-completion", {"channels": CHANNELS}, backend="torch")


def checkpoint_members() -> list[Files]:
    return [members("v.pth", checkpoints()[0])]


def convert_checkpoint(folder: Path) -> object:
    with TemporaryDirectory() as made:
        return convert(folder / "v.pth", Path(made, "model"), architecture="sparse-completion")


def cards() -> list[Files]:
    names = ("skull-completion-64.phantom.md", "thorax-segmentation-128.md")
    shipped = [{README: (ROOT / "cards" / name).read_bytes()} for name in names]
    return [{README: model_folder()[README]}, *shipped]


def read_card_text(folder: Path) -> object:
    return read_card(folder / README)


# Runs.

RECIPE = {
    "architecture": "sparse-completion",
    "config": {"channels": CHANNELS},
    "phantoms": {"resolution": 16, "skulls": 3},
    "augmentation": {"flip": 0.5, "scale": [0.9, 1.1]},
    "steps": 6,
    "learning_rate": 1e-3,
    "precision": "bfloat16",
}
LABELS = {"architecture": "sparse-segmentation", "steps": 3}
LINE = {"step": 250.0, "loss": 0.5, "learning_rate": 1e-3, "seconds": 9.0, "implant_dice": 0.75}
SCORE = dict.fromkeys(CompletionScore.model_fields, "1") | {"case": "000", "hd95": "inf"}
SETTINGS = CompletionSettings(model="m", weights="0" * 64)


def recipes() -> list[Files]:
    return [{"config.yaml": yaml.safe_dump(made).encode()} for made in (RECIPE, LABELS)]


def steps_of(folder: Path) -> object:
    path = folder / "checkpoint.safetensors"
    return steps_done(path), load_tensors(path)


def keep_tensors(folder: Path) -> None:
    tensors = {"network/a": torch.zeros(2, 3), "random/cpu": torch.zeros(9, dtype=torch.uint8)}
    save_tensors(folder / "checkpoint.safetensors", tensors, {"step": "3", "losses": "[0.5]"})


def log(folder: Path) -> None:
    for step in (250, 500):
        append_log(folder / "log.csv", LINE | {"step": step})


def read_and_append(folder: Path) -> object:
    append_log(folder / "log.csv", LINE | {"step": 750})
    return read_log(folder / "log.csv")


def keep_grids(folder: Path) -> None:
    GridCache(folder).get("a", grids)


def grids() -> Grids:
    return Grids(np.arange(64).reshape(1, 4, 4, 4) % 3 == 0, (1.0, 1.0, 2.0))


def read_grids(folder: Path) -> object:
    return GridCache(folder).get("a", grids)


def journal(folder: Path) -> None:
    for name in ("a.nii", "b.nii"):
        (folder / name).write_bytes(b"x")
    made = Journal(folder / "out", IDENTITY)
    facts = {"sha256": {"input": "1" * 64}, "warnings": ["thick slices"], "seconds": 1.5}
    jobs = plan_jobs([folder], Outputs(folder / "out"))
    made.write(Outcome(jobs[0], facts))
    made.write(Outcome(jobs[1], error=ZooError("no bone")))
    made.summarise(jobs)


def read_journal(folder: Path) -> object:
    (folder / "a.nii").write_bytes(b"x")
    jobs = plan_jobs([folder / "a.nii", folder / "b.nii"], Outputs(folder / "out"))
    made = Journal(folder / "out", IDENTITY)
    entries = [(job, made.read(job)) for job in jobs]
    made.summarise(jobs)
    return [made.why_again(job, entry) for job, entry in entries if entry]


def tables() -> list[Files]:
    empty = {"a.nii": b"x", "b.nii": b"x"}
    table = b"name,source,target,implant\n000,a.nii,b.nii,\n001,,b.nii,a.nii\n"
    return [{"cases.csv": table, "split.txt": b"000 # the first\n001\n", **empty}]


def read_cases(folder: Path) -> object:
    return find_cases(folder, split=folder / "split.txt")


def scores() -> list[Files]:
    row = SCORE | {key: str(value) for key, value in SETTINGS.model_dump(exclude_none=True).items()}
    return [{"cases.csv": ",".join(row).encode() + b"\n" + ",".join(row.values()).encode() + b"\n"}]


def lists() -> list[Files]:
    named = {"a.nii": b"x", "b.nii": b"x"}
    return [
        {"list.csv": b"case,input\n1,a.nii\n2,b.nii\n", "list.txt": b"a.nii\nb.nii\n", **named},
    ]


def read_lists(folder: Path) -> object:
    return inputs_of([folder / "list.txt", folder / "list.csv"])


def read_json(folder: Path) -> object:
    return read_settings(str(folder / "config.json"))


# DICOM, where the plugin is installed.


def series() -> list[Files]:
    """Three slices of a CT; and one file that has them all."""
    from dicom_files import datasets, multi_frame, stored

    made = datasets(stored((6, 5, 3)))
    slices = {f"IM{number}": dicom_bytes(each) for number, each in enumerate(made)}
    return [slices, {"IM0": dicom_bytes(multi_frame(stored((6, 5, 3))))}]


def dicom_bytes(made: Any) -> bytes:
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def one_file() -> list[Files]:
    return [{"v.dcm": series()[1]["IM0"]}]


def dicom_kinds() -> dict[str, Kind]:
    if find_spec("zoo_dicom") is None:
        return {}
    sys.path.append(str(ROOT / "zoo_plugins/zoo-dicom/tests"))
    return {
        "dicom folder": Kind(series, read_volume),
        "dcm": Kind(one_file, reads("v.dcm")),
        "dicom zip": Kind(series, reads("v.zip"), partial(zipped_members, "v.zip")),
    }


# Answers of a Hub.


@cache
def served() -> Hub:
    """A Hub on loopback for the rest of this process, with a model to download."""
    hub = Hub({})
    hub.__enter__()
    template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    constants.ENDPOINT, constants.HUGGINGFACE_CO_URL_TEMPLATE = hub.endpoint, template
    return hub


class Spoken(Fault):
    """Says bytes that stand for the whole of an answer, whatever was asked."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def answer(self, request: Any) -> Answer:
        request.wfile.write(self.files["head" if request.command == "HEAD" else "get"])
        raise ConnectionAbortedError


def answers() -> list[Files]:
    card = model_folder()[README]
    made = []
    for status in ("200 OK", "302 Found", "401 Unauthorized", "404 Not Found"):
        lines = [
            f"HTTP/1.1 {status}",
            f"X-Repo-Commit: {'0' * 40}",
            f'ETag: "{hashlib.sha1(card).hexdigest()}"',
            f"Content-Length: {len(card)}",
            "Location: /lab/model/resolve/main/README.md",
            "X-Error-Code: EntryNotFound",
        ]
        head = "\r\n".join(lines[: 4 if status.startswith("200") else 6]).encode() + b"\r\n\r\n"
        made.append({"head": head, "get": head + card})
    return made


def fetch(folder: Path) -> object:
    """Load a model while the Hub answers with what is in the folder."""
    hub = served()
    hub.traps.clear()
    hub.fault(".*", Spoken(contents(folder)))
    with TemporaryDirectory() as made:
        constants.HF_HUB_CACHE = made
        return zoo.load("hf-hub:lab/model", backend="torch", device="cpu")


# Requests to the viewer, where what it needs is installed.


@cache
def viewer() -> tuple[tuple[str, int], str]:
    """Address and cookie of a viewer of one small volume, for the rest of this process."""
    with TemporaryDirectory() as made:
        path = Path(made, "v.nii.gz")
        write_volume(zoo.Volume(np.eye(4, dtype=np.uint8)[None].repeat(4, 0)), path)
        server = Server(*cases_of([path]))  # it has read the volume
    Thread(target=server.run, daemon=True).start()
    url = urlsplit(server.url)
    address = (str(url.hostname), int(url.port or 0))
    first = http.client.HTTPConnection(*address, timeout=60)
    first.request("GET", f"/?{url.query}")
    return address, first.getresponse().headers["Set-Cookie"].split(";")[0]


def requests() -> list[Files]:
    (host, port), cookie = viewer()
    paths = ("/", "/0/facts.json", "/view.js", "/?token=guess", "/0/..%2f..%2fetc%2fpasswd")
    end = f"HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
    known = [f"GET {path} {end}Cookie: {cookie}\r\n\r\n" for path in paths]
    strange = [f"GET {path} {end}Origin: http://{host}:{port}\r\n\r\n" for path in paths[:2]]
    return [{"request": text.encode()} for text in (*known, *strange)]


def ask(folder: Path) -> object:
    """Send a request; only one with the secret is answered with something, none with an error."""
    address, cookie = viewer()
    secret = cookie.partition("=")[2].encode()  # there may be a space before the sign
    asked, answer = (folder / "request").read_bytes(), b""
    with suppress(OSError), socket.create_connection(address, timeout=SILENCE) as connection:
        connection.sendall(asked)
        while part := connection.recv(1 << 16):
            answer += part
    status = answer[9:12]
    assert not answer or (answer.startswith(b"HTTP/1.1 ") and status < b"500"), answer[:200]
    assert status != b"200" or secret in asked, f"let in: {asked[:200]!r}"
    return status


def viewer_kinds() -> dict[str, Kind]:
    needed = ("starlette", "uvicorn", "fast_simplification")
    return {"requests": Kind(requests, ask)} if all(map(find_spec, needed)) else {}


KINDS = {
    "nii": Kind(niftis, reads("v.nii")),
    "nii.gz": Kind(niftis, reads("v.nii.gz"), gzipped),
    "nrrd": Kind(nrrds, reads("v.nrrd")),
    "nhdr": Kind(written("v.nhdr", np.int16), reads("v.nhdr")),
    "mha": Kind(partial(metaimages, "v.mha", ""), reads("v.mha")),
    "mhd": Kind(partial(metaimages, "v.mhd", "v.raw"), reads("v.mhd")),
    "npy": Kind(written("v.npy", np.int16, np.float64), reads("v.npy")),
    "npz": Kind(npz_members, reads("v.npz"), partial(zipped_members, "v.npz")),
    "card": Kind(cards, read_card_text),
    "model": Kind(lambda: [model_folder()], load_folder, pinned),
    "pth": Kind(checkpoints, convert_checkpoint),
    "pth members": Kind(checkpoint_members, convert_checkpoint, partial(zipped_members, "v.pth")),
    "settings": Kind(lambda: [{CONFIG: json.dumps(RECIPE["config"]).encode()}], read_json),
    "recipe": Kind(recipes, lambda folder: read_config(folder / "config.yaml")),
    "checkpoint": Kind(lambda: [files_of(keep_tensors)], steps_of),
    "log": Kind(lambda: [files_of(log)], read_and_append),
    "grids": Kind(lambda: [files_of(keep_grids)], read_grids),
    "journal": Kind(lambda: [files_of(journal)], read_journal),
    "cases": Kind(tables, read_cases),
    "scores": Kind(
        scores, lambda folder: read_scores(folder / "cases.csv", SETTINGS, CompletionScore)
    ),
    "lists": Kind(lists, read_lists),
    "hub": Kind(answers, fetch),
    **dicom_kinds(),
    **viewer_kinds(),
}
