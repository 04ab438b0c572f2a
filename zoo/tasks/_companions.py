"""Other models that a model's card names, and that take a part in its predictions."""

from __future__ import annotations

from threading import Lock
from weakref import WeakKeyDictionary

from zoo.models import Model, load

COMPANIONS = WeakKeyDictionary[Model, dict[str, Model]]()  # of models that were used with others
LOADING = Lock()  # of threads that predict with one model, one loads its companions


def companion(model: Model, name: str) -> Model:
    """Another model on the backend of this one, which shows no progress of its own."""
    with LOADING:
        others = COMPANIONS.setdefault(model, {})
        if name not in others:
            others[name] = load(
                name,
                backend=model.backend.name,
                device=str(model.device),
                local_files_only=model.local_files_only,
            )
            others[name].shows_progress = False
        return others[name]
