"""The training loop."""

from __future__ import annotations

import math
import re
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.errors import ConfigError, ZooError
from zoo.networks import coarsest_voxel
from zoo.sparse import Backend, SparseTensor
from zoo.training._batches import Batches, Samples, batches
from zoo.training._checkpoint import load_checkpoint, load_tensors, save_checkpoint, save_tensors
from zoo.training._initial import (
    SeesIntensities,
    inverted_if_better,
    make_network,
    take_over_initial,
)
from zoo.training._log import append_log, draw_curve
from zoo.training._muon import Muon, is_hidden
from zoo.training._processes import check_shares, uses_bfloat16
from zoo.training.config import TrainingConfig
from zoo.training.losses import Supervised
from zoo.training.samples import Batch
from zoo.training.task import CountsCases, Scores, Training, training_class

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT = "checkpoint.safetensors"
SAVED_EVERY = 60.0  # seconds: what a run that is killed loses, at most, and the step it is in
BEST = "best.safetensors"
LOG = "log.csv"
CURVE = "curve.png"
CACHE = "cache"
LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|socket|peer", re.IGNORECASE)


@dataclass(frozen=True)
class Finished:
    """The outcome of a run.

    Attributes:
        network: the network to export.
        step: the number of steps after which its weights were averaged.
        scores: its validation scores.
    """

    network: nn.Module
    step: int
    scores: Scores


class Trainer:
    """Trains one network; `run` continues from the current state.

    If there are several processes, each computes its share of every batch and of every validation,
    and only the main one writes files and finishes.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        backend: Backend,
        device: torch.device,
        accelerator: Accelerator,
        cache: Path | None = None,
    ) -> None:
        self.config, self.folder, self.backend, self.device = config, folder, backend, device
        self.accelerator = accelerator
        mixed = uses_bfloat16(config, accelerator.mixed_precision, backend)
        check_shares(config, accelerator.num_processes)
        self.step = 0
        self.losses: list[float] = []  # of the steps since the last line of the log
        self.network = make_network(config).to(device)
        self.task = make_training(config, cache or folder / CACHE, coarsest_voxel(self.network))
        self.taken_over = take_over_initial(self.network, config, lambda: self._first()[0])
        self.samples = Samples(self.task)
        average = get_ema_multi_avg_fn(config.average)
        self.average = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
        self.optimizer = self._make_optimizer()
        supervised = Supervised(self.network, self.task, mixed=mixed)
        self.supervised = accelerator.prepare_model(supervised, device_placement=False)
        self.best = -1.0  # the best value so far of the score that decides
        self.stage: Callable[[str, int, int], None] = unseen  # see `Progress.stage`

    def _first(self) -> tuple[SparseTensor, Any]:
        """The input of the first sample, and its target."""
        source, target = self.task.sample(0)
        return self.task.tensors(([source], [target]), self.backend, self.device)

    def _fit_contrast(self) -> None:
        """Begin with the contrast that fits the data, where weights were taken over."""
        if not isinstance(self.network, SeesIntensities):
            return
        x, target = self._first()

        def loss(network: nn.Module) -> Tensor:
            return self.task.loss(network, x, target, forced=True)

        if inverted_if_better(self.network, loss):
            self.stage(f"beginning with the contrast of {self.config.initial} inverted", 0, 0)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        """An optimiser with groups of new parameters and those taken over, whose rates differ."""
        muon = self.config.optimizer == "muon"
        rates = {False: 1.0, True: self.config.initial_rate}
        taken = tuple(f"{name}." for name in self.taken_over)
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = defaultdict(list)
        for name, parameter in self.network.named_parameters():
            groups[name.startswith(taken), muon and is_hidden(parameter)].append(parameter)
        made = [
            {"params": groups[old, hidden], "rate": rates[old], "hidden": hidden}
            for old, hidden in sorted(groups)
        ]
        return Muon(made) if muon else torch.optim.Adam(made, amsgrad=True)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The modules whose state goes into a checkpoint."""
        return {"network": self.network, "average": self.average}

    def resume(self) -> None:
        """Restore the checkpoint in the folder."""
        path = self.folder / CHECKPOINT
        self.step, self.losses = load_checkpoint(path, self.config, self.modules, self.optimizer)
        if (self.folder / BEST).exists():
            self.best = float(load_tensors(self.folder / BEST)[1]["score"])

    def run(self, workers: int, on_step: Callable[[int, float], None]) -> None:
        """Train to the last step; every validation writes a log line, a curve and a checkpoint.

        There is a new checkpoint every minute besides. A single process that is asked to stop, by
        Ctrl-C or SIGTERM, completes the step, writes one, and raises KeyboardInterrupt.
        """
        if self.config.initial and not self.step:
            self._fit_contrast()
        started = saved = perf_counter()
        alone = self.accelerator.num_processes == 1
        steps = range(self.step, self.config.steps)
        with stopping(enabled=alone) as stop, closing(self.batches(steps, workers)) as made:
            try:
                for passes in made:
                    self.losses.append(self.update(passes))
                    on_step(self.step, self.losses[-1])
                    every = self.config.validate_every
                    if self.step % every == 0 or self.step == self.config.steps:
                        scores = self.validate()
                        if self.accelerator.is_main_process:
                            seconds = perf_counter() - started
                            self._record(float(np.mean(self.losses)), seconds, scores)
                        self.accelerator.wait_for_everyone()
                        started, self.losses = perf_counter(), []
                        saved = started
                    elif perf_counter() - saved > SAVED_EVERY and self.accelerator.is_main_process:
                        self._save()
                        saved = perf_counter()
                    if stop.asked:
                        break
            except RuntimeError as error:
                if lost := self._lost(error):
                    raise lost from error
                raise
            if stop.asked and self.step < self.config.steps:
                self._save()
                raise KeyboardInterrupt

    def update(self, passes: list[Batch]) -> float:
        """Make one optimiser step on the passes of a batch, and return their mean loss."""
        self._set_training(self.network)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step) * group["rate"]
        self.optimizer.zero_grad()
        # Gradients are averaged over the processes once, in the last pass.
        *others, last = passes
        losses = []
        for batch in others:
            with self.accelerator.no_sync(self.supervised):
                losses.append(self._differentiate(batch))
        losses.append(self._differentiate(last))
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return sum(losses) / len(losses)

    def _differentiate(self, batch: Batch) -> float:
        """Add the gradients of a pass, and return its loss, averaged over processes."""
        x, target = self.task.tensors(batch, self.backend, self.device)
        forced = self.step < self.config.forcing * self.config.steps
        loss = self.supervised(x, target, forced=forced)
        mean = float(self.accelerator.reduce(loss.detach(), "mean"))
        if not math.isfinite(mean):
            self._stop(batch, loss.item(), mean)
        (loss / self.config.accumulate).backward()
        return mean

    def _stop(self, batch: Batch, loss: float, mean: float) -> None:
        """Raise in every process; a process whose own loss is not finite saves its batch."""
        detail = "it happened in another process"
        if not math.isfinite(loss):
            name = f"not-finite-step{self.step + 1}-process{self.accelerator.process_index}"
            path = self.folder / f"{name}.safetensors"
            tensors = {
                f"{part}/{number}/{name}": value
                for part, items in zip(("input", "target"), batch, strict=True)
                for number, item in enumerate(items)
                for name, value in item.tensors().items()
            }
            save_tensors(path, tensors, {"step": str(self.step + 1)})
            detail = f"the batch is saved in {path}"
        raise ConfigError(
            f"the loss became {mean} at step {self.step + 1}: lower learning_rate; {detail},"
            f" and any checkpoint in {self.folder} is kept"
        )

    def _lost(self, error: RuntimeError) -> ZooError | None:
        """What to say if another process of the run has ended; None of anything else."""
        if self.accelerator.num_processes == 1 or not LOST.search(str(error)):
            return None
        return ZooError(
            f"another process of this run has ended, during step {self.step + 1}: its own output"
            f" says why; start all {self.accelerator.num_processes} again with --resume"
        )

    def _record(self, loss: float, seconds: float, scores: Scores) -> None:
        rate = learning_rate(self.config, self.step)
        line = {"step": self.step, "loss": loss, "learning_rate": rate, "seconds": seconds}
        append_log(self.folder / LOG, line | scores)
        draw_curve(self.folder / LOG, self.folder / CURVE)
        if decisive(scores) >= self.best:
            self.best = decisive(scores)
            facts = {"step": str(self.step), "score": repr(self.best)}
            save_tensors(self.folder / BEST, self.average.module.state_dict(), facts)
        self.losses = []
        self._save()

    def _save(self) -> None:
        path = self.folder / CHECKPOINT
        losses = self.losses
        save_checkpoint(path, self.config, self.step, self.modules, self.optimizer, losses)

    def validate(self) -> Scores:
        """Score the averaged network on cases that are not trained on.

        Several processes score their shares of the cases, with the weights of the main one, if the
        task can share them; if not, the main one scores all, and the others have no scores.
        """
        network, task = self.average.module.eval(), self.task
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        if processes == 1:
            return self._score(network)
        if not isinstance(task, CountsCases):
            return self._score(network) if self.accelerator.is_main_process else {}
        for tensor in network.state_dict().values():  # BatchNorm's statistics differ
            torch.distributed.broadcast(tensor, 0)
        with task.sharing(process, processes):
            return self._score(network)

    def finish(self, workers: int) -> Finished:
        """Return the last averaged network or, if the config says so, a better one before it.

        BatchNorm statistics, if any, are computed anew for both, pruning without a target: training
        prunes with the target's help, so its statistics are not those that a prediction sees.
        """
        last = self._measured(self.average.module.state_dict(), self.config.steps, workers)
        if self.config.keep == "last" or not (self.folder / BEST).exists():
            return last
        tensors, facts = load_tensors(self.folder / BEST)
        if int(facts["step"]) == self.config.steps:
            return last
        best = self._measured(tensors, int(facts["step"]), workers)
        return max(last, best, key=lambda finished: decisive(finished.scores))

    @torch.no_grad()
    def _measured(self, state: dict[str, torch.Tensor], step: int, workers: int) -> Finished:
        network: nn.Module = deepcopy(self.average.module)
        network.load_state_dict(state)
        taken = [network.get_submodule(name) for name in self.taken_over]
        kept = {norm for part in taken for norm in batch_norms(part)}
        norms = [norm for norm in batch_norms(network) if norm not in kept]
        if not norms:
            return Finished(network, step, self._score(network.eval()))
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a mean over all batches
        self._set_training(network)
        name, total = f"averaging statistics of step {step}", self.config.statistics_batches
        self.stage(name, 0, total)
        for done, x in enumerate(self._inputs(workers), 1):
            network(x)
            self.stage(name, done, total)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return Finished(network, step, self._score(network.eval()))

    def _set_training(self, network: nn.Module) -> None:
        """Set training mode, except where BatchNorm statistics are kept."""
        network.train()
        for name in self.taken_over:
            network.get_submodule(name).eval()

    def _score(self, network: nn.Module) -> Scores:
        told = partial(self.stage, "validating")
        told(0, 0)
        task = self.task
        with task.telling(told) if isinstance(task, CountsCases) else nullcontext():
            return task.score(network, self.backend, self.device)

    def _inputs(self, workers: int) -> Iterator[SparseTensor]:
        first = self.config.steps
        steps = range(first, first + self.config.statistics_batches)
        for passes in batches(self.samples, self.config, steps, workers):
            for batch in passes:
                yield self.task.tensors(batch, self.backend, self.device)[0]

    def batches(self, steps: range, workers: int) -> Batches:
        """The passes of this process in each of the steps; see `train` for `workers`."""
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        return batches(
            self.samples, self.config, steps, workers, process=process, processes=processes
        )


def unseen(name: str, done: int, total: int) -> None:
    """Shows no stage."""


class Stop:
    """Whether a run was asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: object) -> None:
        if self.asked and number == signal.SIGINT:  # for the second time
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stopping(*, enabled: bool) -> Iterator[Stop]:
    """Remember Ctrl-C and SIGTERM instead of obeying at once, in the main thread of a process."""
    stop = Stop()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def make_training(config: TrainingConfig, cache: Path, cell: int) -> Training:
    """Make the training of a config's architecture; see `Training` for `cache` and `cell`."""
    return training_class(config.architecture)(config, cache, cell)


def decisive(scores: Scores) -> float:
    """The score that decides which weights are the best."""
    return next(iter(scores.values()))


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to zero."""
    warm = config.warmup * config.steps
    if step < warm:
        return config.learning_rate * (step + 1) / (warm + 1)
    progress = (step - warm) / max(config.steps - warm, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
