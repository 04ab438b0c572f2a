"""Checks architectures and heads: shapes, gradients, agreement of backends, tiny inputs."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from zoo import registries, sparse
from zoo.errors import BackendError, MissingDependency
from zoo.models import Model, check_header, new_card, reference_input, to_bytes
from zoo.sparse import Backend, SparseTensor
from zoo.testing._expecting import expect, expect_close

TOLERANCE = 1e-4  # relative to the largest value, between backends in float32


def check_architecture(
    architecture: Any, config: BaseModel, *, backends: Sequence[str] = ("torch", "cpu")
) -> None:
    """Check that an architecture makes networks that the zoo can load, train and predict with.

    Args:
        architecture: the class, with `task` and `config_class`.
        config: config of a small network that runs fast.
        backends: names of backends that must agree; those that do not work here are skipped.

    Raises:
        AssertionError: the config is not frozen or accepts unknown keys; tensors differ on the meta
            device; a kernel is not (K, C_in, C_out); the output does not have the type or shape
            that its task needs; a parameter has no gradient; backends or runs differ; or the input
            of the task's reference case cannot be predicted on.
    """
    settings = config.model_config
    expect(isinstance(config, architecture.config_class), "wanted an instance of config_class")
    expect(settings.get("frozen"), "wanted a frozen config")
    expect(settings.get("extra") == "forbid", 'wanted a config with extra="forbid"')
    network = _network(architecture, config)
    _check_tensors(architecture, config, network)
    working = _working(backends)
    results = [_outputs(network, backend, _points(), train=True) for backend in working]
    for backend, result in zip(working[1:], results[1:], strict=True):
        for one, other in zip(result, results[0], strict=True):
            expect_close(one, other, TOLERANCE, f"{backend.name} against {working[0].name}")
    for points in (_points(), [torch.tensor([[3, 5, 7]])]):
        first, second = (_outputs(network, working[0], points) for _ in range(2))
        same = all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
        expect(same, "the second run gave another result")
    _check_task(architecture, config, network)


def check_head(head: Any, *, channels: int = 5) -> None:
    """Check that a head turns features into what its task needs.

    For kind `occupancy`, `head(channels, threshold)` must map features to logits (N,) and to bool
    (N,), the voxels to keep, of which there are fewer for a higher threshold. For kind `labels`,
    `head(channels, classes)` must map them to logits (N, classes). It must accept empty input.

    Args:
        head: the class, with `kind`.
        channels: number of features per voxel to test it with.

    Raises:
        AssertionError: the kind, a shape or a type is wrong, or a parameter has no gradient.
    """
    kind = getattr(head, "kind", None)
    expect(kind in ("occupancy", "labels"), f"wanted kind occupancy or labels, got {kind!r}")
    (backend,) = _working(["torch"])
    x = SparseTensor.from_coordinates(_points()[0], backend=backend)
    features = torch.randn(len(x), channels, generator=torch.Generator().manual_seed(0))
    x = x.with_features(features)
    empty = sparse.prune(x, torch.zeros(len(x), dtype=torch.bool))
    if kind == "labels":
        made = head(channels, 4)
        logits = made(x)
        expect(logits.shape == (len(x), 4), f"wanted ({len(x)}, 4) logits, got {logits.shape}")
        expect(made(empty).shape == (0, 4), "wanted empty output for empty input")
    else:
        made = head(channels, 0.0)
        logits, kept = made(x)
        expect(logits.shape == (len(x),), f"wanted ({len(x)},) logits, got {tuple(logits.shape)}")
        expect(
            kept.shape == logits.shape and kept.dtype == torch.bool,
            "wanted bool (N,) for the voxels to keep",
        )
        few = head(channels, 1e6)(x)[1]
        many = head(channels, -1e6)(x)[1]
        expect(
            many.all() and not few.any(),
            "wanted a low threshold to keep all voxels and a high one to keep none",
        )
        expect(len(made(empty)[0]) == 0, "wanted empty output for empty input")
    _check_gradients(made, logits.square().sum())


def _network(architecture: Any, config: BaseModel) -> nn.Module:
    """Make a network whose random weights let every logit depend on the input."""
    torch.manual_seed(0)
    network: nn.Module = architecture(config)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.3)
    return network


def _check_tensors(architecture: Any, config: BaseModel, network: nn.Module) -> None:
    tensors = network.state_dict()
    with torch.device("meta"):
        expected = architecture(config).state_dict()
    check_header(to_bytes(tensors, {}), expected, "on the meta device")
    for name, tensor in tensors.items():
        if name.endswith("kernel"):
            shape = tuple(tensor.shape)
            expect(len(shape) == 3, f"{name}: wanted (K, C_in, C_out), got {shape}")


def _outputs(
    network: nn.Module, backend: Backend, points: list[Tensor], *, train: bool = False
) -> list[np.ndarray]:
    """The output of a network in raster order, and with `train` the gradients of its parameters.

    A network that takes a target is trained to copy its input, so that no level is pruned away.
    """
    network.train(train)
    x = SparseTensor.from_coordinates(points, backend=backend)
    trained = train and "target" in signature(network.forward).parameters
    with torch.set_grad_enabled(train):
        found = network(x, x.index) if trained else network(x)
        occupancy = getattr(found, "occupancy", None)
        if occupancy is None:
            expect(
                isinstance(found, Tensor) and found.ndim == 2 and len(found) == len(x),
                "wanted logits (N, classes), or something with an `occupancy`",
            )
            order, values = x.coordinates, found
        else:
            expect(occupancy.stride == 1, f"wanted a tensor stride of 1, got {occupancy.stride}")
            order, values = occupancy.coordinates, occupancy.features
        if train:
            levels = getattr(found, "levels", ())
            _check_gradients(
                network, sum((level.logits.square().sum() for level in levels), values.sum())
            )
    rows = np.lexsort(order.cpu().numpy().T[::-1])
    result = [order.cpu().numpy()[rows], values.detach().cpu().numpy()[rows]]
    if train:
        result += [p.grad.cpu().numpy() for p in network.parameters() if p.grad is not None]
        network.zero_grad()
    return result


def _check_gradients(module: nn.Module, loss: Tensor) -> None:
    loss.backward()
    without = [name for name, value in module.named_parameters() if value.grad is None]
    expect(not without, f"wanted a gradient for every parameter, got none for {without}")


def _check_task(architecture: Any, config: BaseModel, network: nn.Module) -> None:
    """Check `Model.predict` on the input of the task's reference case."""
    card = new_card("checked", architecture.task, config)
    (backend,) = _working(["torch"])
    model = Model(network, card, backend, torch.device("cpu"))
    given = reference_input(card)
    volume = model.predict(given).volume
    wanted, got = (np.multiply(each.shape, each.spacing) for each in (given, volume))
    expect_close(got, wanted, 1e-6, "field of view of the prediction in mm")


def _working(names: Sequence[str]) -> list[Backend]:
    """The backends that work here."""
    found = []
    for name in names:
        try:
            backend: Backend = registries.backends.get(name)()
            backend.check_device(torch.device("cpu"))
        except (MissingDependency, BackendError):
            continue
        found.append(backend)
    expect(found, f"wanted a backend that works here, got none of {', '.join(names)}")
    return found


def _points() -> list[Tensor]:
    """A batch of two shapes: a hollow ball with a hole, and half a solid ball."""
    grid = np.indices((24,) * 3) - 12
    distance = np.sqrt((grid**2).sum(0))
    hollow = (distance < 10) & (distance > 7) & ~((grid[0] > 0) & (abs(grid[1]) < 4))
    half = (distance < 6) & (grid[2] > 0)
    return [torch.from_numpy(np.argwhere(shape)) for shape in (hollow, half)]
