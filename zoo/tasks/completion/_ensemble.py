"""Ensembles: a model and those that its card names, each on a grid of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from zoo.errors import ConfigError, ZooError
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


def others_of(model: Model) -> list[Model]:
    """The models that a model's ensemble names.

    Raises:
        ConfigError: one of them, or the model itself, does not complete coverage; or one is named
            twice.
        NotRegistered, WeightsError: one of them cannot be loaded.
    """
    card = model.card
    if card.name in card.ensemble or len({*card.ensemble}) < len(card.ensemble):
        raise ConfigError(
            f"{card.name}: wanted `ensemble` to name other models, each once, got"
            f" {', '.join(card.ensemble)}; correct the card"
        )
    others = []
    for name in card.ensemble:
        try:
            others.append(companion(model, name))
        except ZooError as error:
            raise type(error)(f"{card.name}, whose `ensemble` names {name}: {error}") from error
    for each in (model, *others) if others else ():
        if each.card.task != card.task or not covers(each):
            raise ConfigError(
                f"{card.name}: wanted `ensemble` to join models for {card.task} that predict"
                f" coverage, got {each.card.name}; correct the card"
            )
    return others


def one_by_one(members: list[Member]) -> Iterator[Output]:
    """Every pass as an output of its own: those that were averaged, then more of the first model.

    The first pass of every model comes before the second one of any.
    """
    for found in zip(*(member.found for member in members), strict=True):
        for each, member in zip(found, members, strict=True):
            yield Output(each, member.resampled)
    first = members[0]
    yield from (Output(each, first.resampled) for each in first.runs)
