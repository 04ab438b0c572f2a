"""Predicts the complete shape and the implant for a volume."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.anatomy import CRUMBS, Implant, Threshold, occupied_in, reshaped, selected
from zoo.models import Model, Prediction
from zoo.tasks.completion._ensemble import Member, Output, covers, one_by_one, others_of
from zoo.tasks.completion._options import CompletionOptions
from zoo.tasks.completion._passes import number_of_passes, passes, run
from zoo.tasks.completion._surface import filled, lifted, mean_of
from zoo.tasks.task import Bools, Stage
from zoo.volumes import (
    HALF,
    STEPS,
    About,
    Volume,
    bounds,
    components,
    dice,
    memory_order,
    pooled,
    without_specks,
)

NOTHING = "nothing is missing: the implant is empty"
COMPARED = 6  # passes, to tell the uncertainty
COARSE = 1.0  # mm: on larger voxels, a fringe of one voxel along the rim is taken off an implant
LONG = 1.5  # times as long as it is wide: a voxel that is no cube
FINISHED = 2  # voxels around an implant, so that its surface is closed


def predict(
    model: Model, source: Volume, threshold: Threshold, options: CompletionOptions, stage: Stage
) -> Prediction:
    """Predict the complete volume, and the implant cleaned of specks, on the input's own grid."""
    with stage("conform"):
        others = others_of(model)
        occupied, facts = occupied_in(source, threshold)
        given = source.with_array(occupied)
        members = [Member.of(model, given)]
    with stage("network"):
        outputs = [members[0].predict(options.passes)]
    if others:
        with stage("ensemble"):
            for each in others:  # one after another, which takes less memory
                members.append(Member.of(each, given, members))
                outputs.append(members[-1].predict(options.passes))
    with stage("restore"):
        skull = given.canonical()
        implant_of = _filled if covers(model) else _added
        found, specks = implant_of(outputs, skull)
        networks = {"grid": members[0].resampled.facts(), **_others(members[1:])}
        del outputs
        if not options.uncertainty:
            members.clear()  # whose grids would be kept beside as many new ones
        found, left_out, said = _finished(found, skull, options)
        implant = _whole(found, skull)
        complete = skull.array | implant
        if specks is not None and not options.reshapes:
            if left_out is not None:
                specks = np.greater(specks, _whole(left_out, skull))
            complete |= specks
        volume, added = (
            source.with_array(source.restore(mask).view(np.uint8)) for mask in (complete, implant)
        )
    uncertain: Volume | None = None
    changes: dict[str, Any] = {}
    if options.uncertainty:
        with stage("uncertainty"):
            runs = islice(one_by_one(members), COMPARED)
            alone = (_whole(implant_of([each], skull)[0], skull) for each in runs)
            if left_out is not None and left_out.mask.any():
                apart = _whole(left_out, skull)
                alone = (_without_parts(one, apart, implant) for one in alone)
            shares, changes = uncertainty(alone, implant, skull)
            uncertain = source.with_array(source.restore(shares))
    surface = None
    if found is not None and (found.level is not None or options.edge_length):
        surface = partial(_surface, found, skull, options.edge_length)
    report = {
        "voxels_in": int(np.count_nonzero(occupied)),
        **networks,
        "warnings": [*facts.pop("warnings", []), *said],
        "notes": [] if implant.any() else [NOTHING],
        **({"bone": facts} if facts else {}),
        **({"uncertainty": changes} if changes else {}),
    }
    return Prediction(
        replace(volume, about=About(labels=("completed skull",))),
        replace(added, about=About(labels=("implant",), surface=surface)),
        source.with_array(occupied.view(np.uint8)),
        report,
        uncertainty=uncertain,
    )


Found = tuple[Implant | None, Bools | None]


def _added(outputs: Sequence[Output], skull: Volume) -> Found:
    """The implant from what a network predicts, and everything that is added, specks included."""
    (output,) = outputs
    resampled = output.resampled
    added = np.greater(output.predicted, resampled.array)

    def on_skull(mask: Bools) -> Bools:
        found: Bools = resampled.source.with_array(resampled.back(mask)).canonical().array
        return np.greater(found, skull.array) if resampled.resampled else found

    cleaned = on_skull(without_specks(added))
    implant = None
    if cleaned.any():
        i, j, k = (slice(low, high + 1) for low, high in zip(*bounds(cleaned), strict=True))
        part = cleaned[i, j, k].copy(order="K")
        implant = Implant((i, j, k), part, skull.array[i, j, k], skull.spacing)
    del cleaned  # before another mask is made
    return implant, on_skull(added)


def _filled(outputs: Sequence[Output], skull: Volume) -> Found:
    """The same from coverage, whose surface is finer than its voxels; nothing else is added.

    Voxels of less than half of the skull's largest edge have nothing more to tell: the finer, the
    less their network's output counts.
    """
    grids = [each.resampled for each in outputs]
    spacings = [min(grid.spacing) for grid in grids]
    weights = [min(2 * spacing / max(skull.spacing), 1) for spacing in spacings]
    holes = [
        filled(each.predicted, grid.array, grid.spacing, skull.spacing, skull.shape)
        for each, grid in zip(outputs, grids, strict=True)
    ]
    hole = mean_of(holes, weights)
    if hole is None:
        return None, None
    bone = skull.array[hole.box]
    values = lifted(hole, bone, float(np.prod(skull.spacing)))
    crumb = 1000 * CRUMBS / float(np.prod(skull.spacing))
    mask = without_specks((values > HALF) & ~bone, crumb, share=0)
    if not mask.any():
        return None, None
    # Where a surface runs, coverage falls from 1 to 0 over about two voxels of a network's grid.
    slope = np.average([0.5 / spacing for spacing in spacings], weights=weights)
    level = (values - np.float32(HALF)) / np.float32(slope)
    return Implant(hole.box, mask, bone, skull.spacing, level), None


def _others(members: Sequence[Member]) -> dict[str, Any]:
    """The other models of an ensemble, for a report."""
    cards = [each.model.card for each in members]
    found = [{"name": card.name, "sha256": card.sha256} for card in cards]
    return {"ensemble": found} if found else {}


def _finished(
    found: Implant | None, skull: Volume, options: CompletionOptions
) -> tuple[Implant | None, Implant | None, list[str]]:
    """The implant that is wanted, what is left out, and warnings."""
    if found is None:
        return None, None, []
    place = None
    if options.place is not None:
        x, y, z = np.linalg.solve(skull.affine, [*options.place, 1.0])[:3] + 0.5
        place = (x * skull.spacing[0], y * skull.spacing[1], z * skull.spacing[2])
    wanted, said = selected(found, skull.array, options.region, place, edge=options.edge)
    left_out = replace(found, mask=found.mask & ~wanted.mask)
    if not wanted.mask.any():
        return None, left_out, said
    if options.reshapes or (wanted.level is not None and max(skull.spacing) > COARSE):
        margin = FINISHED + int(np.ceil(options.min_thickness / min(skull.spacing)))
        wanted = reshaped(
            _with_margin(wanted, skull, margin),
            options.clearance,
            options.min_thickness,
            options.smooth,
        )
    return wanted, left_out, said


def _with_margin(implant: Implant, skull: Volume, margin: int) -> Implant:
    """The same with so many more voxels on every side of its mask, as far as the grid goes."""
    low, high = bounds(implant.mask)
    starts = [part.start for part in implant.box]
    first = np.maximum(np.add(starts, low) - margin, 0)
    stop = np.minimum(np.add(starts, high) + 1 + margin, skull.shape)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(first, stop, strict=True))
    inner = tuple(
        (max(part.start - wide.start, 0), max(wide.stop - part.stop, 0))
        for part, wide in zip(implant.box, (i, j, k), strict=True)
    )
    cut = tuple(
        slice(max(wide.start - part.start, 0), wide.stop - part.start)
        for part, wide in zip(implant.box, (i, j, k), strict=True)
    )
    mask = np.pad(implant.mask[cut], inner)
    level = implant.level
    if level is not None:
        level = np.pad(level[cut], inner, constant_values=-min(skull.spacing))
    return Implant((i, j, k), mask, skull.array[i, j, k], skull.spacing, level)


def _whole(implant: Implant | None, skull: Volume) -> Bools:
    """The implant on the whole grid, in the memory order of the skull."""
    axes = memory_order(skull.array)
    # Unlike np.zeros_like, this takes no memory for what stays empty.
    grid = np.zeros(np.take(skull.shape, axes), bool).transpose(np.argsort(axes))
    if implant is not None:
        grid[implant.box] = implant.mask
    return grid


def _without_parts(mask: Bools, left_out: Bools, implant: Bools) -> Bools:
    """A mask without what is left out, and without its components that are only beside that."""
    labels = components(mask)
    beside = np.setdiff1d(labels[left_out], labels[implant])
    return mask & ~left_out & ~np.isin(labels, beside[beside > 0])


def _surface(implant: Implant, skull: Volume, edge_length: float | None) -> Volume:
    """The field of the implant's surface on a part of the skull's grid, or on another one.

    Voxels become cubes if they are longer than they are wide, as those of a scan with thick slices:
    whatever smooths a mesh by parts of a voxel would move its surface by millimetres.
    """
    if not implant.reshaped:
        implant = _with_margin(implant, skull, FINISHED)
    field = implant.level if implant.reshaped else implant.field()
    assert field is not None
    to_index = np.eye(4)
    to_index[:3, 3] = [part.start for part in implant.box]
    found = skull.regrid(field, to_index)
    if edge_length is None:
        edge_length = min(skull.spacing)
        if max(skull.spacing) <= LONG * edge_length:
            return found
    from scipy import ndimage

    steps = [edge_length / length for length in skull.spacing]
    shape = [int(np.floor((n - 1) / step)) + 1 for n, step in zip(field.shape, steps, strict=True)]
    finer = ndimage.affine_transform(field, steps, output_shape=tuple(shape), mode="nearest")
    return found.regrid(finer, np.diag([*steps, 1.0]))


def uncertainty(
    others: Iterable[Bools], implant: Bools, skull: Volume
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """How much an implant changes from pass to pass.

    Args:
        others: bool, on the grid of the skull: what each pass alone makes of it.
        implant: bool, the same: what was predicted.
        skull: the input's mask with axes RAS.

    Returns:
        float32 on that grid, in which share of the passes a voxel is added; and `runs`, their
        number, `dice`, their mean Dice with the implant, and `volume_sd_ml`, the standard deviation
        of their volumes.
    """
    shares = np.zeros(implant.shape, np.float32)
    dices, sizes = [], []
    for other in others:
        shares += other
        dices.append(dice(other, implant))
        sizes.append(int(np.count_nonzero(other)))
    facts = {
        "runs": len(dices),
        "dice": round(float(np.mean(dices)), 3),
        "volume_sd_ml": round(float(np.std(sizes)) * float(np.prod(skull.spacing)) / 1000, 2),
    }
    return shares / np.float32(len(dices)), facts


def trial(
    model: Model, source: Volume, threshold: Threshold
) -> tuple[Bools, Callable[[Bools], object]]:
    """Prepare a trial run; see `Task.trial`."""
    skull = source.with_array(occupied_in(source, threshold)[0])
    grid = Member.of(model, skull).resampled.array
    if not covers(model):
        return grid, partial(run, model)
    models = [model, *others_of(model)]

    def run_all(small: Bools) -> None:
        for each in models:
            factor = round(each.card.input.spacing[0] / model.card.input.spacing[0])
            coarse = pooled(small, factor) if factor > 1 else small
            list(islice(passes(each, coarse * np.uint8(STEPS)), number_of_passes(each, None)))

    return grid > 0, run_all
