"""The cases of a data set that a run trains and validates on, and what identifies their files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from zoo.datasets import Case, CaseKind, find_cases
from zoo.errors import ConfigError, ReadError
from zoo.training import CasesConfig


def split_cases(config: CasesConfig, kind: CaseKind) -> tuple[list[Case], Sequence[Case]]:
    """The cases to train on, and those to validate on, which are never trained on.

    Raises:
        ReadError: there are no such cases; see `find_cases`.
        ConfigError: the validation split leaves none to train on.
    """
    cases = find_cases(config.folder, config.layout, config.split, kind=kind)
    if config.validation_split is None:
        return cases, ()
    held_out = find_cases(config.folder, config.layout, config.validation_split, kind=kind)
    return _others(cases, held_out, config.validation_split), held_out


def digest(case: Case, *settings: object) -> str:
    """A name for what is made of a case with these settings while its files stay as they are.

    Raises:
        ReadError: a file cannot be read any more.
    """
    files = [path and _stamp(path) for path in (case.target, case.source, case.implant)]
    identity = repr((case.name, files, *settings))
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _others(cases: list[Case], held_out: Sequence[Case], split: Path) -> list[Case]:
    """The cases whose targets are not held out: of a skull that is, no other defect is left."""
    targets = {case.target.resolve() for case in held_out}
    others = [case for case in cases if case.target.resolve() not in targets]
    if not others:
        raise ConfigError(
            f"dataset.validation_split: wanted some cases to be left to train on, got {split},"
            f" which holds out all {len(cases)} of them; list fewer in it"
        )
    return others


def _stamp(path: Path) -> tuple[object, ...]:
    """What changes when a file does or, in a folder of masks, any of them."""
    try:
        if path.is_dir():
            return tuple(_stamp(file) for file in sorted(path.iterdir()))
        facts = path.stat()
    except OSError as error:
        raise ReadError(
            f"{path}: cannot be read: {error.strerror}; it existed when training began, restore it"
        ) from error
    return str(path.resolve()), facts.st_mtime_ns, facts.st_size
