"""Scores on a card, in the form in which the Hugging Face Hub reads them: `model-index`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.cards.card import Card
from zoo.cards.finding import weights_of
from zoo.errors import ConfigError, one_line

SUMMARY = "summary.json"  # what `zoo evaluate -o FOLDER` writes


def result(
    pipeline_tag: str, task: str, dataset: str, kind: str, means: Mapping[str, float | None]
) -> dict[str, Any]:
    """One entry of a model-index.

    Args:
        pipeline_tag: how the Hub calls what the model does.
        task: the task in words.
        dataset: name of the data set.
        kind: which part or variant of it.
        means: means over its cases by measure; None where there is none.
    """
    return {
        "task": {"type": pipeline_tag, "name": task},
        "dataset": {"name": dataset, "type": kind},
        "metrics": [
            {"type": name, "value": round(mean, 4), "name": f"mean {name}"}
            for name, mean in means.items()
            if mean is not None
        ],
    }


def with_scores(card: Card, pipeline_tag: str, folders: Mapping[str, Path]) -> Card:
    """A card with a model-index of evaluations, instead of the one that it has.

    Args:
        card: the card.
        pipeline_tag: how the Hub calls what the model does.
        folders: what `zoo evaluate -o FOLDER` wrote, by the name of the data set.

    Raises:
        ConfigError: there is no summary in a folder, or it is of other weights.
    """
    results = []
    for dataset, folder in folders.items():
        found = _summary(folder / SUMMARY)
        if card.weights is None or found["weights"] != weights_of(card):
            raise ConfigError(
                f"{folder}: wanted scores of the weights of {card.name}, got those of"
                f" {found['model']}, {found['weights']}; evaluate this model again"
            )
        means = {name: values["mean"] for name, values in found["summary"].items()}
        results.append(result(pipeline_tag, card.task, dataset, found["defects"] or "all", means))
    index = [{"name": card.name, "results": results}]
    return card.model_copy(update={"metadata": {**card.metadata, "model-index": index}})


def _summary(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: found[key] for key in ("model", "weights", "summary")} | {
            "defects": found.get("defects")
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: wanted the summary of `zoo evaluate -o FOLDER`, got: {one_line(error)}"
        ) from error
