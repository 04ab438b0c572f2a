"""Predicts labels for a scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zoo.anatomy import Threshold
from zoo.errors import VolumeError
from zoo.models import Model, Prediction, Probabilities
from zoo.networks import coarsest_voxel
from zoo.sparse import Backend, SparseTensor
from zoo.tasks.segmentation._options import SegmentationOptions
from zoo.tasks.segmentation._windows import in_words
from zoo.tasks.task import Bools, Stage
from zoo.volumes import (
    About,
    InputContract,
    Resampled,
    Volume,
    bounds,
    centring_shift,
    has_two_values,
    largest_components,
    normalised,
    resample_intensities,
    structure_statistics,
    windowed,
)

FASTER = "computed by backend {}, the faster one where so much of the bounding box is occupied"


def predict(
    model: Model, source: Volume, threshold: Threshold, options: SegmentationOptions, stage: Stage
) -> Prediction:
    """Predict labels on the scan's own grid, and the probability of each."""
    contract = model.card.input
    with stage("conform"):
        resampled, occupied = _conform(source, contract, threshold)
    backend = model.backend_for(occupied)
    with stage("network"):
        values = normalised(resampled.array[occupied], contract)
        points, logits = label(model.network, occupied, values, backend, model.device)
    with stage("restore"):
        probabilities = Probabilities(resampled, points, logits, model.card.labels)
        volume = probabilities.most_likely()
        given = source.with_array(np.ascontiguousarray(resampled.back(occupied.view(np.uint8))))
        if options.largest_component:
            volume = volume.with_array(largest_components(volume.array))
        structures = structure_statistics(volume, source, model.card.labels)
    report = {
        "voxels_in": int(np.count_nonzero(occupied)),
        "grid": resampled.facts(),
        "structures": structures,
        "backend": backend.name,
        "notes": [] if backend is model.backend else [FASTER.format(backend.name)],
    }
    about = About(labels=model.card.labels)
    return Prediction(replace(volume, about=about), None, given, report, probabilities)


def trial(
    model: Model, source: Volume, threshold: Threshold
) -> tuple[Bools, Callable[[Bools], object]]:
    """Prepare a trial run; see `Task.trial`."""
    _, occupied = _conform(source, model.card.input, threshold)
    backend = model.backend_for(occupied)
    run = partial(label, model.network, values=None, backend=backend, device=model.device)
    return occupied, run


def _conform(
    source: Volume, contract: InputContract, threshold: Threshold
) -> tuple[Resampled, Bools]:
    """Resample the scan to the model's grid, and find which of its voxels are occupied."""
    if threshold is not None:
        raise VolumeError(
            "segmentation takes intensities as they are and applies the model's windows; got"
            f" threshold {threshold}: leave it out"
        )
    resampled = resample_intensities(source, contract)
    occupied = windowed(resampled.array, contract)
    if not occupied.any() or occupied.all():
        low, high = source.array.min(), source.array.max()
        if low < high and has_two_values(source.array):
            raise VolumeError(
                f"wanted a CT in Hounsfield units, got a mask, of the values {low:g} and {high:g};"
                " give the CT itself"
            )
        windows = in_words(contract.windows)
        raise VolumeError(
            f"wanted a CT in Hounsfield units, with some intensities inside the windows {windows}"
            f" and some outside, got {'all' if occupied.any() else 'none'} of them inside: they"
            f" range from {low:g} to {high:g}; check the file"
        )
    return resampled, occupied


def label(
    network: nn.Module,
    occupied: Bools,
    values: np.ndarray | None,
    backend: Backend,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Run a network on the occupied voxels of a grid.

    Args:
        network: a segmentation network.
        occupied: bool (I, J, K).
        values: (N,), the features of the occupied voxels in raster order; None stands for zeros.
        backend: computes the convolutions.
        device: where to compute.

    Returns:
        The indices (N, 3) of the occupied voxels, and their logits (N, classes).
    """
    shift = centring_shift(*bounds(occupied), coarsest_voxel(network))
    i, j, k = shift.tolist()
    x = SparseTensor.from_grids([occupied], low=(i, j, k), backend=backend, device=device)
    points = x.coordinates[:, 1:].cpu().numpy() - shift
    features = np.zeros(occupied.shape, np.float32)
    if values is not None:
        features[occupied] = values
    column = torch.from_numpy(features[tuple(points.T)]).unsqueeze(1).to(device)
    with torch.inference_mode():
        logits = network(x.with_features(column))
    return points, logits.float().cpu().numpy()


def label_grid(points: np.ndarray, logits: np.ndarray, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A grid (I, J, K) with the likeliest class of every point from `label`; 0 elsewhere."""
    grid = np.zeros(shape, np.uint8)
    grid[tuple(points.T)] = logits.argmax(axis=1)
    return grid
