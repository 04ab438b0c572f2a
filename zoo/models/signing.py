"""Signatures of a model's files, by an elliptic-curve key of the one who published them.

The format is that of the OpenSSF's model signing, whose library does the work:
https://github.com/sigstore/model-transparency.
"""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any

from zoo.cards import CONFIG, LARGEST_TEXT, LARGEST_WEIGHTS, README, WEIGHTS, sha256_of
from zoo.errors import ConfigError, MissingDependency, SignatureError, one_line
from zoo.models.model import Model
from zoo.models.reference_case import INPUT, PREDICTION
from zoo.volumes import temporary_folder

SIGNATURE = "model.sig"
READ = (README, CONFIG, WEIGHTS, INPUT, PREDICTION)  # what is read of a model, so must be signed
MOST_FILES = 1000


def sign(folder: Path, key: Path) -> None:
    """Sign all files of a folder, and write the signature into it as model.sig.

    Args:
        folder: the model's folder.
        key: a private key on an elliptic curve, PEM, without a password.

    Raises:
        MissingDependency: model-signing is not installed.
        ConfigError: it is no such key.
    """
    signing = _library("signing")
    with temporary_folder() as apart:  # what is signed says nothing of where it was
        made = apart / SIGNATURE
        try:
            signing.Config().use_elliptic_key_signer(private_key=key).sign(folder, made)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{key}: wanted a private key on an elliptic curve, PEM, without a password, got:"
                f" {one_line(error)}; openssl ecparam -name prime256v1 -genkey -noout makes one"
            ) from error
        shutil.move(made, folder / SIGNATURE)


def check_signature(model: Model, key: Path) -> None:
    """Check that a model's files are those that were signed, every one, and no other is read.

    Args:
        model: the model; its files are taken from where it was loaded from.
        key: the public key, PEM.

    Raises:
        MissingDependency: model-signing is not installed.
        SignatureError: there is no signature, it was made with another key, or a file was changed,
            added or removed since.
        WeightsError: a file cannot be fetched.
    """
    verifying = _library("verifying")
    location, name = model.origin.location, model.card.name
    signature = location.find(SIGNATURE, LARGEST_TEXT) if location else None
    if not location or not signature:
        raise SignatureError(
            f"{name}: wanted {SIGNATURE} beside its files, got none; zoo push --sign makes one"
        )
    signed = _signed(signature)
    with temporary_folder() as folder:
        for file in {*signed, *READ}:
            if path := location.find(file, LARGEST_WEIGHTS):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / file)
        try:
            verifying.Config().use_elliptic_key_verifier(public_key=key).verify(folder, signature)
        except Exception as error:  # the library raises its own errors and those of its parsers
            raise SignatureError(f"{name}: {_reason(folder, signed, key, error)}") from error


def _signed(signature: Path) -> dict[str, str]:
    """The files that a signature names, and their sha256; nobody has checked it yet."""
    try:
        envelope = json.loads(signature.read_text(encoding="utf-8"))["dsseEnvelope"]
        found = json.loads(b64decode(envelope["payload"]))["predicate"]["resources"]
        named = {str(each["name"]): str(each["digest"]) for each in found}
    except (ValueError, KeyError, TypeError) as error:
        raise SignatureError(f"{signature}: wanted a signature, got: {one_line(error)}") from error
    strange = [name for name in named if ".." in name or not re.fullmatch(r"\w[\w./-]*", name)]
    if strange or len(named) > MOST_FILES:
        raise SignatureError(
            f"{signature}: wanted the names of a model's files, got {strange or len(named)}"
        )
    return named


def _reason(folder: Path, signed: dict[str, str], key: Path, error: Exception) -> str:
    """Why a signature does not fit, in words."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    changed = {file for file in there & signed.keys() if sha256_of(folder / file) != signed[file]}
    wrong = [
        f"{', '.join(sorted(files))} {what}"
        for files, what in (
            (changed, "changed"),
            (signed.keys() - there, "missing"),
            (there - signed.keys(), "added"),
        )
        if files
    ]
    if wrong:
        return f"wanted the files that were signed, got {'; '.join(wrong)}; do not use it"
    return (
        f"wanted a signature by {key}, got one by another key or a damaged one: {one_line(error)}"
    )


def _library(part: str) -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise MissingDependency(
            f"signatures need {error.name}: pip install 'sparse-volume-zoo[sign]'"
        ) from error
    return getattr(model_signing, part)
