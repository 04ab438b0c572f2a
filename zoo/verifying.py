"""Does a model answer here what it answered where it was written? On every backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zoo import registries
from zoo.errors import BackendError, WeightsError, ZooError
from zoo.files import read_volume
from zoo.golden import ANSWER, INPUT, LARGEST_CASE, differing
from zoo.loading import load, select_backend, torch_device
from zoo.model import Model
from zoo.volume import Volume

ROUNDING = 1e-3  # of the answer's voxels may differ, as sums in another order round differently


@dataclass(frozen=True)
class Verdict:
    """What became of a model's golden case on one backend.

    Attributes:
        works: whether the backend can be used here; if not, nothing was compared.
        agrees: whether the answer is the expected one, but for one voxel in a thousand.
        voxels: of the expected answer, that are not zero.
        differing: voxels that are not what they should be.
        detail: the same in words, or why the backend does not work.
    """

    model: str
    backend: str
    works: bool
    agrees: bool
    voxels: int
    differing: int
    detail: str

    def row(self) -> dict[str, str]:
        """Of a table."""
        answer = self.detail if self.works else "not compared"
        return {"model": self.model, "backend": self.backend, "answer": answer}


def verify(
    name: str, backends: Sequence[str] | None = None, *, local_files_only: bool = False
) -> Iterator[Verdict]:
    """Predict a model's golden case on every backend and compare; its weights' sha256 is checked.

    Args:
        name: as for `zoo.load`.
        backends: names of some; all if left out.
        local_files_only: never touch the network.

    Raises:
        NotRegistered, ConfigError, WeightsError: as `zoo.load`; or the model has no golden case.
    """
    model = load(name, backend="torch", device="cpu", local_files_only=local_files_only)
    given, expected = golden_case(model)
    for backend in backends or registries.backends.names():
        yield _verdict(model, backend, given, expected)


def golden_case(model: Model) -> tuple[Volume, Volume]:
    """The golden input of a model that was loaded, and the answer to it; errors as above."""
    place = model.origin.place
    files = [place.find(file, LARGEST_CASE) if place else None for file in (INPUT, ANSWER)]
    if None in files:
        raise WeightsError(
            f"{model.card.name} has no golden case ({INPUT}, {ANSWER}) beside its weights, to"
            " compare with; Model.save writes one"
        )
    given, expected = (read_volume(file) for file in files if file)
    return given, expected


def _verdict(model: Model, backend: str, given: Volume, expected: Volume) -> Verdict:
    name, total = model.card.name, int((expected.array != 0).sum())
    try:
        found = _on(model, backend).predict(given).volume
    except ZooError as error:
        return Verdict(name, backend, False, False, total, 0, str(error))
    except Exception as error:  # a plugin's own
        reason = f"{type(error).__name__}: {error}, of {registries.backends.origin(backend)}"
        return Verdict(name, backend, False, False, total, 0, reason)
    different = differing(found, expected)
    agrees = different <= ROUNDING * total
    detail = "agrees" if not different else f"{different:,} of {total:,} voxels differ"
    return Verdict(name, backend, True, agrees, total, different, detail)


def _on(model: Model, name: str) -> Model:
    """The same model on a backend, on the GPU if there is one and it works there."""
    device = torch_device("auto")
    try:
        backend = select_backend(name, device)
    except BackendError:
        device = torch_device("cpu")
        backend = select_backend(name, device)
    return Model(model.network, model.card, backend, device)
