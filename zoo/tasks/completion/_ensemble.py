"""Ensembles: a model and those that its card names, each on a grid of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from zoo.errors import ConfigError
from zoo.models import Model
from zoo.tasks._companions import companion
from zoo.tasks.completion._passes import averaged, number_of_passes, passes
from zoo.volumes import Resampled, Volume, resample_coverage, resample_mask


@dataclass(frozen=True, eq=False)
class Output:
    """What a network predicts.

    Attributes:
        predicted: `GeneratedCoverage`, or bool (I, J, K), on the model's grid.
        resampled: its input on that grid.
    """

    predicted: Any
    resampled: Resampled


@dataclass(frozen=True, eq=False)
class Member:
    """A model, and a skull on its grid.

    Attributes:
        model: the model.
        resampled: the skull, as the model takes it.
        runs: what its passes predict, one by one.
        found: what those predicted that are averaged.
    """

    model: Model
    resampled: Resampled
    runs: Iterator[Any]
    found: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, model: Model, skull: Volume, others: Sequence[Member] = ()) -> Member:
        """Conform a mask to a model, unless it has been for one of the others."""
        contract = model.card.input
        known = (each.resampled for each in others if each.model.card.input == contract)
        if (resampled := next(known, None)) is None:
            resample = resample_coverage if covers(model) else resample_mask
            resampled = resample(skull, contract)
        return cls(model, resampled, passes(model, resampled.array))

    def predict(self, wanted: int | None) -> Output:
        """The mean of so many passes, or of as many as there are by default."""
        self.found.extend(islice(self.runs, number_of_passes(self.model, wanted)))
        mean = averaged(self.found, self.resampled.array) if covers(self.model) else self.found[0]
        return Output(mean, self.resampled)


def covers(model: Model) -> bool:
    """Whether a model predicts coverage."""
    return model.card.input.kind == "coverage"


def others_of(model: Model) -> Iterator[Model]:
    """The models that a model's ensemble names, each loaded when it is its turn.

    Raises:
        ConfigError: one of them, or the model itself, does not complete coverage.
        NotRegistered, WeightsError: one of them cannot be loaded.
    """
    for name in model.card.ensemble:
        other = companion(model, name)
        for each in (model, other):
            if each.card.task != model.card.task or not covers(each):
                raise ConfigError(
                    f"{model.card.name}: wanted `ensemble` to join models for {model.card.task}"
                    f" that predict coverage, got {each.card.name}; correct the card"
                )
        yield other


def one_by_one(members: list[Member]) -> Iterator[Output]:
    """Every pass as an output of its own: those that were averaged, then more of the first model.

    The first pass of every model comes before the second one of any.
    """
    for found in zip(*(member.found for member in members), strict=True):
        for each, member in zip(found, members, strict=True):
            yield Output(each, member.resampled)
    first = members[0]
    yield from (Output(each, first.resampled) for each in first.runs)
