"""A plug-in model zoo of sparse CNNs for medical volumes.

import zoo

model = zoo.load("skull-completion-64")
prediction = model.predict("defective.nii.gz")
prediction.save("complete.nii.gz")
prediction.implant.save("implant.nii.gz")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo import registries
    from zoo.cards import Card
    from zoo.errors import ZooError
    from zoo.loading import create, info, list_models, load
    from zoo.model import Model
    from zoo.prediction import Prediction
    from zoo.volume import Volume

__version__ = "0.1.0"
plugin_api_version = 1  # of what `zoo.plugins` describes; a package says which one it was made for
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
    "Model": "zoo.model",
    "Prediction": "zoo.prediction",
    "Volume": "zoo.volume",
    "ZooError": "zoo.errors",
    "create": "zoo.loading",
    "info": "zoo.loading",
    "list_models": "zoo.loading",
    "load": "zoo.loading",
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
