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


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub on loopback, and the real client of this process set to it, with an empty cache."""
    from hub_server import Hub
    from huggingface_hub import constants

    with Hub({"hf_write": "write", "hf_read": "read"}) as server:
        template = f"{server.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        for name, value in {"no_proxy": "127.0.0.1", "HF_TOKEN": "hf_read"}.items():
            monkeypatch.setenv(name, value)
        yield server
