"""Growth is refused before it is made, with what a user needs to know."""

import pytest
import torch

from zoo import registries, sparse
from zoo.errors import BackendError
from zoo.sparse import SparseTensor, memory


@pytest.mark.parametrize("name", ["cpu", "torch"])
def test_a_level_that_does_not_fit_is_refused(name, monkeypatch):
    backend = registries.backends.get(name)()
    points = torch.cartesian_prod(*[torch.arange(0, 64, 2)] * 3)
    x = SparseTensor.from_coordinates(points, backend=backend, stride=2)
    kernel = torch.ones(8, 1, 4)
    assert len(sparse.generative_transposed_convolution(x, kernel)) == 64**3
    room = int(64**3 * 4 * 4 * memory.COPIES / memory.SHARE)
    monkeypatch.setattr(memory, "free_memory", lambda _: room + 1000)
    assert len(sparse.generative_transposed_convolution(x, kernel)) == 64**3
    monkeypatch.setattr(memory, "free_memory", lambda _: room - 1000)
    with pytest.raises(BackendError, match=r"stride 1 would have 262,144 voxels .* 262,1\d\d:"):
        sparse.generative_transposed_convolution(x, kernel)


def test_free_memory_is_some_of_what_the_machine_has():
    import psutil

    assert 0 < memory.free_memory() <= psutil.virtual_memory().total
