"""The tasks: what each makes of a volume, from the input to the answer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from zoo.tasks.base import Answer, Engine, Steps, Task

if TYPE_CHECKING:
    from zoo.cards import Card

MODULES = {
    "completion": "zoo.tasks.completion:Completion",
    "super-resolution": "zoo.tasks.super_resolution:SuperResolution",
    "segmentation": "zoo.tasks.segmentation:Segmentation",
}

__all__ = ["Answer", "Engine", "Steps", "Task", "task_of"]


def task_of(card: Card) -> Task:
    """What does the task of a model, by its card."""
    module, name = MODULES[card.task].split(":")
    made: Task = getattr(import_module(module), name)(card)
    return made
