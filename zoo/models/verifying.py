"""Checks that a model predicts here, on every backend, what it predicted where it was saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo import registries
from zoo.errors import BackendError, MissingDependency, ZooError
from zoo.models.loading import load
from zoo.models.model import Model
from zoo.models.reference_case import differing, predict_reference, read_reference_case
from zoo.models.signing import check_signature
from zoo.sparse import select_backend, torch_device
from zoo.volumes import Volume

ROUNDING = 1e-3  # share of the voxels that may differ, as the order of sums affects rounding


@dataclass(frozen=True)
class Verdict:
    """The comparison of a model's prediction on one backend with its reference case.

    Attributes:
        model: name of the model.
        backend: name of the backend.
        works: whether the backend can be used here; if not, nothing was compared.
        agrees: whether at most one voxel in a thousand differs.
        voxels: number of non-zero voxels in the expected prediction.
        differing: number of voxels that differ from the expected prediction.
        detail: the result in words, or why the backend does not work.
    """

    model: str
    backend: str
    works: bool
    agrees: bool
    voxels: int
    differing: int
    detail: str

    def row(self) -> dict[str, str]:
        """The verdict as a row of the table that `zoo verify` prints."""
        prediction = self.detail if self.works else "not compared"
        return {"model": self.model, "backend": self.backend, "prediction": prediction}


def verify(
    name: str,
    backends: Sequence[str] | None = None,
    *,
    local_files_only: bool = False,
    key: Path | None = None,
) -> Iterator[Verdict]:
    """Check the sha256 of a model's weights, and its reference case on every backend.

        >>> [verdict.detail for verdict in verify("skull-completion-64.phantom", ["torch"])]
        ['agrees']

    Args:
        name: as for `zoo.load`.
        backends: names of backends; all if left out.
        local_files_only: never use the network.
        key: the public key by which all files of the model must be signed; None: none need be.

    Yields:
        One verdict per backend.

    Raises:
        NotRegistered, ConfigError: as for `zoo.load`.
        WeightsError: as for `zoo.load`, or the model has no reference case.
        SignatureError, MissingDependency: with `key`, as for `check_signature`.
    """
    model = load(name, backend="torch", device="cpu", local_files_only=local_files_only)
    if key:
        check_signature(model, key)
    given, expected = read_reference_case(model)
    for backend in backends or registries.backends.names():
        yield _verdict(model, backend, given, expected)


def _verdict(model: Model, backend: str, given: Volume, expected: Volume) -> Verdict:
    name, total = model.card.name, int((expected.array != 0).sum())
    try:
        found = predict_reference(_on(model, backend), given)
    except (BackendError, MissingDependency) as error:
        return Verdict(name, backend, False, False, total, 0, str(error))
    except ZooError:
        raise
    except Exception as error:  # from a plugin
        reason = f"{type(error).__name__}: {error}, from {registries.backends.origin(backend)}"
        return Verdict(name, backend, True, False, total, total, reason)
    different = differing(found, expected)
    agrees = different <= ROUNDING * total
    detail = "agrees" if not different else f"{different:,} of {total:,} voxels differ"
    return Verdict(name, backend, True, agrees, total, different, detail)


def _on(model: Model, name: str) -> Model:
    """The same model on another backend, on a GPU if there is one and the backend works there."""
    device = torch_device("auto")
    try:
        backend = select_backend(name, device)
    except BackendError:
        device = torch_device("cpu")
        backend = select_backend(name, device)
    local = model.local_files_only
    return Model(model.network, model.card, backend, device, local_files_only=local)
