"""Checks cards: schema, architecture, sha256 and reference case."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.cards import info
from zoo.models import expected_tensors, verify
from zoo.testing._expecting import expect


def check_card(name: str, *, backends: Sequence[str] = ("torch", "cpu")) -> None:
    """Check that a model is what its card says, without using the network.

    Args:
        name: name of an installed card, or `local-dir:FOLDER`.
        backends: names of backends that must give the prediction of the reference case; those that
            do not work here are skipped.

    Raises:
        AssertionError: the card has no prose or no pinned weights, a prediction differs from the
            reference case, or no backend works here.
        ConfigError: the card does not fit its schema or its architecture.
        WeightsError: the weights are missing, are not those that the card pins, or do not fit its
            config; or there is no reference case.
    """
    card = info(name)
    expect(card.weights, f"{name}: wanted pinned weights, got none")
    expect(
        card.text.strip(),
        f"{name}: wanted prose that says what the model is for and what it is not for, got none",
    )
    expected_tensors(card)
    verdicts = list(verify(name, backends, local_files_only=True))
    for verdict in verdicts:
        good = verdict.agrees or not verdict.works
        expect(good, f"{name} on {verdict.backend}: {verdict.detail}")
    expect(any(verdict.works for verdict in verdicts), f"{name}: no backend works here")
