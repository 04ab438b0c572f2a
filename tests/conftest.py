import importlib.util

import numpy as np
import pytest

BACKENDS = ["cpu", "torch", "dense", "minkowski"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Every backend that computes here, by turns."""
    from zoo import registries

    if request.param == "minkowski" and importlib.util.find_spec("MinkowskiEngine") is None:
        pytest.skip("MinkowskiEngine is not installed")
    return registries.backends.get(request.param)()


@pytest.fixture
def corner():
    """Bool (24, 24, 24): a low slab, and a tower on its right anterior quarter."""
    volume = np.zeros((24, 24, 24), bool)
    volume[2:22, 2:22, 2:6] = True
    volume[14:22, 14:22, 2:22] = True
    return volume
