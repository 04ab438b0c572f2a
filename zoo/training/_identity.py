"""What identifies a training run: a digest of its config, which its weights carry.

The digest of a recipe must stay what it was when weights were trained by it. It was first taken of
one document for all tasks, so it still is: a section that a task does not have stands in it as
below, and the sections of other tasks follow in their own order.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

ABSENT: dict[str, Any] = {
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
    "loss_weights": None,
}
ORDER = (
    *("architecture", "config", "initial", "initial_pass_on", "initial_rate"),
    *("phantoms", "dataset", "augmentation", "refinement", "thorax"),
    *("steps", "batch_size", "accumulate", "precision", "loss_weights", "forcing"),
    *("learning_rate", "warmup", "average", "seed"),
    *("validate_every", "validation_cases", "statistics_batches"),
)


def identity(config: str) -> str:
    """Hex digest of a config, given as the JSON that `TrainingConfig.public` writes."""
    given = json.loads(config)
    document = {key: given.pop(key, ABSENT.get(key)) for key in ORDER} | given
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
