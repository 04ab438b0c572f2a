"""The mirror image of a shape: its plane, its coverage, and networks that get it."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from zoo.anatomy import plane_of_symmetry
from zoo.networks.completion import SparseCompletion
from zoo.networks.generative import GenerativeConfig
from zoo.networks.symmetry import _coarse, mirror_image, mirroring
from zoo.sparse import SparseTensor


def egg(turn=(0, 0, 0), shift=(0, 0, 0), edge=64):
    """A shell (I, J, K), mirror-symmetric and without other symmetries, turned and moved."""
    places = np.indices((edge,) * 3).reshape(3, -1).T - (edge - 1) / 2 - shift
    x, y, z = Rotation.from_euler("zyx", turn, degrees=True).inv().apply(places).T
    radius = np.sqrt((x / 19) ** 2 + (y / (26 - 0.1 * z)) ** 2 + ((z - 0.1 * y) / 22) ** 2)
    return ((radius < 1) & (radius > 0.86)).reshape((edge,) * 3)


def holed(shell):
    """The same with a hole in its right side."""
    made = shell.copy()
    made[edge_of(shell) :, 24:40, 24:40] = False
    return made


def edge_of(shell):
    return shell.shape[0] // 2 + 6


def test_a_skull_has_one_plane_whatever_its_voxels_and_holes():
    """Tried on an egg that is turned by 10 degrees, in slices twice as thick as its pixels."""
    shell = egg((10, 0, 0), (2, 0, 0))
    wanted = Rotation.from_euler("z", 10, degrees=True).apply([1, 0, 0])
    middle = (31.5 + np.array([2, 0, 0]) + 0.5) * 3.0  # mm
    for skull in (shell, holed(shell)):
        found = plane_of_symmetry(skull[:, :, ::2], (3.0, 3.0, 6.0))
        assert np.degrees(np.arccos(found.normal @ wanted)) < 1.0
        assert found.offset == pytest.approx(found.normal @ middle, abs=0.7)


def test_crumbs_have_a_plane_through_their_middle():
    crumbs = np.zeros((9, 9, 9), bool)
    crumbs[2:4, 3, 3] = True
    found = plane_of_symmetry(crumbs, (2.0, 2.0, 2.0))
    assert (tuple(found.normal), found.offset) == ((1, 0, 0), 6.0)


@pytest.mark.parametrize("turn", [(0, 0, 0), (10, 0, 0), (0, 8, 0), (-6, 5, 20)])
def test_the_plane_of_symmetry_is_found_in_spite_of_a_hole(turn):
    shell = egg(turn, shift=(1.5, -2, 0.3))
    matrix, offset = mirroring(holed(shell).astype(np.float32))
    vectors = np.linalg.eigh((matrix + matrix.T) / 2)[1]
    normal = Rotation.from_euler("zyx", turn, degrees=True).apply([1, 0, 0])
    assert np.degrees(np.arccos(min(abs(vectors[:, 0] @ normal), 1))) < 0.7
    assert np.linalg.det(matrix) == pytest.approx(-1)
    middle = np.add(31.5, (1.5, -2, 0.3))
    assert abs(normal @ (matrix @ middle + offset - middle)) < 0.2


@pytest.mark.parametrize("level", [0, 1])
def test_the_image_has_what_is_missing(backend, level):
    shell = egg()
    lacking = holed(shell)
    x = SparseTensor.from_grids([lacking], backend=backend)
    image = mirror_image(x, level)
    step = 2**level
    assert image.stride == step
    grid = np.zeros((64 // step,) * 3)
    grid[tuple((image.coordinates[:, 1:] // step).cpu().numpy().T)] = image.features[:, 0].cpu()
    shares = shell.reshape((64 // step, step) * 3).mean((1, 3, 5))
    missing = (shell & ~lacking).reshape((64 // step, step) * 3).mean((1, 3, 5))
    inside = missing > 0.5
    assert inside.sum() > 100 / step**3
    assert grid[inside].mean() > 0.75 * shares[inside].mean()
    assert grid[::-1][inside].mean() < 0.1  # and is as empty on the other side


def test_every_shape_of_a_batch_is_mirrored_by_itself(backend):
    shells = [holed(egg()), np.ones((4, 4, 4), bool), holed(egg((8, 0, 0), (3, 0, 0)))]
    found = mirror_image(SparseTensor.from_grids(shells, backend=backend), 0)
    rows = found.coordinates.cpu()
    assert set(rows[:, 0].tolist()) == {0, 2}  # four voxels an edge are no shape
    for item in (0, 2):
        alone = mirror_image(SparseTensor.from_grids([shells[item]], backend=backend), 0)
        own = rows[:, 0] == item
        assert torch.equal(alone.coordinates[:, 1:].cpu(), rows[own, 1:])
        assert torch.equal(alone.features.cpu(), found.features.cpu()[own])


def test_all_backends_find_the_same_image(backend):
    grid = np.round(np.random.default_rng(0).random((64, 64, 64)) * 255) * egg()
    images = [
        mirror_image(SparseTensor.from_grids([grid.astype(np.uint8)], unit=255, **where), 1)
        for where in ({"backend": backend}, {"backend": reference()})
    ]
    one, other = images
    assert torch.equal(one.coordinates.cpu(), other.coordinates.cpu())
    assert torch.equal(one.features.cpu(), other.features.cpu())


@pytest.mark.parametrize("level", [0, 3])
def test_the_coverage_of_coarse_voxels_is_exact(backend, level):
    """Also below zero, beside an item without voxels, and where autocast would round it."""
    counts = np.random.default_rng(0).integers(0, 256, (24, 20, 28)).astype(np.uint8)
    where = {"low": (-5, 3, -16), "unit": 255, "backend": backend}
    x = SparseTensor.from_grids([np.zeros_like(counts), counts], **where)
    with torch.autocast(x.features.device.type, torch.bfloat16):
        (_, nothing), (low, sums) = _coarse(x, level)
    wanted = np.pad(counts.astype(int), [(3, 5), (3, 1), (0, 4)] if level else 0)
    step = 2**level
    shape = [n for size in wanted.shape for n in (size // step, step)]
    assert not nothing.size and low.tolist() == [-5 // step, 3 // step, -16 // step]
    assert (sums == wanted.reshape(shape).sum((1, 3, 5))).all()


def reference():
    from zoo import registries

    return registries.backends.get("torch")()


MIRRORED = GenerativeConfig(channels=(2, 2, 4, 4, 4), focus=2, mirror=0)


def network(config=MIRRORED):
    torch.manual_seed(0)
    made = SparseCompletion(config)
    for head in (*made.heads, made.focus):
        torch.nn.init.normal_(head.classifier.kernel)
    return made


def test_a_network_that_gets_the_image_depends_on_it(backend):
    made = network()
    x = SparseTensor.from_grids([holed(egg()), holed(egg((4, 0, 0)))], backend=backend)
    with_image = made(x, x.index).levels[0]
    with_image.logits.sum().backward()
    assert made.mirror.convolution.kernel.grad.abs().sum() > 0
    torch.nn.init.zeros_(made.mirror.norm.weight)
    without = made(x, x.index).levels[0]
    assert not torch.allclose(with_image.logits, without.logits)


def test_a_finer_network_takes_the_image_from_the_same_voxels(backend):
    smaller = network()
    finer = {"channels": (3, *MIRRORED.channels), "focus": 3}
    x = SparseTensor.from_grids([holed(egg())], backend=backend)
    larger = SparseCompletion(GenerativeConfig(**finer, mirror=1))
    assert "mirror" in larger.start_from(smaller, pass_on=True, coverage=x)
    assert torch.equal(larger.mirror.convolution.kernel, smaller.mirror.convolution.kernel)
    for other in ({"mirror": 0}, {}):
        elsewhere = SparseCompletion(GenerativeConfig(**finer, **other))
        assert "mirror" not in elsewhere.start_from(smaller, coverage=x)


def test_the_image_is_of_a_level_of_the_decoder():
    with pytest.raises(ValidationError, match="mirror: wanted a level from 0 to 3"):
        GenerativeConfig(channels=(2, 2, 4, 4, 4), mirror=4)
