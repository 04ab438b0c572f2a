"""Runs commands again and again, struck at their first write, their second, and so on to the last.

    LD_PRELOAD=shim.so python tests/faults/striking.py FOLDER EVERY [COMMAND...]

Every run is a fork of this process, so that the zoo is imported once. It says on stderr how far it
is, and prints, as JSON, how often each command was struck, and what it left then that it must not:
a file that is neither the old one nor a new one, more than one line on stderr, hidden files, or a
state from which it cannot go on.
"""

import ctypes
import errno
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import numpy as np
import torch
import yaml
from command_line import hollow_box, save_model
from hub_server import Hub
from huggingface_hub import constants
from PIL import Image
from training_runs import SMALL

import zoo
from zoo.cards import parse_card
from zoo.cli import main
from zoo.errors import ZooError
from zoo.training._checkpoint import load_tensors

STRIKES = {"killed": 0, "disk full": errno.ENOSPC, "i/o error": errno.EIO}
NOT_REACHED = 99  # exit status of a run that did less than it was to be struck at
KILLED = -9
OLD = zoo.Volume(np.ones((3, 3, 3), np.uint8))
REPOSITORY = "lab/model"
QUICK = ("-q", "--backend", "torch")  # kernels would be compiled in every fork

Contents = dict[str, bytes]


@dataclass(frozen=True)
class Command:
    """What is struck.

    Attributes:
        prepare: lays older outputs into a folder; what it leaves anywhere is the old state.
        run: does the work, with its outputs in the folder; returns an exit status.
        check: raises AssertionError unless the folder, struck, is in order besides its files.
        goes_on: whether the same command, once more, completes what was left.
        is_cache: whether the files are another library's, which knows what of them is whole.
        shows_progress: whether it says on stderr how far it is.
    """

    prepare: Callable[[Path], object]
    run: Callable[[Path], int | None]
    check: Callable[[Path], object] = lambda folder: None
    goes_on: bool = True
    is_cache: bool = False
    shows_progress: bool = False


class Shim:
    """The preloaded library; see shim.c."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._arm, self._operations = library.arm, library.operations
        self._operations.restype = ctypes.c_long

    def arm(self, folder: Path, number: int, code: int) -> None:
        self._arm(os.fsencode(folder), ctypes.c_long(number), ctypes.c_int(code))

    def operations(self) -> int:
        return self._operations()


def struck(command: Command, folder: Path, number: int, code: int) -> tuple[int, str]:
    """Run a command in a fork, struck at its n-th operation; its exit status and stderr."""
    said = folder.parent / "stderr"
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.read_text()
    stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    shim = Shim()
    shim.arm(folder, number, code)
    try:
        status = command.run(folder) or 0
    except ZooError as error:
        print(f"zoo: {error}", file=sys.stderr)
        status = 2
    except BaseException:
        traceback.print_exc()
        status = 70
    sys.stderr.flush()
    os._exit(NOT_REACHED if not status and shim.operations() < number else status)


def strike(command: Command, base: Path, every: int) -> tuple[int, list[str]]:
    """Strike a command at every n-th operation, in each way; how often, and what went wrong."""
    new = finished(command, base)
    times, faults = 0, []
    for name, code in STRIKES.items():
        number = 1
        while True:
            folder, old = prepared(command, base)
            status, said = struck(command, folder, number, code)
            if status == NOT_REACHED:
                break
            times += 1
            where = f"{name} at operation {number}"
            faults += [f"{where}: {fault}" for fault in found(command, folder, old, new)]
            if code and not said_in_a_line(command, status, said):
                faults.append(f"{where}: exit status {status}: {said[-300:]}")
            if code and not command.is_cache and list(folder.rglob(".zoo-*")):
                faults.append(f"{where}: left hidden files")
            if not code:
                assert status == KILLED, (status, said)
                faults += [f"{where}: {fault}" for fault in resumed(command, folder, new)]
            number += every
        print(f"{base.name}: {name}, {times} strikes, {len(faults)} faults", file=sys.stderr)
    return times, faults


def said_in_a_line(command: Command, status: int, said: str) -> bool:
    """Whether a command succeeded, or ended with one line about what went wrong."""
    if not status:
        return True
    lines = said.splitlines()
    if command.shows_progress and "Traceback" not in said:
        lines = [line for line in lines if line.startswith("zoo: ")] or lines
    return status in (1, 2) and len(lines) <= 2


def prepared(command: Command, base: Path) -> tuple[Path, Contents]:
    folder = base / "out"
    shutil.rmtree(base, ignore_errors=True)
    folder.mkdir(parents=True)
    command.prepare(folder)
    return folder, contents(folder)


def finished(command: Command, base: Path) -> Contents:
    """What the command leaves that nothing befalls."""
    folder, _ = prepared(command, base)
    status, said = struck(command, folder, 1 << 30, 0)
    assert status == NOT_REACHED, f"exit status {status}: {said}"
    return contents(folder)


def found(command: Command, folder: Path, old: Contents, new: Contents) -> list[str]:
    """What a struck command left that it must not."""
    faults = []
    for name, content in contents(folder).items():
        if command.is_cache or content in (old.get(name), new.get(name)):
            continue
        try:
            WHOLE[Path(name).suffix](folder / name)
        except Exception as error:
            faults.append(f"{name} is not whole: {type(error).__name__}: {error}")
    try:
        command.check(folder)
    except AssertionError as error:
        faults.append(str(error))
    return faults


def resumed(command: Command, folder: Path, new: Contents) -> list[str]:
    """What the same command leaves otherwise when it is run again."""
    if not command.goes_on:
        return []
    status, said = struck(command, folder, 1 << 30, 0)
    if status != NOT_REACHED:
        return [f"cannot go on: exit status {status}: {said[-300:]}"]
    again = contents(folder)
    names = [] if command.is_cache else sorted({*new, *again})
    return [
        f"{name} is another one when it is run again"
        for name in names
        if (name in new) != (name in again)
        or (Path(name).suffix not in WHOLE and again[name] != new[name])
    ]


def contents(folder: Path) -> Contents:
    """The files of a folder by their names, without the hidden ones that a dead process leaves."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".zoo-" not in str(path)
    }


def ends_with_a_line(path: Path) -> None:
    assert path.read_bytes().endswith(b"\n"), "its last line is cut off"


def reads_arrays(path: Path) -> None:
    with np.load(path) as entries:
        dict(entries)


# Files that are not the same bytes in every run, as they hold times, or are steps on the way.
WHOLE = {
    ".json": lambda path: json.loads(path.read_text()),
    ".csv": ends_with_a_line,
    ".png": lambda path: Image.open(path).load(),
    ".md": lambda path: parse_card(path.read_text(), source=str(path)),
    ".npz": reads_arrays,
    ".safetensors": load_tensors,
}


# The commands.


def predict(model: str, output: str, *more: str) -> Command:
    names = [output, *more]
    flags = dict(zip(names, ("-o", "--implant", "--report"), strict=False))

    def prepare(folder: Path) -> None:
        hollow_box().save(folder.parent / "in.nii.gz")
        OLD.save(folder / output)

    def run(folder: Path) -> int:
        outputs = [word for name in names for word in (flags[name], str(folder / name))]
        return main(["predict", model, "-i", str(folder.parent / "in.nii.gz"), *outputs, *QUICK])

    return Command(prepare, run)


def cohort(model: str) -> Command:
    def prepare(folder: Path) -> None:
        (folder.parent / "in").mkdir()
        for name in ("a", "b"):
            hollow_box().save(folder.parent / f"in/{name}.nii.gz")

    def run(folder: Path) -> int:
        words = ["-i", str(folder.parent / "in"), "-o", str(folder), "--resume", *QUICK]
        return main(["predict", model, *words])

    return Command(prepare, run)


def saved(old: str, new: str) -> Command:
    def run(folder: Path) -> None:
        zoo.load(new, backend="torch").save(folder)

    def check(folder: Path) -> None:
        """It loads, or one line says that the files do not belong together."""
        try:
            zoo.load(f"local-dir:{folder}", backend="torch")
        except ZooError:
            return

    return Command(lambda folder: zoo.load(old, backend="torch").save(folder), run, check)


def converted(checkpoint: Path) -> Command:
    def run(folder: Path) -> int:
        words = ["-o", str(folder / "model"), "--architecture", "sparse-completion"]
        return main(["convert", str(checkpoint), *words])

    return Command(lambda folder: None, run)


def trained() -> Command:
    def prepare(folder: Path) -> None:
        (folder.parent / "config.yaml").write_text(yaml.safe_dump(SMALL))

    def run(folder: Path) -> int:
        there = (folder / "run" / "checkpoint.safetensors").exists()
        words = ["-o", str(folder / "run"), "--workers", "0", "--backend", "torch"]
        config = str(folder.parent / "config.yaml")
        return main(["train", config, *words, *(["--resume"] if there else [])])

    return Command(prepare, run, shows_progress=True)


def pushed(model: str, hub: Hub) -> Command:
    def prepare(folder: Path) -> None:
        hub.repositories.pop("lab/pushed", None)

    def run(folder: Path) -> None:
        tempfile.tempdir = str(folder)
        zoo.load(model, backend="torch").push_to_hub("lab/pushed")

    def check(folder: Path) -> None:
        repository = hub.repositories.get("lab/pushed")
        files = repository.commits[repository.branches["main"]] if repository else {}
        wanted = len(list(Path(model.removeprefix("local-dir:")).iterdir()))
        assert len(files) in (0, 1, wanted + 1), f"half a commit: {sorted(files)}"

    return Command(prepare, run, check, is_cache=True)


def downloaded() -> Command:
    def run(folder: Path) -> None:
        constants.HF_HUB_CACHE = str(folder)
        zoo.load(f"hf-hub:{REPOSITORY}", backend="torch")

    return Command(lambda folder: None, run, is_cache=True)


def commands(base: Path, hub: Hub) -> dict[str, Command]:
    """Every command, with the models that they need in a folder beside."""
    model, other = (save_model(base / "models" / name) for name in ("one", "other"))
    folder = Path(model.removeprefix("local-dir:"))
    hub.publish(REPOSITORY, contents(folder))
    torch.save(zoo.load(other, backend="torch").network.state_dict(), base / "models" / "v.pth")
    return {
        "predict": predict(model, "out.nii.gz", "implant.nii.gz", "report.json"),
        "predict to two files": predict(model, "out.mhd"),
        "predict a folder": cohort(model),
        "save": saved(other, model),
        "convert": converted(base / "models" / "v.pth"),
        "train": trained(),
        "push": pushed(model, hub),
        "download": downloaded(),
    }


def strike_all(base: Path, every: int, wanted: list[str]) -> dict[str, tuple[int, list[str]]]:
    with Hub({"hf_write": "write"}) as hub:
        constants.ENDPOINT = hub.endpoint
        address = "{repo_id}/resolve/{revision}/{filename}"
        constants.HUGGINGFACE_CO_URL_TEMPLATE = f"{hub.endpoint}/{address}"
        os.environ |= {"HF_TOKEN": "hf_write", "no_proxy": "127.0.0.1"}
        made = commands(base, hub)
        return {name: strike(made[name], base / name, every) for name in wanted or made}


if __name__ == "__main__":
    base, every, *wanted = sys.argv[1:]
    torch.set_num_threads(1)
    print(json.dumps(strike_all(Path(base), int(every), wanted)))
