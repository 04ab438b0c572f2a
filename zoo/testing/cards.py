"""Cards: schema, architecture, sha256 and golden case."""

from __future__ import annotations

from collections.abc import Sequence

import zoo
from zoo.loading import expected_tensors
from zoo.testing.expecting import expect
from zoo.verifying import verify


def check_card(name: str, *, backends: Sequence[str] = ("torch", "cpu")) -> None:
    """See that a model is what its card says, without a network.

    Args:
        name: as for `zoo.load`: of an installed card, or `local-dir:FOLDER`.
        backends: names of those that must give the golden answer; one that does not work here is
            left out.

    Raises:
        AssertionError: no prose, no pinned weights, or another answer than the golden one.
        ConfigError: a card that does not fit its schema or its architecture.
        WeightsError: weights that are not here, are not those that the card pins, or have other
            tensors than its config; or no golden case.
    """
    card = zoo.info(name)
    expect(card.weights, f"{name}: wanted pinned weights, got none")
    expect(card.text.strip(), f"{name}: wanted prose: what it is for, and what it is not for")
    expected_tensors(card)
    verdicts = list(verify(name, backends, local_files_only=True))
    for verdict in verdicts:
        good = verdict.agrees or not verdict.works
        expect(good, f"{name} on {verdict.backend}: {verdict.detail}")
    expect(any(verdict.works for verdict in verdicts), f"{name}: no backend works here")
