"""Random chains of operations against the oracle, and laws that hold whatever the values are.

More of them: ZOO_CHAINS=10000 pytest tests/sparse/test_random_chains.py
"""

import os

import numpy as np
import pytest
import torch

from zoo import sparse
from zoo.sparse import SparseTensor
from zoo.testing import oracle
from zoo.testing.backends import CHECKS, Bench, rows, same

CHAINS = int(os.environ.get("ZOO_CHAINS", "2"))
COARSEST = 8  # tensor stride; what is moved by it stays in the same cells at every level
LONGEST = 5  # operations


def random_points(rng, items=None):
    """Items of a batch: blobs, planes, lines and scattered voxels, at negative places too."""
    made = []
    for _ in range(items or rng.integers(1, 4)):
        low = rng.integers(-70, 70, 3)
        extent = rng.choice([1, 2, 5, 9], 3)
        count = rng.integers(0, 40)
        made.append(sorted(set(map(tuple, (low + rng.integers(0, extent, (count, 3))).tolist()))))
    return made if any(made) else random_points(rng, items)


def chain(rng, x, values, apply):
    """Apply random operations to x; `apply` does one, by its name, with a kernel or a mask."""
    for _ in range(rng.integers(1, LONGEST + 1)):
        possible = ["same", "prune", "add"]
        possible += ["down"] if x.stride < COARSEST else []
        possible += ["up", "wide up"] if x.stride > 1 and len(x) < 300 else []
        name = rng.choice(possible)
        size = {"same": 3, "down": 2, "up": 2, "wide up": 4}.get(name)
        kernel = size and values(size**3, x.channels, int(rng.integers(1, 6)), seed=rng)
        x = apply(x, name, kernel)
    return x


def drawn(*shape, seed):
    return torch.from_numpy(seed.uniform(-1, 1, shape))


def is_kept(point):
    return sum(point) % 3 != 0


def shifted(x):
    """x without the voxels whose first index is even."""
    return sparse.prune(x, x.coordinates[:, 1] // x.stride % 2 == 1)


def computed(x, name, kernel):
    """One operation on the backend."""
    if name == "same":
        return sparse.convolution(x, kernel)
    if name == "down":
        return sparse.convolution(x, kernel, stride=2)
    if name in ("up", "wide up"):
        return sparse.generative_transposed_convolution(x, kernel)
    if name == "prune":
        kept = [is_kept(point) for point in x.coordinates.tolist()]
        return sparse.prune(x, torch.tensor(kept, dtype=torch.bool))
    return sparse.add(shifted(x), x)


def wanted(found, stride, name, kernel):
    """The same operation on the oracle's rows."""
    if name in ("same", "down"):
        return oracle.convolution(found, kernel.numpy(), 1 if name == "same" else 2, stride)
    if name in ("up", "wide up"):
        return oracle.generative_transposed_convolution(found, kernel.numpy(), stride)
    if name == "prune":
        return oracle.prune(found, is_kept)
    odd = oracle.prune(found, lambda point: point[1] // stride % 2 == 1)
    return oracle.add(odd, found) if found else found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(CHAINS))
def test_a_chain_is_what_the_oracle_computes(backend, seed):
    """After every operation; with gradients that are those of the same chain on `torch`."""
    rng, bench = np.random.default_rng(seed), Bench(backend)
    x = bench.tensor(random_points(rng), int(rng.integers(1, 6)), int(rng.choice([1, 2, 4])))
    inputs = x.features

    def apply(x, name, kernel):
        before, stride = rows(x), x.stride
        y = computed(x, name, kernel)
        same(bench, rows(y), wanted(before, stride, name, kernel))
        return y

    y = chain(rng, x, drawn, apply)
    if len(y):
        (gradient,) = torch.autograd.grad((y.features**2).sum(), inputs)
        step = drawn(*inputs.shape, seed=rng)
        squares = []
        for way in (step, -step):
            again = np.random.default_rng(seed)
            random_points(again), again.integers(1, 6), again.choice([1, 2, 4])
            moved = chain(again, x.with_features(inputs.detach() + way), drawn, computed)
            squares.append((moved.features**2).sum().item())
        # The chain is linear: half of the difference is the derivative itself, whatever the step.
        expected = (gradient * step).sum().item()
        change = (squares[0] - squares[1]) / 2
        assert change == pytest.approx(expected, rel=1e-6, abs=1e-9 * max(squares))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(max(CHAINS // 4, 1)))
@pytest.mark.parametrize("name", CHECKS)
def test_every_check_holds_on_random_points(backend, name, seed):
    CHECKS[name](Bench(backend), random_points(np.random.default_rng(1000 + seed)))


def three_kernels(seed):
    rng = np.random.default_rng(seed)
    return [drawn(*shape, seed=rng) for shape in ((27, 2, 3), (8, 3, 4), (8, 4, 2))]


def result(backend, points, seed, change=lambda coordinates: coordinates, kernels=None):
    """Rows of a network of three convolutions over points whose coordinates are changed."""
    kernels = kernels or three_kernels(seed)
    value = {
        (batch, *point): torch.from_numpy(np.random.default_rng(abs(hash(point))).uniform(-1, 1, 2))
        for batch, item in enumerate(points)
        for point in item
    }
    items = [torch.tensor(item, dtype=torch.int64).reshape(-1, 3) for item in points]
    features = torch.stack(list(value.values()))
    x = SparseTensor.from_coordinates([change(i) for i in items], features, backend=backend)
    y = sparse.convolution(sparse.convolution(x, kernels[0]), kernels[1], stride=2)
    return rows(sparse.generative_transposed_convolution(y, kernels[2]))


def close(one, other):
    assert set(one) == set(other)
    for point in one:
        np.testing.assert_allclose(one[point], other[point], atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(max(CHAINS // 4, 1)))
def test_laws(backend, seed):
    """Moving by a cell, another order of batches, exchanged axes, and the order of a sum."""
    points = random_points(np.random.default_rng(2000 + seed), items=2)
    plain = result(backend, points, seed)
    step = torch.tensor([2, -4, 130])
    moved = result(backend, points, seed, lambda coordinates: coordinates + step)
    close(moved, {(b, i + 2, j - 4, k + 130): v for (b, i, j, k), v in plain.items()})
    alone = [result(backend, [item], seed) if item else {} for item in points]
    close(plain, {(b, *p[1:]): v for b, part in enumerate(alone) for p, v in part.items()})
    turned = [turn(kernel) for kernel in three_kernels(seed)]
    swapped = result(backend, points, seed, lambda coordinates: coordinates.flip(1), turned)
    close(swapped, {(b, k, j, i): value for (b, i, j, k), value in plain.items()})
    bench = Bench(backend)
    x = bench.tensor(points, 3)
    some, others = shifted(x), sparse.prune(x, x.coordinates[:, 2] % 2 == 0)
    if len(some) and len(others):
        same(bench, rows(sparse.add(some, others)), rows(sparse.add(others, some)))
    nothing = sparse.prune(x, torch.zeros(len(x), dtype=torch.bool))
    assert len(sparse.convolution(nothing, bench.values(27, 3, 2))) == 0


def turn(kernel):
    """The kernel of exchanged axes: its rows count the first axis fastest."""
    size = round(len(kernel) ** (1 / 3))
    grid = kernel.reshape(size, size, size, *kernel.shape[1:])
    return grid.transpose(0, 2).reshape(kernel.shape)
