"""What identifies a training run: a digest of its config, which its weights carry.

The digest of a recipe must stay what it was when weights were trained by it. So it is taken of the
first version's document, with all its defaults, in which what a recipe sets otherwise is replaced:
options that came later take part only where they are used.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

UNTAGGED = ".phantom"  # the tag of models that had none when others were initialised from them
FIRST: dict[str, Any] = {
    "architecture": None,
    "config": {},
    "initial": None,
    "initial_pass_on": False,
    "initial_rate": 1.0,
    "phantoms": {"resolution": 64, "skulls": 2000, "jitter": 3},
    "dataset": None,
    "augmentation": {"flip": 0.0, "degrees": 0.0, "scale": [1.0, 1.0], "noise": 0.0},
    "refinement": {"factor": 2, "slices": 0.2, "thickest": 8, "crop": None},
    "thorax": {
        "resolution": 128,
        "chests": 200,
        "windows": [[-1100.0, -890.0], [-750.0, -140.0], [-50.0, 1000.0]],
        "exterior": -400.0,
        "labels": ["oesophagus", "heart", "trachea", "aorta"],
    },
    "steps": 4000,
    "batch_size": 8,
    "accumulate": 1,
    "precision": "float32",
    "loss_weights": None,
    "forcing": 1.0,
    "learning_rate": 0.001,
    "warmup": 0.1,
    "average": 0.999,
    "seed": 0,
    "validate_every": 250,
    "validation_cases": 8,
    "statistics_batches": 50,
}


def identity(given: dict[str, Any]) -> str:
    """Hex digest of a config, given as plain data without what is at its default."""
    if str(initial := given.get("initial")).endswith(UNTAGGED):
        given = given | {"initial": str(initial).removesuffix(UNTAGGED)}
    text = json.dumps(_overlaid(FIRST, given), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _overlaid(document: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The document with the given values in place of its own, section by section."""
    parts = {
        key: _overlaid(document[key], value)
        if document.get(key) and isinstance(value, dict)
        else value
        for key, value in given.items()
    }
    return document | parts
