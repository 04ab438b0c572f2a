"""Architectures and heads: shapes, gradients, backends that agree, an input of one voxel."""

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
from zoo.golden import golden_input
from zoo.loading import new_card
from zoo.model import Model
from zoo.sparse import Backend, SparseTensor
from zoo.testing.expecting import expect, expect_close
from zoo.weights import check_header, to_bytes

TOLERANCE = 1e-4  # of the largest value, between backends in float32


def check_architecture(
    architecture: Any, config: BaseModel, *, backends: Sequence[str] = ("torch", "cpu")
) -> None:
    """See that an architecture makes networks that the zoo can load, train and predict with.

    Args:
        architecture: the class, with `task` and `config_class`.
        config: of a network that is quickly run.
        backends: names of those that must agree; one that does not work here is left out.

    Raises:
        AssertionError: no frozen config that forbids unknown keys; other tensors on the meta
            device; kernels that are not (K, C_in, C_out); an answer of another kind or shape than
            its task has; a parameter without gradient; backends or runs that differ; a golden input
            that it cannot answer.
    """
    settings = config.model_config
    expect(isinstance(config, architecture.config_class), "wanted an instance of config_class")
    expect(settings.get("frozen"), "wanted a frozen config")
    expect(settings.get("extra") == "forbid", 'wanted a config with extra="forbid"')
    network = _network(architecture, config)
    _check_tensors(architecture, config, network)
    engines = _engines(backends)
    answers = [_answer(network, engine, _points(), train=True) for engine in engines]
    for engine, answer in zip(engines[1:], answers[1:], strict=True):
        for one, other in zip(answer, answers[0], strict=True):
            expect_close(one, other, TOLERANCE, f"{engine.name} against {engines[0].name}")
    for points in (_points(), [torch.tensor([[3, 5, 7]])]):
        first, second = (_answer(network, engines[0], points) for _ in range(2))
        same = all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
        expect(same, "the second run gave another answer")
    _check_task(architecture, config, network)


def check_head(head: Any, *, channels: int = 5) -> None:
    """See that a head turns features into a task's answer.

    Of kind `occupancy`, `head(channels, threshold)` must give logits (N,) and what is kept, (N,)
    bool, less of it for a higher threshold. Of kind `labels`, `head(channels, classes)` must give
    logits (N, classes). Of no voxels it gives none.

    Raises:
        AssertionError: another kind, shape or type; a parameter without gradient.
    """
    kind = getattr(head, "kind", None)
    expect(kind in ("occupancy", "labels"), f"wanted kind occupancy or labels, got {kind!r}")
    (engine,) = _engines(["torch"])
    x = SparseTensor.from_coordinates(_points()[0], backend=engine)
    features = torch.randn(len(x), channels, generator=torch.Generator().manual_seed(0))
    x = x.with_features(features)
    none = sparse.prune(x, torch.zeros(len(x), dtype=torch.bool))
    if kind == "labels":
        made = head(channels, 4)
        logits = made(x)
        expect(logits.shape == (len(x), 4), f"wanted ({len(x)}, 4) logits, got {logits.shape}")
        expect(made(none).shape == (0, 4), "wanted nothing of nothing")
    else:
        made = head(channels, 0.0)
        logits, kept = made(x)
        expect(logits.shape == (len(x),), f"wanted ({len(x)},) logits, got {tuple(logits.shape)}")
        expect(kept.shape == logits.shape and kept.dtype == torch.bool, "wanted (N,) bool kept")
        few = head(channels, 1e6)(x)[1]
        many = head(channels, -1e6)(x)[1]
        expect(many.all() and not few.any(), "wanted a threshold that keeps all, or nothing")
        expect(len(made(none)[0]) == 0, "wanted nothing of nothing")
    _check_gradients(made, logits.square().sum())


def _network(architecture: Any, config: BaseModel) -> nn.Module:
    """With random weights that make every logit depend on the input."""
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


def _answer(
    network: nn.Module, engine: Backend, points: list[Tensor], *, train: bool = False
) -> list[np.ndarray]:
    """What a network answers in raster order, and with `train` the gradients of its parameters.

    One that can be told its target is trained to copy its input, so that no level is pruned away.
    """
    network.train(train)
    x = SparseTensor.from_coordinates(points, backend=engine)
    trained = train and "target" in signature(network.forward).parameters
    with torch.set_grad_enabled(train):
        found = network(x, x.index) if trained else network(x)
        answer = getattr(found, "answer", None)
        if answer is None:
            expect(
                isinstance(found, Tensor) and found.ndim == 2 and len(found) == len(x),
                "wanted logits (N, classes), or something with an `answer`",
            )
            order, values = x.coordinates, found
        else:
            expect(answer.stride == 1, f"wanted an answer at stride 1, got {answer.stride}")
            order, values = answer.coordinates, answer.features
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
    """The way of `Model.predict`, on the golden input of its task."""
    card = new_card("checked", architecture.task, config)
    (engine,) = _engines(["torch"])
    model = Model(network, card, engine, torch.device("cpu"))
    given = golden_input(card)
    answer = model.predict(given).volume
    finer = 2 if card.task == "super-resolution" else 1
    wanted = tuple(finer * n for n in given.shape)
    expect(answer.shape == wanted, f"wanted an answer of shape {wanted}, got {answer.shape}")


def _engines(names: Sequence[str]) -> list[Backend]:
    """Those that work here."""
    found = []
    for name in names:
        try:
            engine: Backend = registries.backends.get(name)()
            engine.check_device(torch.device("cpu"))
        except (MissingDependency, BackendError):
            continue
        found.append(engine)
    expect(found, f"wanted a backend that works here, got none of {', '.join(names)}")
    return found


def _points() -> list[Tensor]:
    """A batch of two shapes: a hollow ball with a hole, and the half of a full one."""
    grid = np.indices((24,) * 3) - 12
    distance = np.sqrt((grid**2).sum(0))
    hollow = (distance < 10) & (distance > 7) & ~((grid[0] > 0) & (abs(grid[1]) < 4))
    half = (distance < 6) & (grid[2] > 0)
    return [torch.from_numpy(np.argwhere(shape)) for shape in (hollow, half)]
