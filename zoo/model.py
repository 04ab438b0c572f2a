"""A model: architecture, config, weights and input contract under one name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from zoo.cards import Card
from zoo.conform import binarise
from zoo.devices import DeviceMemory
from zoo.errors import ConfigError
from zoo.hub import Origin, sha256_of
from zoo.plan import Plan, plan_prediction
from zoo.prediction import Prediction
from zoo.report import Stopwatch, peak_memory, versions
from zoo.sparse import Backend
from zoo.tasks import Answer, Engine, task_of
from zoo.tasks.super_resolution import factors_to, refined
from zoo.volume import Volume

if TYPE_CHECKING:
    from zoo.publishing import Published

Progress = Callable[[str], None]
NEW = Origin()


class Model:
    """A network that predicts on volumes.

    Attributes:
        network: torch.nn.Module, in eval mode.
        card: what is stated about the model.
        backend: what computes convolutions.
        device: where.
        task: what it does with a volume.
        origin: where it came from.
    """

    def __init__(
        self,
        network: nn.Module,
        card: Card,
        backend: Backend,
        device: torch.device,
        origin: Origin = NEW,
    ) -> None:
        backend.check_device(device)
        self.network = network.to(device).eval()
        self.card = card
        self.backend = backend
        self.device = device
        self.origin = origin
        self.engine = Engine(self.network, backend, device)
        self.task = task_of(card)

    @property
    def config(self) -> BaseModel:
        """The architecture's typed config."""
        config: BaseModel = self.network.config  # type: ignore[assignment]
        return config

    def predict(
        self,
        volume: object,
        *,
        threshold: float | None = None,
        chain: bool = False,
        progress: Progress | None = None,
    ) -> Prediction:
        """Answer on the volume's own grid; super-resolution, on a finer one.

        The same input gives the same answer. Completion never removes an occupied voxel.

        Args:
            volume: a path, nibabel image, NumPy array or torch tensor (I, J, K), or a Volume. Bare
                arrays have voxels of 1 mm: give `zoo.Volume(array, affine)` if theirs are not.
            threshold: voxels above it are occupied; needed unless the volume is binary.
            chain: of super-resolution, let the models for coarser grids go before this one, step by
                step, as far as the volume is coarse enough for them.
            progress: called with the name of every stage as it begins.

        Raises:
            ConfigError: a chain, but the model does no super-resolution.
            ReadError: a file that cannot be read.
            VolumeError: a volume that is not 3-D, or has nothing or nothing but occupied voxels, or
                NaN, or more than two values and no threshold; or that the task cannot use.
            BackendError: memory, of the machine or of its GPU, does not suffice.
        """
        watch = Stopwatch(progress)
        with watch.stage("read"):
            source = Volume.of(volume)
        with DeviceMemory(self.device) as memory:
            if chain:
                answer = self._predict_in_steps(source, threshold, watch)
            else:
                answer = self.task.predict(self.engine, source, threshold, watch.stage)
        report = {
            **self._facts(),
            "grid": answer.grid,
            "voxels_in": answer.voxels,
            "voxels_out": int(np.count_nonzero(answer.volume.array)),
            "timings": watch.seconds,
            "peak_memory": peak_memory(),
            "peak_device_memory": memory.peak,
            "sha256": {"weights": self._weights_sha256(), "input": _input_sha256(volume, source)},
        }
        return Prediction(
            answer.volume, answer.implant, answer.occupied, report, answer.probabilities
        )

    def plan(self, volume: object, *, threshold: float | None = None) -> Plan:
        """What `predict` would cost: occupied voxels, expected peak memory and time.

        Raises the same errors as `predict`; makes a trial run on a coarsened copy.
        """
        grid, run = self.task.trial(Volume.of(volume), threshold)
        channels = getattr(self.config, "channels", (16,))[0]
        with DeviceMemory(self.device):
            return plan_prediction(partial(run, self.engine), grid, channels, self.engine)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json, model.safetensors and README.md, which `local-dir:` loads.

        Beside them lies the golden case of `zoo verify`: an input, and this model's answer to it.

        Raises:
            WriteError: the folder cannot be made or written.
        """
        from zoo.publishing import write_model

        write_model(self, Path(folder))

    def push_to_hub(
        self, repo: str, *, private: bool = False, revision: str | None = None
    ) -> Published:
        """Publish the folder that `save` writes as ORG/REPO on the Hub; see `zoo.publishing.push`.

        Raises:
            ConfigError: not a repository's name.
            HubError: the Hub cannot be reached, or refuses.
        """
        from zoo.publishing import push

        return push(self, repo, private=private, revision=revision)

    def _predict_in_steps(
        self, source: Volume, threshold: float | None, watch: Stopwatch
    ) -> Answer:
        """Answer on what the models before this one in its chain make of a volume."""
        if self.card.task != "super-resolution":
            raise ConfigError(
                f"wanted a model for super-resolution, to chain, got {self.card.name} for"
                f" {self.card.task}; leave chain out"
            )
        given = source.with_array(binarise(source, threshold).view(np.uint8))
        answer = self.task.predict(
            self.engine, self._by_coarser_models(given, watch), None, watch.stage
        )
        # Its facts are to be those of what was given, not of the last step.
        i, j, k = (n // m for n, m in zip(answer.volume.shape, given.shape, strict=True))
        return replace(
            answer,
            occupied=refined(given, (i, j, k)),
            voxels=int(np.count_nonzero(given.array)),
            grid=answer.grid | {"spacing_in": list(given.canonical().spacing)},
        )

    def _by_coarser_models(self, source: Volume, watch: Stopwatch) -> Volume:
        if self.card.after is None:
            return source
        from zoo.loading import load

        coarser = load(self.card.after, backend=self.backend.name, device=str(self.device))
        contract = coarser.card.input
        if (
            coarser.card.task != "super-resolution"
            or contract.spacing[0] <= self.card.input.spacing[0]
        ):
            raise ConfigError(
                f"{self.card.name}: wanted `after` to name a model for super-resolution with larger"
                f" voxels, got {coarser.card.name}; correct its card"
            )
        if factors_to(source.spacing, contract) is None:
            return source
        with watch.stage(coarser.card.name):
            return coarser.predict(source, chain=True).volume

    def _facts(self) -> dict[str, Any]:
        return {
            "model": self.card.name,
            "backend": self.backend.name,
            "device": str(self.device),
            "versions": versions(),
        }

    def _weights_sha256(self) -> str | None:
        return self.card.weights.sha256 if self.card.weights else None

    def __repr__(self) -> str:
        return f"Model({self.card.name}, {self.backend.name} on {self.device})"


def _input_sha256(given: Any, source: Volume) -> str:
    """Of the file's bytes if the path of one was given, else of the array's."""
    if isinstance(given, str | os.PathLike) and os.path.isfile(given):
        return sha256_of(Path(given))
    return hashlib.sha256(np.ascontiguousarray(source.array).data).hexdigest()
