"""Models: from a name to a card, its weights and a `Model` that predicts, and back to files.

A model's task decides what it does with a volume; its card says where its files are.
"""

from zoo.models.card import (
    Card,
    Weights,
    model_config,
    name_from,
    parse_card,
    read_card,
)
from zoo.models.conversion import convert, read_settings
from zoo.models.hub import card_at, find_weights, location_of
from zoo.models.loading import (
    build_network,
    create,
    download,
    expected_tensors,
    info,
    is_remote,
    list_models,
    load,
    new_card,
)
from zoo.models.locations import README, WEIGHTS, BesideCard, Folder, Origin, sha256_of
from zoo.models.model import Model, Options, Progress
from zoo.models.plan import Plan
from zoo.models.prediction import Prediction, Probabilities
from zoo.models.publishing import Published, push, save
from zoo.models.reference_case import INPUT, PREDICTION, reference_input
from zoo.models.report import peak_memory, versions
from zoo.models.verifying import Verdict, verify
from zoo.models.weights import check_header, to_bytes

# The class itself knows neither files nor the Hub, so saving and pushing are bound here.
for _name, _function in {"save": save, "push_to_hub": push}.items():
    setattr(Model, _name, _function)

__all__ = [
    "INPUT",
    "PREDICTION",
    "README",
    "WEIGHTS",
    "BesideCard",
    "Card",
    "Folder",
    "Model",
    "Options",
    "Origin",
    "Plan",
    "Prediction",
    "Probabilities",
    "Progress",
    "Published",
    "Verdict",
    "Weights",
    "build_network",
    "card_at",
    "check_header",
    "convert",
    "create",
    "download",
    "expected_tensors",
    "find_weights",
    "info",
    "is_remote",
    "list_models",
    "load",
    "location_of",
    "model_config",
    "name_from",
    "new_card",
    "parse_card",
    "peak_memory",
    "push",
    "read_card",
    "read_settings",
    "reference_input",
    "save",
    "sha256_of",
    "to_bytes",
    "verify",
    "versions",
]
