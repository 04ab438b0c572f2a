"""Layouts of scans with labels: where the files of a case are, and what its labels are called."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.datasets._folders import entries, partner, volumes_in
from zoo.datasets.cases import Case, Values
from zoo.errors import ReadError
from zoo.volumes import is_volume, stem

GROUND_TRUTH = "GT"
PATIENT = re.compile(r"Patient_\d+")
SEGTHOR = {"oesophagus": (1,), "heart": (2,), "trachea": (3,), "aorta": (4,)}

FACTS = "dataset.json"
IMAGES, LABELS = "imagesTr", "labelsTr"
CHANNEL = re.compile(r"(.+)_(\d{4})")  # nnU-Net: a case's name, and the number of a channel

MASKS = "segmentations"
SCANS = ("ct", "mri")  # the names that TotalSegmentator's data sets give a scan


def segthor(folder: Path) -> list[Case]:
    """One case for each patient of SegTHOR (Lambert et al. 2020)."""
    cases = []
    for patient in patients(folder):
        files = volumes_in(patient)
        scan = partner(files, patient.name, patient / f"{patient.name}.nii.gz")
        labels = partner(files, GROUND_TRUTH, patient / f"{GROUND_TRUTH}.nii.gz")
        cases.append(Case(patient.name, scan, labels, None, SEGTHOR))
    return cases


def patients(folder: Path) -> list[Path]:
    """The folders of SegTHOR's patients."""
    return [path for path in entries(folder) if PATIENT.fullmatch(path.name)]


def nnunet(folder: Path) -> list[Case]:
    """One case for each labels file of a raw data set of nnU-Net, of either version."""
    channels: dict[str, dict[str, Path]] = {}
    for name, path in volumes_in(folder / IMAGES).items():
        if match := CHANNEL.fullmatch(name):
            channels.setdefault(match[1], {})[match[2]] = path
    values = _values(_facts(folder))
    cases = []
    for name, labels in volumes_in(folder / LABELS).items():
        scans = channels.get(name, {})
        scan = partner(scans, "0000", folder / IMAGES / f"{name}_0000.nii.gz")
        if others := set(scans) - {"0000"}:
            raise ReadError(
                f"{folder}: wanted scans of one channel, got {name}_{min(others)} too;"
                " keep the channel to train on in a data set of its own"
            )
        cases.append(Case(name, scan, labels, None, values))
    return cases


def decathlon(folder: Path) -> list[Case]:
    """One case for each pair that the dataset.json of a task of the Decathlon lists."""
    facts = _facts(folder)
    values, cases = _values(facts), []
    for number, pair in enumerate(facts.get("training") or [], 1):
        try:
            scan, labels = folder / pair["image"], folder / pair["label"]
        except (TypeError, KeyError) as error:
            raise ReadError(
                f"{folder / FACTS}: wanted image and label in each entry of training, got entry"
                f" {number}: {pair!r}"
            ) from error
        for path in (scan, labels):
            if not path.is_file():
                raise ReadError(f"{path}: no such file; {FACTS} lists it: add it")
        cases.append(Case(stem(labels.name), scan, labels, None, values))
    return sorted(cases, key=lambda case: case.name)


def is_nnunet(folder: Path) -> bool:
    """Whether a scan's name ends with the number of its channel, as the Decathlon's does not."""
    scans = volumes_in(folder / IMAGES)
    return any(f"{name}_0000" in scans for name in volumes_in(folder / LABELS))


def has_images(folder: Path) -> bool:
    """Whether there are the folders that nnU-Net and the Decathlon share."""
    return (folder / IMAGES).is_dir() and (folder / LABELS).is_dir()


def totalsegmentator(folder: Path) -> list[Case]:
    """One case for each subject of TotalSegmentator; its labels are a folder of masks."""
    return [
        Case(subject.name, scan, subject / MASKS, None)
        for subject in entries(folder)
        if (subject / MASKS).is_dir() and (scan := _scan(subject)) is not None
    ]


def is_totalsegmentator(folder: Path) -> bool:
    """Whether any folder in it has a scan beside a folder of masks."""
    return any((path / MASKS).is_dir() and _scan(path) for path in entries(folder))


def _scan(subject: Path) -> Path | None:
    files = {stem(path.name): path for path in entries(subject) if is_volume(path)}
    return next((files[name] for name in SCANS if name in files), None)


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(
            f"{path}: wanted a JSON file with the names of the labels, got: {error}; add it"
        ) from error
    if not isinstance(facts, dict) or not isinstance(facts.get("labels"), dict):
        raise ReadError(f"{path}: wanted an object with labels, got none; add them")
    return facts


def _values(facts: Mapping[str, Any]) -> Values:
    """The values of each structure: of {"aorta": 1, "lungs": [2, 3]}, or of {"1": "aorta"}."""
    found: dict[str, tuple[int, ...]] = {}
    for key, value in facts["labels"].items():
        name, numbers = (value, [key]) if isinstance(value, str) else (key, value)
        numbers = numbers if isinstance(numbers, list) else [numbers]
        try:
            values = tuple(int(number) for number in numbers)
        except (TypeError, ValueError) as error:
            raise ReadError(
                f'{FACTS}: wanted labels such as "aorta": 1, got {key!r}: {value!r}; correct it'
            ) from error
        if values != (0,):  # the background
            found[name] = values
    return found
