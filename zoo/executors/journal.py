"""The journal of a run over many cases: what became of each, and what has to be done again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo.cards import sha256_of
from zoo.errors import ReadError, one_line
from zoo.executors.jobs import Job
from zoo.executors.runs import Outcome
from zoo.tables import csv_of
from zoo.version import __version__
from zoo.volumes import atomic_path, make_folder

FOLDER = ".zoo"
MANIFEST, FAILURES = "manifest.csv", "failures.csv"
COLUMNS = ("case", "status", "input", "output", "model", "attempts", "seconds", "reason")


class Entry(BaseModel):
    """What became of a case.

    Attributes:
        case: its name.
        status: `done` or `failed`.
        input: absolute path of the input.
        stamp: size and time of change of the input, by which it is known to be the same.
        sha256: of `input` and `weights`, the latter as `zoo.cards.weights_of` has it.
        model: name of the model.
        options: threshold and options of the task.
        outputs: paths by what they are, relative to the folder of the outputs.
        zoo: version of the zoo.
        attempts: how often it was tried.
        node: name of the machine.
        seconds: of the last attempt.
        peak_memory: bytes, of the process so far.
        warnings: of the report.
        reason: one line that says why it failed.
    """

    model_config = ConfigDict(frozen=True)

    case: str
    status: Literal["done", "failed"]
    input: str
    stamp: tuple[int, int]
    sha256: dict[str, str | None]
    model: str
    options: dict[str, Any]
    outputs: dict[str, str]
    zoo: str = __version__
    attempts: int = 1
    node: str = ""
    seconds: float = 0.0
    peak_memory: int | None = None
    warnings: list[str] = []
    reason: str | None = None


@dataclass(frozen=True)
class Identity:
    """What a case's outputs depend on besides its input.

    Attributes:
        model: name of the model.
        weights: what `zoo.cards.weights_of` its card gives.
        options: threshold and options of the task.
    """

    model: str
    weights: str | None
    options: Mapping[str, Any]


class Journal:
    """The journal in the folder of the outputs, `.zoo/CASE.json` for every case.

    An entry is written last, and atomically: what it says is done lies there whole.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder, self.identity = folder, identity

    def path(self, job: Job) -> Path:
        """Where a case's entry is."""
        return self.folder / FOLDER / f"{job.name}.json"

    def read(self, job: Job) -> Entry | None:
        """The entry of a case; None if there is none, or one that cannot be read."""
        with suppress(OSError, ValidationError, UnicodeDecodeError):
            return Entry.model_validate_json(self.path(job).read_bytes())
        return None

    def why_again(self, job: Job, entry: Entry) -> str | None:
        """Why a case has to be done again, in words; None if all of it is as it would be."""
        identity = self.identity
        if entry.model != identity.model or entry.sha256.get("weights") != identity.weights:
            return f"{entry.model} predicted it before, or other weights"
        options = _plain(identity.options)
        if entry.options != options:
            changed = sorted(
                name
                for name in {*entry.options, *options}
                if entry.options.get(name) != options.get(name)
            )
            return f"another {', '.join(changed)}"
        if entry.outputs != self._outputs(job):
            return "other outputs are wanted"
        if not _same_input(job.source, entry):
            return "the input changed"
        if entry.status == "done" and not job.done():
            return "an output is missing"
        return None

    def write(self, outcome: Outcome[Job]) -> Entry:
        """Write what became of a case; its facts are its report."""
        job, facts = outcome.job, outcome.facts
        before = self.read(job)
        failed_before = before.attempts if before and before.status == "failed" else 0
        digests = facts.get("sha256") or {}
        entry = Entry(
            case=job.name,
            status="failed" if outcome.error else "done",
            input=os.path.abspath(job.source),
            stamp=facts.get("stamp") or stamp_of(job.source),
            sha256={"input": digests.get("input"), "weights": self.identity.weights},
            model=self.identity.model,
            options=_plain(self.identity.options),
            outputs=self._outputs(job),
            attempts=failed_before + outcome.attempts,
            node=facts.get("node", ""),
            seconds=round(float(facts.get("seconds", 0.0)), 2),
            peak_memory=facts.get("peak_memory"),
            warnings=list(facts.get("warnings", [])),
            reason=one_line(outcome.error) if outcome.error else None,
        )
        path = self.path(job)
        make_folder(path.parent)
        with atomic_path(path) as temporary:
            temporary.write_text(entry.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return entry

    def summarise(self, jobs: Iterable[Job], part: str = "") -> None:
        """Write the tables of all cases, and of those that failed, beside the outputs."""
        rows = [entry for job in jobs if (entry := self.read(job)) is not None]
        failed = [entry for entry in rows if entry.status == "failed"]
        for name, entries in ((MANIFEST, rows), (FAILURES, failed)):
            path = self.folder / f"{Path(name).stem}{part}.csv"
            if entries:
                with atomic_path(path) as temporary:
                    temporary.write_text(self._table(entries), encoding="utf-8")
            elif path.exists():
                path.unlink()

    def _outputs(self, job: Job) -> dict[str, str]:
        """The paths of a job's outputs relative to the folder, which may be moved with them."""
        named = job.outputs.named()
        return {name: os.path.relpath(path, self.folder) for name, path in named.items()}

    def _table(self, entries: list[Entry]) -> str:
        rows = [entry.model_dump() for entry in entries]
        for row in rows:
            volume = row["outputs"].get("volume")
            row["output"] = volume and os.path.normpath(self.folder / volume)
        return csv_of(rows, COLUMNS)


def done_in(folder: Path) -> list[Entry]:
    """What the journal in a folder of outputs has as done, by the names of the cases; or nothing.

    Raises:
        ReadError: an entry cannot be read.
    """
    found, journal = [], folder / FOLDER
    for path in sorted(journal.rglob("*.json")):
        if any(part.startswith(".") for part in path.relative_to(journal).parts):
            continue  # half-written by a process that was killed
        try:
            found.append(Entry.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            raise ReadError(
                f"{path}: wanted an entry of a journal, got: {one_line(error)}; predict with"
                " --resume to write it again"
            ) from error
    return [entry for entry in found if entry.status == "done"]


def stamp_of(path: Path) -> tuple[int, int]:
    """Size, and time of change in nanoseconds, of a file, or of all files below a folder."""
    if not path.is_dir():
        try:
            facts = path.stat()
        except OSError:
            return 0, 0
        return facts.st_size, facts.st_mtime_ns
    size = newest = 0
    for root, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                facts = os.stat(os.path.join(root, name))
                size, newest = size + facts.st_size, max(newest, facts.st_mtime_ns)
    return size, newest


def _same_input(path: Path, entry: Entry) -> bool:
    if stamp_of(path) == tuple(entry.stamp):
        return True
    known = entry.sha256.get("input")
    return bool(known) and path.is_file() and sha256_of(path) == known


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dict(options), default=str))
    return plain
