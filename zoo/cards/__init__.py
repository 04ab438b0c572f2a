"""Cards: what is stated about a model, and the location of its files, here and on the Hub.

Nothing here needs a network or its weights, so that listing models takes no time.
"""

from zoo.cards.card import Card, Weights, model_config, name_from, parse_card, read_card
from zoo.cards.client import answers_within
from zoo.cards.finding import info, is_remote, list_models, weights_of
from zoo.cards.hub import card_at, find_weights, location_of, split_repository
from zoo.cards.locations import (
    CONFIG,
    LARGEST_TEXT,
    LARGEST_WEIGHTS,
    README,
    WEIGHTS,
    BesideCard,
    Folder,
    Origin,
    sha256_of,
)
from zoo.cards.scores import SUMMARY, result, with_scores

__all__ = [
    "CONFIG",
    "LARGEST_TEXT",
    "LARGEST_WEIGHTS",
    "README",
    "SUMMARY",
    "WEIGHTS",
    "BesideCard",
    "Card",
    "Folder",
    "Origin",
    "Weights",
    "answers_within",
    "card_at",
    "find_weights",
    "info",
    "is_remote",
    "list_models",
    "location_of",
    "model_config",
    "name_from",
    "parse_card",
    "read_card",
    "result",
    "sha256_of",
    "split_repository",
    "weights_of",
    "with_scores",
]
