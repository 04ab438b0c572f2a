"""BIDS datasets: which of their files are inputs, and derivative datasets of predictions.

The names follow the specification's "Derivatives: imaging data types",
https://bids-specification.readthedocs.io.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import registries
from zoo.cards import Card
from zoo.errors import WriteError
from zoo.version import __version__
from zoo.volumes import atomic_path, check_output, is_volume, make_folder, stem

DESCRIPTION = "dataset_description.json"
VERSION = "1.10.0"  # of the specification
DATATYPES = ("anat", "ct")  # folders of volumes; CT is a proposal still, BEP024
SUBJECT, SESSION = "sub-", "ses-"
DERIVATIVES, PIPELINE = "derivatives", "zoo"
RAW = "source"  # the link to the dataset that predictions were made from
BEFORE = ("res", "den")  # entities between the space and what a prediction is
REPLACED = ("space", *BEFORE, "seg", "label", "desc")
README = """Predictions of {self.model} ({self.task}), made by zoo, the sparse volume zoo.

Each is on the grid of the image that it is named after; the .json beside it says what it was made
from and with which weights. manifest.csv lists all cases, failures.csv those that failed.
"""
NO_BIDS = ("*.csv", "*.png")  # files that the specification does not know


def is_dataset(folder: Path) -> bool:
    """Whether a folder is the root of a BIDS dataset."""
    return os.path.isfile(os.path.join(folder, DESCRIPTION))


def dataset_of(folder: Path) -> Path | None:
    """The root of the BIDS dataset of whose subject this is a folder; None if it is of none."""
    folder = Path(os.path.abspath(folder))
    for below, root in zip((folder, *folder.parents), folder.parents, strict=False):
        if is_dataset(root):
            return root if below.name.startswith(SUBJECT) else None
    return None


def image_folders(root: Path) -> list[Path]:
    """The folders `sub-*/[ses-*/]DATATYPE` of a dataset that hold volumes."""
    patterns = [f"{SUBJECT}*/{kind}" for kind in DATATYPES]
    patterns += [f"{SUBJECT}*/{SESSION}*/{kind}" for kind in DATATYPES]
    return sorted(found for pattern in patterns for found in root.glob(pattern) if found.is_dir())


@dataclass(frozen=True)
class Derivative:
    """A derivative dataset: the folder of a model's predictions on a BIDS dataset.

    Attributes:
        folder: its root.
        source: root of the dataset that is predicted on.
        model: name of the model.
        weights: sha256 of its weights.
        task: name of its task.
        names: how names of files end, by the names of outputs, from `Task.derivatives`.
        labels: the structures that the model labels.
    """

    folder: Path
    source: Path
    model: str
    weights: str | None
    task: str
    names: Mapping[str, str]
    labels: Sequence[str] = ()

    @classmethod
    def of(cls, card: Card, source: Path, folder: Path | None = None) -> Derivative:
        """The derivative dataset of a model.

        Args:
            card: card of the model.
            source: root of the dataset that is predicted on.
            folder: its root; `derivatives/zoo-MODEL` of the source if left out.

        Raises:
            WriteError: the folder cannot be written, or is a dataset of someone else.
        """
        if folder is None:
            above = source.parent if source.parent.name == DERIVATIVES else source / DERIVATIVES
            folder = above / f"{PIPELINE}-{re.sub(r'[^A-Za-z0-9.-]', '-', card.name)}"
        names = registries.tasks.get(card.task).derivatives
        labels = card.labels or ()
        made = cls(folder, source, card.name, card.sha256, card.task, names, labels)
        made.check()
        return made

    def check(self) -> None:
        """Raise WriteError unless its folder can be made, or is one of this kind."""
        if self.folder.is_dir() and is_dataset(self.folder) and not self._is_ours():
            raise WriteError(
                f"{self.folder}: wanted a folder for predictions, got a dataset of its own, as its"
                f" {DESCRIPTION} says; choose another"
            )
        if not self.folder.parent.is_dir():
            check_output(self.folder.parent)

    def _is_ours(self) -> bool:
        with suppress(OSError, ValueError, AttributeError, LookupError, TypeError):
            found = json.loads((self.folder / DESCRIPTION).read_text(encoding="utf-8"))
            return bool(found["GeneratedBy"][0]["Name"] == PIPELINE)
        return False

    def path(self, source: Path, output: str, suffix: str) -> Path:
        """Where an output goes, relative to a derivative dataset.

        Args:
            source: the image.
            output: name of the output.
            suffix: of the file, with its dot.

        Returns:
            `sub-01/ses-1/ct/sub-01_ses-1_space-orig_desc-complete_mask.nii.gz`, for example.
        """
        relative = Path(os.path.relpath(source, self.source))
        *entities, _ = stem(relative.name).split("_")
        known = dict(entity.partition("-")[::2] for entity in entities)
        kept = [entity for entity in entities if entity.partition("-")[0] not in REPLACED]
        kept.append(f"space-{known.get('space', 'orig')}")
        kept += [f"{name}-{known[name]}" for name in BEFORE if name in known]
        return relative.parent / f"{'_'.join(kept)}_{self.names[output]}{suffix}"

    def facts(self, source: Path) -> dict[str, Any]:
        """What the report of a prediction, its sidecar, says in BIDS's own words."""
        relative = Path(os.path.relpath(source, self.source)).as_posix()
        space = re.search(r"_space-([A-Za-z0-9]+)", source.name)
        return {
            "Description": f"{self.task} by {self.model}",
            "Sources": [f"bids:{RAW}:{relative}"],
            "SpatialReference": space[1] if space else "orig",
        }

    def describe(self, outputs: Iterable[Path]) -> None:
        """Make the folder, with what describes the dataset.

        Args:
            outputs: the files of one case; what all of a kind have in common is said once.

        Raises:
            WriteError: it cannot be written.
        """
        make_folder(self.folder)
        _write(self.folder / DESCRIPTION, _json(self._description()))
        _write(self.folder / "README", README.format(self=self))
        _write(self.folder / ".bidsignore", "\n".join(NO_BIDS) + "\n")
        inside = [path for path in outputs if is_volume(path) and self.folder in path.parents]
        for ending in sorted({stem(path.name).rpartition("_")[2] for path in inside}):
            common: dict[str, Any] = {"SpatialReference": "orig"}
            if ending == "mask":
                common["Type"] = "ROI"
            _write(self.folder / f"space-orig_{ending}.json", _json(common))
        if self.labels:
            rows = [f"{number}\t{label}\n" for number, label in enumerate(self.labels, 1)]
            _write(self.folder / "dseg.tsv", "index\tname\n" + "".join(rows))

    def _description(self) -> dict[str, Any]:
        link = Path(os.path.relpath(self.source, self.folder)).as_posix()
        pipeline = {"Name": PIPELINE, "Version": __version__, "Description": f"model {self.model}"}
        return {
            "Name": f"{self.task} by {self.model}",
            "BIDSVersion": VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [pipeline | {"Model": self.model, "WeightsSHA256": self.weights}],
            "SourceDatasets": [{"URL": link}],
            "DatasetLinks": {RAW: link},
        }


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _json(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, indent=2) + "\n"
