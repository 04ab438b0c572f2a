"""The generative backbone: a sparse autoencoder whose decoder generates and prunes voxels.

Completion and super-resolution use it. It follows Li et al., "Sparse convolutional neural
network for high-resolution skull shape completion and shape super-resolution", Scientific Reports
13:20229 (2023), Table 1.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from torch import Tensor, nn

from zoo import sparse
from zoo.errors import ConfigError
from zoo.networks.heads import OccupancyHead, head_of_kind
from zoo.networks.layers import Convolution, GenerativeTransposedConvolution, Residual, Unit
from zoo.networks.symmetry import mirror_image
from zoo.sparse import Index, SparseTensor

Channels = Annotated[int, Field(ge=1, le=4096)]
Blocks = Annotated[int, Field(ge=0, le=64)]
KEPT = 1.5  # how many standard deviations below a feature's mean ReLU keeps, in a new level
LOGIT, SPREAD = 4.0, 4.0  # mean and standard deviation of coverage's logits, roughly


class GenerativeConfig(BaseModel):
    """Config of a `GenerativeNetwork`.

    Attributes:
        channels: features per voxel at tensor strides 1, 2, 4, ..., one number per level. The paper
            has 7 levels whatever the grid; one more for every doubling of the resolution keeps the
            deepest level equally coarse.
        thresholds: logits above which voxels are kept, at tensor strides 1, 2, 4, ... except the
            last; 0 each if left out.
        residuals: numbers of residual blocks in the decoder, at tensor strides 1, 2, 4, ... except
            the last; none if left out, as in the paper. They extend a surface from the edge of a
            hole across it; holes that are several voxels wide need some.
        head: name in the heads registry; the head decides which voxels are kept.
        focus: level, counted from the finest, from which on the decoder only goes on where it finds
            that something is missing, and around that; None: everywhere. It saves most of the work
            where most of the shape is there already.
        focus_threshold: logit above which it does.
        mirror: level, counted from the finest, at which the encoder also gets the mirror image of
            its input, left for right: what is missing on one side may be there on the other. None:
            it does not. The input then has to be coverage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Annotated[tuple[Channels, ...], Field(min_length=4, max_length=12)] = (
        *(8, 8, 16, 16, 32, 32, 64),
    )
    thresholds: Annotated[tuple[float, ...], Field(validate_default=True)] = ()
    residuals: Annotated[tuple[Blocks, ...], Field(validate_default=True)] = ()
    head: str = "occupancy"
    focus: Annotated[int, Field(ge=1)] | None = None
    focus_threshold: float = -2.0
    mirror: Annotated[int, Field(ge=0)] | None = None

    @field_validator("thresholds", "residuals")
    @classmethod
    def _one_per_level(cls, numbers: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        if "channels" not in info.data:
            return numbers  # invalid itself
        wanted = len(info.data["channels"]) - 1
        if numbers and len(numbers) != wanted:
            raise ValueError(f"wanted {wanted} numbers, one for every level but the coarsest")
        return numbers or (0,) * wanted

    @model_validator(mode="after")
    def _focus_and_mirror_are_decoder_levels(self) -> GenerativeConfig:
        if self.focus is not None and self.focus > len(self.channels) - 2:
            raise ValueError(f"focus: wanted a level from 1 to {len(self.channels) - 2}")
        if self.mirror is not None and self.mirror > len(self.channels) - 2:
            raise ValueError(f"mirror: wanted a level from 0 to {len(self.channels) - 2}")
        return self


@dataclass(frozen=True)
class LevelOutput:
    """One decoder level before pruning.

    Attributes:
        stride: tensor stride of the level.
        logits: (N,), the occupancy logit of every voxel.
        target: (N,) bool, whether the target, coarsened to this stride, contains the voxel; None if
            no target was given.
    """

    stride: int
    logits: Tensor
    target: Tensor | None


@dataclass(frozen=True)
class GenerativeOutput:
    """The output of a `GenerativeNetwork`.

    Attributes:
        occupancy: the voxels that are left at tensor stride 1, with probabilities (N, 1).
        levels: the decoder's levels, from coarse to fine.
        candidates: the voxels at tensor stride 1 before pruning, with the logits (N, 1) of these
            probabilities; None if no target was given.
        focus: where the decoder finds that something is missing, as a level with logits and, if a
            zone was given, targets; None for a network without a focus.
    """

    occupancy: SparseTensor
    levels: tuple[LevelOutput, ...]
    candidates: SparseTensor | None = None
    focus: LevelOutput | None = None


class GenerativeNetwork(nn.Module):
    """An encoder and a generative decoder, which classifies and prunes voxels at every level.

    Attributes:
        config: the config that it was made from.
        levels: number of levels, which have tensor strides 1, 2, ... 2 ** (levels - 1).
        cell: input voxels along an edge of a voxel of the coarsest level.
    """

    config_class = GenerativeConfig

    def __init__(self, config: GenerativeConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.levels, self.cell = len(c), 2 ** (len(c) - 1)
        self.encoder = nn.ModuleList([Unit(Convolution(1, c[0], 3))])
        for level in range(1, self.levels):
            down = Unit(Convolution(c[level - 1], c[level], 2, stride=2))
            self.encoder.append(nn.Sequential(down, Unit(Convolution(c[level], c[level], 3))))
        head = head_of_kind(config.head, "occupancy")
        self.decoder = nn.ModuleList()
        self.residuals = nn.ModuleList()
        self.heads = nn.ModuleList()
        for level in range(self.levels - 1):
            size = 4 if level == self.levels - 2 else 2
            up = Unit(GenerativeTransposedConvolution(c[level + 1], c[level], size))
            self.decoder.append(nn.Sequential(up, Unit(Convolution(c[level], c[level], 3))))
            blocks = (Residual(c[level]) for _ in range(config.residuals[level]))
            self.residuals.append(nn.Sequential(*blocks))
            self.heads.append(head(c[level], config.thresholds[level]))
        self.output = Convolution(c[0], 1, 1, bias=True)
        if config.focus is not None:
            self.focus = head(c[config.focus], config.focus_threshold)
        if config.mirror is not None:
            self.mirror = Unit(Convolution(1, c[config.mirror], 3))

    def forward(
        self,
        x: SparseTensor,
        target: Index | None = None,
        *,
        forced: bool = True,
        zone: Index | None = None,
    ) -> GenerativeOutput:
        """Predict shapes for a batch of shapes.

        Args:
            x: features (N, 1) at tensor stride 1: coverage, or all of them 1.
            target: the voxels that should be predicted, for training. If given, every level also
                reports which of its voxels the target contains.
            forced: whether voxels of the target survive pruning whatever their logit, above tensor
                stride 1. With a zone, the decoder then goes on in all of it, and others survive if
                their logit is above 0, whatever the threshold.
            zone: the voxels around what is missing, at the tensor stride of the focus, for training
                a network that has one.

        Returns:
            The occupied voxels at tensor stride 1, and the decoder's levels before pruning.
        """
        skips: list[SparseTensor] = []
        mirror = self.config.mirror
        image = None if mirror is None else mirror_image(x, mirror)
        for level, block in enumerate(self.encoder):
            x = block(x)
            if level == mirror and image is not None:
                x = sparse.add(x, self.mirror(image))
            skips.append(x)
        skips.pop()
        targets = _pyramid(target, self.levels - 1)
        levels: list[LevelOutput] = []
        candidates: SparseTensor | None = None
        focus: LevelOutput | None = None
        for level in reversed(range(self.levels - 1)):
            x, skip = self.decoder[level](x), skips.pop()
            x = sparse.add(x, sparse.at(skip, x.index) if focus else skip, overwrite=True)
            x = self.residuals[level](x)
            logits, keep = self.heads[level](x)
            wanted = sparse.contains(x.index, targets[level]) if targets else None
            if wanted is not None and forced and level > 0:
                keep = wanted | (keep if zone is None else logits > 0)
            levels.append(LevelOutput(x.stride, logits, wanted))
            if level == self.config.focus:
                focus, near = self._focus(x, zone)
                keep = keep & (near if focus.target is None or not forced else focus.target)
            if targets and level == 0:
                candidates = self.output(x)
            x = sparse.prune(x, keep)
        y: SparseTensor = self.output(x)
        occupancy = y.with_features(torch.sigmoid(y.features))
        return GenerativeOutput(occupancy, tuple(levels), candidates, focus)

    def _focus(self, x: SparseTensor, zone: Index | None) -> tuple[LevelOutput, Tensor]:
        """The logits of where something is missing, and bool (N,), where they are high enough."""
        logits, near = self.focus(x)
        wanted = None if zone is None else sparse.contains(x.index, zone)
        return LevelOutput(x.stride, logits, wanted), near

    @torch.no_grad()
    def start_from(
        self,
        smaller: GenerativeNetwork,
        *,
        pass_on: bool = False,
        coverage: SparseTensor | None = None,
    ) -> list[str]:
        """Take over the weights of a network for a coarser grid, or of one with fewer channels.

        Its levels become the coarsest levels of this one. At first, its first convolution sees a
        channel of ones, as in its training, whatever the finer levels in front of it compute, and
        additional channels of a level have no effect on those that were taken over.

        Args:
            smaller: the network to start from.
            pass_on: whether new, finer levels of the decoder start by passing the features of
                every voxel on to its children, rather than with random weights. A level learns to
                refine what it is given in fewer steps than it learns to copy it. With coverage,
                they pass its logit on as well.
            coverage: an input whose features (N, 1) are coverage, for a network that gets it. Then
                the first convolution sees the mean coverage of the finer voxels at first, instead
                of ones; the input says how it is distributed.

        Returns:
            The names of the submodules that were taken over.

        Raises:
            ConfigError: this network has fewer levels, or a level of it has fewer channels or
                residual blocks.
        """
        added = self.levels - smaller.levels
        for name in ("channels", "residuals"):
            own, others = getattr(self.config, name), getattr(smaller.config, name)
            if added < 0 or any(map(operator.lt, own[added:], others)):
                raise ConfigError(
                    f"{name}: wanted any numbers for finer levels, then at least {others},"
                    f" those of the network to start from; got {own}"
                )
        taken = {f"encoder.{added + n}": smaller.encoder[n] for n in range(1, smaller.levels)}
        taken |= {f"decoder.{added + n}": block for n, block in enumerate(smaller.decoder)}
        for level, blocks in enumerate(smaller.residuals, added):
            taken |= {f"residuals.{level}.{n}": block for n, block in blocks.named_children()}
        taken |= {f"heads.{added + n}": head for n, head in enumerate(smaller.heads)}
        first = f"encoder.{added}.1" if added else "encoder.0"
        taken[first] = smaller.encoder[0]
        if not added:
            taken["output"] = smaller.output
        if smaller.config.focus is not None and self.config.focus == smaller.config.focus + added:
            taken["focus"] = smaller.focus
        if (
            smaller.config.mirror is not None
            and self.config.mirror == smaller.config.mirror + added
        ):
            taken["mirror"] = smaller.mirror
        for name, block in taken.items():
            _take_over(self.get_submodule(name), block)
        if added and coverage is not None:
            front = [unit for unit in self.encoder[: added + 1].modules() if isinstance(unit, Unit)]
            for unit in front[:-1]:  # the last one is the smaller network's first
                coverage = _average(unit, coverage)
        elif added:
            self.get_parameter(f"encoder.{added}.0.norm.weight")[0] = 0
            self.get_parameter(f"encoder.{added}.0.norm.bias")[0] = 1
        for level in range(added if pass_on else 0):
            for unit in self.decoder[level]:  # type: ignore[attr-defined]
                _keep_features(unit)
        if added and pass_on and coverage is not None:
            self._pass_logits_on(smaller, added)
        return list(taken)

    def _pass_logits_on(self, smaller: GenerativeNetwork, added: int) -> None:
        """Let new levels predict the smaller network's coverage for all children of a voxel.

        The first feature that they pass on is its logit, which their heads and the output read.
        """
        for level in range(added):
            for unit in self.decoder[level]:  # type: ignore[attr-defined]
                _pass_first(unit.convolution.kernel)
        up = self.decoder[added - 1][0].convolution.kernel  # type: ignore[index]
        up[:, : smaller.config.channels[0], 0] = smaller.output.kernel[0, :, 0]
        heads = (head.classifier for head in self.heads[:added] if isinstance(head, OccupancyHead))
        for reader in (self.output, *heads):
            assert reader.bias is not None
            reader.kernel.zero_()
            reader.kernel[0, 0, 0] = SPREAD
            reader.bias.fill_(LOGIT - KEPT * SPREAD)  # as BatchNorm leaves KEPT as the mean


def _average(unit: Unit, coverage: SparseTensor) -> SparseTensor:
    """Let a unit's first feature be the mean of the first one over the voxels that it covers.

    Returns:
        The unit's output for the coverage (N, C), of which the first feature is coverage again.
    """
    _pass_first(unit.convolution.kernel, share=1 / 8)
    means: SparseTensor = unit.convolution(coverage)
    deviation, mean = torch.std_mean(means.features[:, 0], correction=0)
    unit.norm.weight[0], unit.norm.bias[0] = deviation, mean  # which normalising takes away
    return means


def _pass_first(kernel: Tensor, share: float = 1) -> None:
    """Let the first feature of a kernel (K, C_in, C_out) be the first one that it gets.

    An odd kernel takes it from the same voxel; an even one, of stride 2, sums `share` of it over
    the voxels that it joins, or gives that to all that it generates.
    """
    kernel[:, :, 0] = 0
    if len(kernel) % 2:
        kernel[len(kernel) // 2, 0, 0] = 1
    else:
        kernel[:, 0, 0] = share


def _keep_features(unit: Unit) -> None:
    """Initialise a unit to pass its features on, to the same voxel or to all of its children."""
    kernel = unit.convolution.kernel
    same = torch.eye(*kernel.shape[1:], device=kernel.device)
    if isinstance(unit.convolution, GenerativeTransposedConvolution):
        kernel.copy_(same.expand_as(kernel))
    else:
        kernel[len(kernel) // 2] += same
    unit.norm.bias.fill_(KEPT)  # so that ReLU cuts off little of the normalised features


def _take_over(larger: nn.Module, smaller: nn.Module) -> None:
    """Make the first channels of a module compute what a smaller module computes."""
    tensors = larger.state_dict()
    for name, value in smaller.state_dict().items():
        tensor = tensors[name]
        if tensor.ndim == 3:  # a kernel (K, C_in, C_out)
            tensor[:, :, : value.shape[2]] = 0
        tensor[tuple(map(slice, value.shape))] = value


def _pyramid(target: Index | None, levels: int) -> list[Index]:
    """The target at tensor strides 1, 2, ..., one per level; empty if there is no target."""
    if target is None:
        return []
    pyramid = [target]
    for _ in range(levels - 1):
        pyramid.append(sparse.coarsen(pyramid[-1]))
    return pyramid
