"""Generated skulls: portable, hollow, of a real skull's size, the same at every resolution."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from zoo.datasets.phantoms.skulls import FIELD_OF_VIEW, complete_skull, skull_case
from zoo.errors import VolumeError

Bools = NDArray[np.bool_]

PINNED = {  # seed: SHA-256 of the packed bits of complete and implant at 32
    0: "8a48dcd95adba8b0f179ca13a34b02dcc11930e4d84fe33114c0b99f9134debf",
    7: "706b2a20c71957c6b708404e1247e939c2ecd6afaf2580cee3bd0a0fbd8ab8fc",
}


def dice(a: Bools, b: Bools) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def pooled(volume: Bools) -> Bools:
    i, j, k = (n // 2 for n in volume.shape)
    coarse: Bools = np.any(volume.reshape(i, 2, j, 2, k, 2), axis=(1, 3, 5))
    return coarse


def profiles(volume: Bools) -> tuple[NDArray[np.intp], ...]:
    """The indices along I, J and K that hold anything."""
    return tuple(np.flatnonzero(volume.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))


@pytest.mark.parametrize("seed", PINNED)
def test_bytes_are_the_same_on_every_machine(seed: int) -> None:
    case = skull_case(seed, 32)
    bits = np.packbits([case.complete, case.implant])
    assert hashlib.sha256(bits.tobytes()).hexdigest() == PINNED[seed]


@pytest.mark.parametrize("seed", range(6))
def test_a_skull_has_the_size_of_a_real_one(seed: int) -> None:
    skull = complete_skull(seed, 64)
    assert skull.dtype == bool
    assert skull.shape == (64, 64, 64)
    assert 12_000 < np.count_nonzero(skull) < 33_000  # a real one pooled to 64: 21,914
    top = profiles(skull)[2][-1]
    width, length, _ = (
        np.ptp(indices) * FIELD_OF_VIEW / 64 for indices in profiles(skull[:, :, top - 20 :])
    )
    assert 118 < width < 168  # mm
    assert 150 < length < 203


@pytest.mark.parametrize("seed", range(6))
def test_the_cranial_cavity_is_empty_and_closed_above(seed: int) -> None:
    skull = complete_skull(seed, 64)
    i, j, k = (int(np.mean(indices)) for indices in profiles(skull[:, :, 32:]))
    k += 32
    assert not skull[i - 8 : i + 9, j - 8 : j + 9, k - 3 : k + 4].any()
    sideways = skull[:i, j, k], skull[i:, j, k], skull[i, :j, k], skull[i, j:, k]
    for ray in (*sideways, skull[i, j, k:]):
        assert 1 <= np.count_nonzero(ray) <= 14


@pytest.mark.slow
def test_a_skull_is_one_piece() -> None:
    for seed in range(4):
        labels, _ = ndimage.label(complete_skull(seed, 64), np.ones((3, 3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        assert sizes.max() > 0.99 * sizes.sum()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_one_seed_is_one_skull_and_one_defect_at_every_resolution(seed: int) -> None:
    fine, coarse = skull_case(seed, 128), skull_case(seed, 64)
    assert dice(pooled(fine.complete), coarse.complete) > 0.95
    assert dice(pooled(fine.implant), coarse.implant) > 0.8


def test_another_seed_is_another_skull() -> None:
    assert dice(complete_skull(1, 32), complete_skull(2, 32)) < 0.9


@pytest.mark.parametrize("seed", range(6))
def test_defective_and_implant_part_the_complete_skull(seed: int) -> None:
    case = skull_case(seed, 32)
    assert case.implant.any()
    assert not (case.implant & case.defective).any()
    assert np.array_equal(case.implant | case.defective, case.complete)


def test_a_resolution_too_small_is_refused() -> None:
    with pytest.raises(VolumeError, match="at least 8"):
        complete_skull(0, 4)
