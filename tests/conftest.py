import importlib.util
import os

import numpy as np
import pytest
import torch

BACKENDS = ["cpu", "torch", "dense", "minkowski", "gpu"]
MODULES = {"minkowski": "MinkowskiEngine", "gpu": "triton"}
ON_A_GPU = torch.cuda.is_available()
WHERE = "cuda" if ON_A_GPU else "cpu"
if not ON_A_GPU:  # Triton reads it when kernels are made
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Every backend that computes here, by turns; `gpu` on the GPU, where new tensors then are.

    Without a GPU its kernels run in Triton's interpreter, in what is marked as small enough for it.
    """
    from zoo import registries

    module = MODULES.get(request.param)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    on_gpu = request.param == "gpu" and ON_A_GPU
    if request.param == "gpu" and not ON_A_GPU and not request.node.get_closest_marker("small"):
        pytest.skip("for a GPU: Triton's interpreter would take minutes")
    made = registries.backends.get(request.param)()
    torch.set_default_device("cuda" if on_gpu else None)
    yield made
    torch.set_default_device(None)


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


@pytest.fixture
def threads():
    """Sets the number of PyTorch's threads, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
