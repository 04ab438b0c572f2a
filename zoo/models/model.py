"""A model: an architecture, its config, weights and an input contract under one name."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from operator import length_hint
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict
from torch import nn

from zoo import registries
from zoo.anatomy import Threshold
from zoo.cards import Card, Origin
from zoo.errors import ConfigError, VolumeError
from zoo.models._inputs import Triple, found_out, placed, read
from zoo.models._sheared import predict_straight
from zoo.models.plan import FOCUSED, GROWTH, Plan, bytes_per_voxel, plan_prediction
from zoo.models.prediction import Prediction
from zoo.models.progress import Progress, bar, numbered, silent
from zoo.models.report import Stopwatch, peak_memory, versions
from zoo.sparse import Backend, DeviceMemory, select_backend
from zoo.validation import validate
from zoo.volumes import (
    About,
    Bools,
    Volume,
    is_sheared,
    occupied_share,
)

if TYPE_CHECKING:
    from zoo.models.publishing import Published

LOG = logging.getLogger(__name__)
NEW = Origin()


class Options(BaseModel):
    """The options of a task's predictions besides the volume and its threshold: here, none.

    A task with options adds fields; each becomes an option of `Model.predict` and `zoo predict`.

    Attributes:
        strict: whether a prediction with warnings is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strict: bool = False


class Model:
    """A network that predicts on volumes. Use `zoo.load` or `zoo.create` to get one.

        >>> import zoo
        >>> model = zoo.load("skull-completion-64.phantom", backend="torch", device="cpu")
        >>> model.card.task, model.backend.name, model.card.input.spacing
        ('completion', 'torch', (3.2, 3.2, 3.2))

    Attributes:
        network: the torch.nn.Module, in eval mode.
        card: everything that is stated about the model.
        backend: the backend that computes convolutions.
        device: the device that it computes on.
        task: the `zoo.plugins.Task` that decides what it does with a volume.
        origin: where it came from.
        shows_progress: whether `predict` shows a bar in a terminal or a notebook.
        automatic: whether another backend may be taken for a volume that it is faster on.
        local_files_only: whether models that it predicts with are loaded without the network.
    """

    shows_progress = True

    def __init__(
        self,
        network: nn.Module,
        card: Card,
        backend: Backend,
        device: torch.device,
        origin: Origin = NEW,
        *,
        automatic: bool = False,
        local_files_only: bool = False,
    ) -> None:
        backend.check_device(device)
        self.network = network.to(device).eval()
        self.card = card
        self.backend = backend
        self.device = device
        self.origin = origin
        self.automatic = automatic
        self.local_files_only = local_files_only
        self.task = registries.tasks.get(card.task)
        self.task.check_card(card)

    if TYPE_CHECKING:  # zoo/models/__init__.py binds what concerns files and the Hub

        @staticmethod
        def from_pretrained(repo: str, revision: str | None = None) -> Model:
            """Load a model from the Hub; see `zoo.models.loading.from_pretrained`."""

        def save(self, folder: str | os.PathLike[str]) -> None:
            """Write the model's folder; see `zoo.models.publishing.save`."""

        def push_to_hub(
            self,
            repo: str,
            *,
            private: bool = False,
            revision: str | None = None,
            key: Path | None = None,
        ) -> Published:
            """Publish the model on the Hub; see `zoo.models.publishing.push`."""

    @property
    def config(self) -> BaseModel:
        """The architecture's typed config."""
        config: BaseModel = self.network.config  # type: ignore[assignment]
        return config

    @overload
    def predict(
        self,
        volume: list[Any],
        *,
        threshold: Threshold = ...,
        spacing: float | Triple | None = ...,
        affine: ArrayLike | None = ...,
        progress: Progress | None = ...,
        **options: Any,
    ) -> list[Prediction]: ...

    @overload
    def predict(
        self,
        volume: object,
        *,
        threshold: Threshold = ...,
        spacing: float | Triple | None = ...,
        affine: ArrayLike | None = ...,
        progress: Progress | None = ...,
        **options: Any,
    ) -> Prediction: ...

    def predict(
        self,
        volume: object,
        *,
        threshold: Threshold = None,
        spacing: float | Triple | None = None,
        affine: ArrayLike | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Prediction | list[Prediction]:
        """Predict on a volume, on its own grid; super-resolution predicts on a finer one.

        The same input gives the same prediction. Completion never removes an occupied voxel.

            >>> import numpy as np
            >>> import zoo
            >>> model = zoo.load("skull-completion-64", backend="torch", device="cpu")
            >>> mask = np.zeros((20, 20, 20), np.uint8)
            >>> mask[5:15, 5:15, 5:8] = 1
            >>> prediction = model.predict(zoo.Volume(mask, np.diag([3.2, 3.2, 3.2, 1])))
            >>> prediction.volume
            Volume(20x20x20 uint8, 3.2 x 3.2 x 3.2 mm, RAS)
            >>> bool((prediction.volume.array >= mask).all())
            True

        Args:
            volume: a path, a nibabel image, a NumPy array or torch tensor (I, J, K), or a
                `zoo.Volume`; or a list of these. The voxels of bare arrays are taken to be 1 mm
                large with axes RAS, unless `spacing` or `affine` says otherwise.
            threshold: voxels above it are occupied; needed for completion and super-resolution
                unless the volume is binary. "auto" finds the skull in a CT: a threshold from the
                data, without headrest and neck.
            spacing: mm along the axes of an array or tensor, which are RAS; one number for cubic
                voxels.
            affine: (4, 4), from the indices of an array or tensor to RAS+ millimetres.
            progress: called with the name of every stage as it begins, for a list with the number
                of the case before it; by default a bar shows it in a terminal and a notebook,
                unless `shows_progress` of the model is False.
            options: additional options of the model's task: the fields of its
                `prediction_options`.

        Returns:
            The prediction: its volume, the implant (of completion), and a report; for a list, a
            list of them. `predict_each` gives one after another instead.

        Raises:
            ConfigError: an option is unknown to the model's task, or has an invalid value; or
                `spacing` or `affine` is given for what has its own.
            ReadError: the file cannot be read.
            VolumeError: the volume is not 3-D, has no occupied voxels or nothing else, contains
                NaN, or has more than two values without a threshold; or the task cannot use it.
            BackendError: there is not enough memory, on the machine or on its GPU.
        """
        chosen = self._options(options)
        with self._shown(progress) as announce:
            if not isinstance(volume, list):
                given = placed(volume, spacing, affine)
                return self._predict(given, threshold, chosen, Stopwatch(announce))
            predictions = []
            for number, each in enumerate(volume, 1):
                given = placed(each, spacing, affine)
                watch = Stopwatch(numbered(announce, number, len(volume)))
                predictions.append(self._predict(given, threshold, chosen, watch))
            return predictions

    def _shown(self, progress: Progress | None) -> AbstractContextManager[Progress]:
        """What hears of every stage: what the caller gave, else a bar where the model shows one."""
        if progress is None and self.shows_progress:
            return bar()
        return nullcontext(progress or silent)

    def _predict(
        self, given: Any, threshold: Threshold, chosen: Options, watch: Stopwatch
    ) -> Prediction:
        """Predict on one volume, with checked options."""
        with watch.stage("read"):
            source, sha256 = read(given)
        with DeviceMemory(self.device) as memory, self.backend.compiling(watch.compilation):
            predict = predict_straight if is_sheared(source) else self.task.predict
            prediction = predict(self, source, threshold, chosen, watch.stage)
        report = {
            **self._facts(),
            **prediction.report,
            "input": found_out(source, threshold),
            "voxels_out": int(np.count_nonzero(prediction.volume.array)),
            "timings": watch.seconds,
            "seconds_compiling": watch.compiling,
            "peak_memory": peak_memory(),
            "peak_device_memory": memory.peak,
            "sha256": {"weights": self.card.sha256, "input": sha256},
        }
        remarks = source.about.remarks if source.about else ()
        report.setdefault("notes", [])
        report["warnings"] = found = [
            *remarks,
            *prediction.report.get("warnings", []),
            *self.task.doubts(self, source, threshold, prediction),
        ]
        if chosen.strict and found:
            raise VolumeError(
                f"wanted no warnings, as --strict (strict=) says, got: {'; '.join(found)};"
                " mend the input, or leave it out"
            )
        path = Path(given) if isinstance(given, str | os.PathLike) else None
        known = partial(_known_of, self.card.name, self.card.sha256 or "", path)
        LOG.info(
            "%s: %d occupied voxels in, %d out, %.1f s",
            self.card.name,
            report["voxels_in"],
            report["voxels_out"],
            sum(watch.seconds.values()),
        )
        for line in report["warnings"]:
            LOG.warning("%s: %s", self.card.name, line)
        made: Prediction = replace(
            prediction,
            volume=known(prediction.volume),
            implant=prediction.implant and known(prediction.implant),
            uncertainty=prediction.uncertainty and known(prediction.uncertainty),
            report=report,
        )
        return made

    def predict_each(self, volumes: Iterable[object], **arguments: Any) -> Iterator[Prediction]:
        """Predict on one volume after another; only one prediction is in memory at a time.

            >>> import numpy as np
            >>> import zoo
            >>> model = zoo.create("sparse-completion", backend="torch", device="cpu")
            >>> cubes = [np.pad(np.ones((n, n, n), np.uint8), 4) for n in (2, 3)]
            >>> [prediction.report["voxels_in"] for prediction in model.predict_each(cubes)]
            [8, 27]

        Args:
            volumes: as for `predict`, one by one.
            arguments: as for `predict`; what is shown of a stage begins with the case's number.

        Yields:
            The prediction for each volume.

        Raises:
            ConfigError, ReadError, VolumeError, BackendError: as for `predict`, at that volume.
        """
        progress, count = arguments.pop("progress", None), length_hint(volumes) or None
        for number, volume in enumerate(volumes, 1):
            with self._shown(progress) as announce:
                told = numbered(announce, number, count)
                prediction = self.predict(volume, progress=told, **arguments)
            yield prediction

    def plan(self, volume: object, *, threshold: Threshold = None) -> Plan:
        """Estimate what `predict` would cost, by a trial run on a coarsened copy.

            >>> import numpy as np
            >>> import zoo
            >>> model = zoo.create("sparse-completion", backend="torch", device="cpu")
            >>> model.plan(np.pad(np.ones((8, 8, 8), np.uint8), 4)).voxels
            512

        Args:
            volume: as for `predict`.
            threshold: as for `predict`.

        Returns:
            The number of occupied voxels, and the expected seconds and peak of memory in bytes.

        Raises:
            ReadError, VolumeError, BackendError: as for `predict`.
        """
        grid, run = self.task.trial(self, Volume.of(volume), threshold)
        with DeviceMemory(self.device):
            return plan_prediction(
                run, grid, self._finest_channels(), self._is_focused(), self.backend, self.device
            )

    def backend_for(self, grid: Bools) -> Backend:
        """The backend that a volume is labelled with; segmentation alone asks for it.

            >>> import numpy as np
            >>> import zoo
            >>> model = zoo.create("sparse-segmentation", backend="torch", device="cpu")
            >>> model.backend_for(np.ones((8, 8, 8), bool)).name
            'torch'

        Args:
            grid: bool (I, J, K), the occupied voxels on the model's grid.

        Returns:
            The model's own backend; with `backend="auto"`, the one that is faster on so full a
            grid.
        """
        if not self.automatic:
            return self.backend
        share = occupied_share(grid)
        found = select_backend("auto", self.device, share, self._finest_channels())
        return self.backend if found.name == self.backend.name else found

    @property
    def bytes_per_voxel(self) -> int:
        """Bytes that a prediction is expected to need per occupied voxel, whatever the volume."""
        growth = FOCUSED if self._is_focused() else getattr(self.network, "growth", GROWTH)
        return bytes_per_voxel(self._finest_channels(), growth, self.backend)

    def _finest_channels(self) -> int:
        channels: int | tuple[int, ...] = getattr(self.config, "channels", (16,))
        return channels if isinstance(channels, int) else channels[0]

    def _is_focused(self) -> bool:
        return getattr(self.config, "focus", None) is not None

    def _options(self, given: dict[str, Any]) -> Options:
        known = self.task.prediction_options
        if unknown := [name for name in given if name not in known.model_fields]:
            raise ConfigError(
                f"{', '.join(unknown)}: {self.card.name} is a model for {self.card.task}, which"
                f" takes {_options_in_words(known)}; leave out what it does not take"
            )
        options: Options = validate(known, given, source=f"options of {self.card.task}")
        return options

    def _facts(self) -> dict[str, Any]:
        return {
            "model": self.card.name,
            "task": self.card.task,
            "tag": self.card.tag,
            "backend": self.backend.name,
            "device": str(self.device),
            "versions": versions(),
        }

    def __repr__(self) -> str:
        return f"Model({self.card}, {self.backend.name} on {self.device})"

    def _repr_html_(self) -> str:
        """What a notebook shows: a picture and a table of facts, which survive export."""
        return str(registries.showing("html_of")(self))


def _known_of(model: str, weights: str, source: Path | None, volume: Volume) -> Volume:
    """The same volume, which knows where it came from."""
    about = volume.about or About()
    return replace(volume, about=replace(about, model=model, weights=weights, source=source))


def _options_in_words(options: type[Options]) -> str:
    names = ", ".join(name for name in options.model_fields if name not in Options.model_fields)
    return f"only {names}" if names else "no options"
