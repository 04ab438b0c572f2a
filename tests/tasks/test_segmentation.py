"""The sparse U-Net, and a head of another's."""

import pytest
import torch

import zoo
from zoo import registries
from zoo.errors import ConfigError, NotRegistered
from zoo.networks.layers import Convolution
from zoo.networks.segmentation import SegmentationConfig, SparseSegmentation
from zoo.sparse import SparseTensor

CONFIG = SegmentationConfig(channels=(3, 4, 6), classes=4)


def network(config=CONFIG):
    torch.manual_seed(0)
    return SparseSegmentation(config).double()


def blobs(backend):
    torch.manual_seed(1)
    items = [torch.randint(0, 9, (150, 3)).unique(dim=0) for _ in range(2)]
    values = [torch.randn(len(item), 1).double() for item in items]
    return SparseTensor.from_coordinates(items, values, backend=backend)


def results(backend, training):
    """Logits in raster order, and the gradients of all parameters."""
    made, x = network().train(training), blobs(backend)
    logits = made(x)
    assert logits.shape == (len(x), 4)
    weights = torch.arange(logits.shape[1]).double()
    (logits.softmax(1) * weights).sum().backward()
    keys = (x.coordinates * torch.tensor([1000, 100, 10, 1])).sum(1)
    gradients = [p.grad for p in made.parameters()]
    assert all(g is not None for g in gradients)
    return logits.detach()[keys.argsort()], *gradients


@pytest.mark.parametrize("training", [True, False])
def test_backends_agree_on_logits_and_gradients(backend, training):
    wanted = results(registries.backends.get("torch")(), training)
    for a, b in zip(results(backend, training), wanted, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max().clamp(min=1e-9)


def test_far_voxels_do_not_hear_of_each_other():
    """Its reach is finite: two blobs far apart are labelled as each is alone."""
    backend = registries.backends.get("torch")()
    made = network().eval()
    blob = torch.randint(0, 8, (60, 3), generator=torch.Generator().manual_seed(2)).unique(dim=0)
    alone = made(SparseTensor.from_coordinates(blob, backend=backend).with_features(ones(blob)))
    both = torch.cat([blob, blob + 400])
    together = made(SparseTensor.from_coordinates(both, backend=backend).with_features(ones(both)))
    torch.testing.assert_close(together[: len(blob)], alone)


def ones(points):
    return torch.ones(len(points), 1, dtype=torch.float64)


class Doubled(torch.nn.Module):
    """A plugin's head."""

    kind = "labels"

    def __init__(self, channels, classes):
        super().__init__()
        self.classifier = Convolution(channels, classes, 1)

    def forward(self, x):
        return 2 * self.classifier(x).features


def test_a_backbone_takes_a_head_from_the_registry():
    registries.heads.register("doubled", func=Doubled)
    try:
        made = zoo.create("sparse-segmentation", {"channels": [2, 4], "head": "doubled"})
        assert isinstance(made.network.head, Doubled)
        with pytest.raises(NotRegistered, match=r"unknown head 'labelz'.*labels"):
            zoo.create("sparse-segmentation", {"head": "labelz"})
        with pytest.raises(ConfigError, match="head: wanted one of kind 'labels'"):
            zoo.create("sparse-segmentation", {"head": "occupancy"})
        with pytest.raises(ConfigError, match="head: wanted one of kind 'occupancy'"):
            zoo.create("sparse-completion", {"head": "doubled"})
    finally:
        import catalogue

        catalogue._remove(("zoo_heads", "doubled"))
