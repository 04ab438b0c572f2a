"""CT angiograms of generated heads, and how well a prediction fits one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zoo import Volume
from zoo.plugins import dice, solids
from zoo_vessels.anatomy import TISSUES, VESSELS, Head, Tissues, head

FILLING = 150.0, 600.0  # HU of contrast medium
WINDOW = 50.0, 1500.0  # HU; what lies outside is no vessel, but dense bone is seen


@dataclass(frozen=True)
class VesselCase:
    """HU int16 and labels uint8 {0, 1}, both (R, R, R); centreline voxels (M, 3); spacing in mm."""

    hu: NDArray[np.int16]
    labels: Tissues
    centrelines: NDArray[np.intp]
    spacing: tuple[float, float, float]


def vessel_case(seed: int, resolution: int = 128) -> VesselCase:
    """One angiogram with its labels; the same for the same arguments."""
    made: Head = head(seed, resolution)
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    hu = np.rint(intensities(made.tissues, rng)).clip(-1024, 3071).astype(np.int16)
    return VesselCase(hu, labels_of(made.tissues), made.centrelines, made.spacing)


def volume_of(case: VesselCase, array: NDArray[Any]) -> Volume:
    """An array of a case, with its grid centred on the origin."""
    affine = np.diag([*case.spacing, 1.0])
    affine[:3, 3] = -(np.array(array.shape) - 1) / 2 * case.spacing
    return Volume(array, affine)


def measures(predicted: NDArray[np.uint8], case: VesselCase) -> tuple[float, float]:
    """Dice, and the share of the centrelines' voxels that a prediction (R, R, R) has."""
    return dice(predicted, case.labels), float((predicted[tuple(case.centrelines.T)] > 0).mean())


def labels_of(tissues: Tissues) -> Tissues:
    """uint8 of the same shape: 1 where a vessel is."""
    return ((tissues >= VESSELS[0]) & (tissues <= VESSELS[-1])).astype(np.uint8)


def intensities(
    tissues: Tissues, rng: np.random.Generator, *, harder: bool = False
) -> solids.Floats:
    """HU float32 of the same shape: a scan, in most of which what is faint was set to zero.

    With `harder`, for training, bone and films may be no denser than vessels, and there are blobs.
    """
    background = rng.uniform(-60, 20)
    hu = _means(background, rng)[tissues]
    bone = tissues > VESSELS[-1]
    hu[bone] += 120 * rng.standard_normal(int(bone.sum()), np.float32)
    if harder:
        hu[bone] *= rng.uniform(0.25, 0.8) if rng.random() < 1 / 3 else 1
        hu += _blobs(tissues.shape, rng)
    specks = rng.integers(hu.size, size=rng.integers(400))
    hu.flat[specks] += rng.uniform(200, 900, specks.size).astype(np.float32)
    hu = ndimage.gaussian_filter(hu, rng.uniform(0.4, 0.9), truncate=2.5)
    noise = ndimage.gaussian_filter(
        rng.standard_normal(hu.shape, np.float32), rng.uniform(0.5, 0.9), truncate=2.5
    )
    strength = rng.uniform(0.2, 0.5) * (WINDOW[0] - background)  # a few voxels reach the window
    hu += noise * np.float32(min(strength, 35) / noise.std())
    if rng.random() < 0.7:
        hu[hu < rng.uniform(50, 110)] = 0
    return hu


def _blobs(shape: tuple[int, ...], rng: np.random.Generator) -> solids.Floats:
    """HU to add, float32 of `shape`: spots a few voxels wide, at most as bright as vessels."""
    count, size = int(rng.integers(150)), rng.uniform(0.8, 1.6)
    blobs = np.zeros(shape, np.float32)
    blobs.flat[rng.integers(blobs.size, size=count)] = rng.uniform(80, 300, count)
    peak = np.float32((2 * np.pi) ** 1.5 * size**3)  # brings a Gaussian's peak back to one
    spots: solids.Floats = peak * ndimage.gaussian_filter(blobs, size, truncate=2.5)
    return spots


def _means(background: float, rng: np.random.Generator) -> solids.Floats:
    """HU of every tissue in this scan; thin vessels fill their voxels in part."""
    means = {"background": background, "film": rng.uniform(60, 250)}
    means |= {"spongy bone": rng.uniform(200, 700), "cortical bone": rng.uniform(700, 1500)}
    for kind in ("artery", "sinus", "vein"):
        means[kind] = rng.uniform(*FILLING)
        means[f"thin {kind}"] = max(120.0, means[kind] * rng.uniform(0.4, 0.9))
    return np.array([means[name] for name in TISSUES], np.float32)
