"""A plug-in model zoo of sparse CNNs for medical volumes.

import zoo

model = zoo.load("skull-completion-64")
prediction = model.predict("defective.nii.gz")
prediction.save("complete.nii.gz")
prediction.implant.save("implant.nii.gz")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zoo.version import __version__ as __version__
from zoo.version import plugin_api_version

if TYPE_CHECKING:
    from zoo import registries
    from zoo.cards import Card, info, list_models
    from zoo.errors import ZooError
    from zoo.models import Model, Prediction, create, load
    from zoo.volumes import Volume

__all__ = [
    "Card",
    "Model",
    "Prediction",
    "Volume",
    "ZooError",
    "create",
    "info",
    "list_models",
    "load",
    "plugin_api_version",
    "registries",
]

_HOMES = {
    "Card": "zoo.cards",
    "Model": "zoo.models",
    "Prediction": "zoo.models",
    "Volume": "zoo.volumes",
    "ZooError": "zoo.errors",
    "create": "zoo.models",
    "info": "zoo.cards",
    "list_models": "zoo.cards",
    "load": "zoo.models",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: `import zoo` alone costs nothing."""
    if name == "registries":
        return import_module("zoo.registries")
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
