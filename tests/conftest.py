import importlib.util

import pytest

BACKENDS = ["cpu", "torch", "dense", "minkowski"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Every backend that computes here, by turns."""
    from zoo import registries

    if request.param == "minkowski" and importlib.util.find_spec("MinkowskiEngine") is None:
        pytest.skip("MinkowskiEngine is not installed")
    return registries.backends.get(request.param)()
