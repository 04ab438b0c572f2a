"""Models: from a card to its weights and a `Model` that predicts, and back to files.

A model's task decides what it does with a volume.
"""

from zoo.models.conversion import convert, read_settings
from zoo.models.loading import (
    build_network,
    create,
    download,
    expected_tensors,
    from_pretrained,
    load,
    new_card,
)
from zoo.models.model import Model, Options
from zoo.models.plan import Plan
from zoo.models.prediction import Prediction, Probabilities
from zoo.models.progress import Progress, numbered, silent
from zoo.models.publishing import Published, push, rehearse, save
from zoo.models.reference_case import INPUT, PREDICTION, reference_input
from zoo.models.report import forget_peak_memory, peak_memory, versions
from zoo.models.verifying import Verdict, verify
from zoo.models.weights import check_header, to_bytes

# The class itself knows neither files nor the Hub, so saving and pushing are bound here.
for _name, _function in {"save": save, "push_to_hub": push}.items():
    setattr(Model, _name, _function)
Model.from_pretrained = staticmethod(from_pretrained)  # type: ignore[method-assign]

__all__ = [
    "INPUT",
    "PREDICTION",
    "Model",
    "Options",
    "Plan",
    "Prediction",
    "Probabilities",
    "Progress",
    "Published",
    "Verdict",
    "build_network",
    "check_header",
    "convert",
    "create",
    "download",
    "expected_tensors",
    "forget_peak_memory",
    "load",
    "new_card",
    "numbered",
    "peak_memory",
    "push",
    "read_settings",
    "reference_input",
    "rehearse",
    "save",
    "silent",
    "to_bytes",
    "verify",
    "versions",
]
