"""A CT scan of a map of tissues: Hounsfield units, with or without a contrast agent."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from zoo.datasets.phantoms.chests.tissues import TISSUES, Bounds, Tissues
from zoo.datasets.phantoms.solids import Floats, Noise

CONTRAST: dict[str, Bounds] = {  # bounds of the mean after a contrast agent
    "myocardium": (60, 110),
    "heart": (80, 250),
    "aorta": (100, 380),
    "pulmonary vessel": (80, 380),
    "vein": (60, 300),
    "liver": (60, 110),
    "spleen": (70, 110),
}
BLUR = 0.35, 0.55  # voxels: standard deviation of a scan's blur


def intensities(tissues: Tissues, spacing: float, rng: np.random.Generator) -> Floats:
    """HU float32 of the same shape: a scan of the tissues, with or without a contrast agent.

    Args:
        tissues: (R, R, R), numbers as in TISSUES.
        spacing: voxel size in mm.
        rng: draws the means, a smooth texture, the blur and the noise.
    """
    means, gains = _means(rng)
    texture = Noise.draw(rng, len(tissues) * spacing, 30.0, 1.0)
    half = len(tissues) * spacing / 2
    axis = ((np.arange(len(tissues)) + 0.5) * spacing - half).astype(np.float32)
    hu: Floats = means[tissues]
    hu += gains[tissues] * texture.on_grid(axis, axis, axis)
    hu = ndimage.gaussian_filter(hu, float(rng.uniform(*BLUR)), truncate=2.5)
    noise: Floats = rng.standard_normal(hu.shape, np.float32)
    noise = ndimage.gaussian_filter(noise, float(rng.uniform(0.4, 0.7)), truncate=2.5)
    noise *= float(rng.uniform(8.0, 30.0)) / float(noise.std())
    return hu + noise


def _means(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The mean HU of every tissue in this scan, and by how many HU its texture varies."""
    bounds = dict(TISSUES)
    if rng.random() < 0.6:
        bounds |= CONTRAST
    means = {name: rng.uniform(*bound) for name, bound in bounds.items()}
    means["artery"] = means["aorta"]
    gains = dict.fromkeys(TISSUES, 12.0)
    gains |= {"air": 0.0, "trachea": 0.0, "bronchus": 0.0, "gas": 0.0, "table": 0.0}
    gains |= {"lung": 70.0, "spongy bone": 80.0, "cortical bone": 100.0}
    return (
        np.array([means[name] for name in TISSUES], np.float32),
        np.array([gains[name] for name in TISSUES], np.float32),
    )
