"""Models that answer together, and where the surface of an implant runs that they are unsure of."""

import time
from threading import Thread

import numpy as np
import pytest
import torch

import zoo
from zoo.cards import Card, weights_of
from zoo.errors import ConfigError, NotRegistered
from zoo.evaluation import scoring_of
from zoo.models import Model
from zoo.networks import GeneratedCoverage, SparseCompletion
from zoo.networks.generative import GenerativeConfig
from zoo.sparse import select_backend, torch_device
from zoo.tasks._companions import companion
from zoo.tasks.completion import _passes
from zoo.tasks.completion._surface import Hole, filled, lifted, mean_of
from zoo.volumes import HALF, InputContract, Volume, components, dice, resample_coverage
from zoo.volumes.coverage import coverage, from_bytes

SHAPE = (60, 60, 60)  # voxels of 1 mm
CHANNELS = [2, 2, 4, 4]
TWICE = (2.0,) * 3, (1.0,) * 3  # spacing of a network's grid, and of a volume


def shell(middle=23.0, opening=12.0):
    """A hollow ball of 6 mm about that radius, and the same with a round hole in its top."""
    x, y, z = np.meshgrid(*((np.arange(n) + 0.5) - n / 2 for n in SHAPE), indexing="ij")
    whole = np.abs(np.sqrt(x * x + y * y + z * z) - middle) < 3
    whole &= z > -15
    return whole, whole & ~((np.hypot(x, y) < opening) & (z > 0))


def made(name="mine", spacing=2.0, **facts):
    """A model with random weights."""
    torch.manual_seed(0)
    facts = {"input": InputContract.around(spacing, 0.999, 1.001, kind="coverage"), **facts}
    card = Card(
        name=name,
        task="completion",
        architecture="sparse-completion",
        config={"channels": CHANNELS},
        weights={"repo": f"test/{name}", "file": "model.safetensors", "sha256": "0" * 64},
        **facts,
    )
    network = SparseCompletion(GenerativeConfig(channels=CHANNELS))
    place = torch_device("cpu")
    return Model(network, card, select_backend("torch", place), place)


@pytest.fixture
def ensemble(monkeypatch):
    """A model of three, by name, and what is found by each: the truth, unless a test says more."""
    models = {
        name: made(name, spacing, **facts)
        for name, spacing, facts in (
            ("mine", 1.0, {"ensemble": ["coarse", "coarser"]}),
            ("coarse", 2.0, {}),
            ("coarser", 4.0, {}),
        )
    }
    truths = dict.fromkeys(models, shell()[0])

    def cover(model, given, nudge):
        spacing = model.card.input.spacing
        predicted = coverage(truths[model.card.name], (1.0,) * 3, spacing)
        return GeneratedCoverage((0, 0, 0), from_bytes(predicted))

    monkeypatch.setattr(_passes, "cover", cover)
    monkeypatch.setattr("zoo.tasks._companions.load", lambda name, **_: models[name])
    return models["mine"], truths


def volume_of(mask):
    return Volume(mask.astype(np.uint8), np.eye(4))


def test_an_implant_is_that_of_the_mean_on_the_inputs_own_grid(ensemble):
    model, truths = ensemble
    whole, holed = shell()
    prediction = model.predict(volume_of(holed), passes=1)
    assert dice(prediction.implant.array, whole & ~holed) > 0.95
    told = [(each["name"], each["sha256"]) for each in prediction.report["ensemble"]]
    assert told == [("coarse", "0" * 64), ("coarser", "0" * 64)]
    truths["mine"] = holed  # one of three finds no hole: it is outvoted
    outvoted = model.predict(volume_of(holed), passes=1).implant.array
    assert dice(outvoted, whole & ~holed) > 0.75  # thinner
    truths["coarse"] = holed  # and then the last one is
    assert not model.predict(volume_of(holed), passes=1).implant.array.any()


def test_a_mask_is_conformed_once_for_models_of_one_grid(monkeypatch):
    models = {"mine": made(ensemble=["same", "coarse"]), "same": made(), "coarse": made("c", 4.0)}
    monkeypatch.setattr("zoo.tasks._companions.load", lambda name, **_: models[name])
    conformed = []

    def resample(skull, contract):
        conformed.append(contract.spacing[0])
        return resample_coverage(skull, contract)

    monkeypatch.setattr("zoo.tasks.completion._ensemble.resample_coverage", resample)
    models["mine"].predict(volume_of(shell()[1]), passes=1)
    assert conformed == [2.0, 4.0]


def test_a_plan_and_the_uncertainty_are_of_all_models(ensemble, monkeypatch):
    model, truths = ensemble
    whole, holed = shell()
    truths["coarser"] = holed
    prediction = model.predict(volume_of(holed), passes=1, uncertainty=True)
    facts = prediction.report["uncertainty"]
    assert facts["runs"] == 6  # of which one of a model that finds no hole
    top = prediction.uncertainty.array[whole & ~holed]
    assert np.median(top) == pytest.approx(5 / 6)
    ran = []
    cover = _passes.cover
    monkeypatch.setattr(
        _passes, "cover", lambda m, *rest: ran.append(m.card.name) or cover(m, *rest)
    )
    model.plan(volume_of(holed))
    assert set(ran) == {"mine", "coarse", "coarser"}


@pytest.mark.parametrize(
    "other",
    [
        {"input": InputContract.around(2.0, 0.66, 1.34)},
        {"name": "finer", "task": "super-resolution"},
    ],
)
def test_an_ensemble_joins_models_that_complete_coverage(monkeypatch, other):
    models = {"other": made(**other) if "task" not in other else super_resolution()}
    monkeypatch.setattr("zoo.tasks._companions.load", lambda name, **_: models[name])
    with pytest.raises(ConfigError, match=r"mine: wanted `ensemble` to join models .* coverage"):
        made(ensemble=["other"]).predict(volume_of(shell()[1]))


@pytest.mark.parametrize("names", [["mine"], ["other", "other"]])
def test_an_ensemble_names_other_models_each_once(names):
    with pytest.raises(ConfigError, match=r"^mine: wanted `ensemble` to name other models, each"):
        made(ensemble=names).predict(volume_of(shell()[1]))


def test_what_is_wrong_with_an_ensemble_is_said_before_a_network_runs(monkeypatch):
    monkeypatch.setattr(_passes, "cover", None)
    with pytest.raises(NotRegistered, match=r"^mine, whose `ensemble` names nowhere: unknown"):
        made(ensemble=["nowhere"]).predict(volume_of(shell()[1]))


@pytest.mark.parametrize("local", [True, False])
def test_companions_are_loaded_once_and_without_the_network_where_the_model_was(monkeypatch, local):
    asked = []

    def load(name, **options):
        time.sleep(0.1)
        asked.append(options["local_files_only"])
        return made(name)

    monkeypatch.setattr("zoo.tasks._companions.load", load)
    model = made(ensemble=["other"])
    model.local_files_only = local
    threads = [Thread(target=companion, args=(model, "other")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [local]


def test_a_report_names_all_models_also_those_of_one_name(monkeypatch):
    """As folds of one training have it."""
    models = {name: made("fold") for name in ("one", "two")}
    monkeypatch.setattr("zoo.tasks._companions.load", lambda name, **_: models[name])
    report = made(ensemble=["one", "two"]).predict(volume_of(shell()[1]), passes=1).report
    assert [each["name"] for each in report["ensemble"]] == ["fold", "fold"]


def test_an_ensembles_weights_are_those_of_all_its_models():
    card = zoo.info("skull-completion-256.skullfix")
    own, fewer = (card.model_copy(update={"ensemble": e}) for e in ((), card.ensemble[:1]))
    assert weights_of(own) == card.weights.sha256
    assert len({weights_of(each) for each in (card, own, fewer)}) == 3
    chosen, _ = scoring_of(card, {})
    assert chosen.weights == weights_of(card)  # so a resumed evaluation is of all of them


def super_resolution():
    from zoo.models import create

    return create("sparse-super-resolution", {"channels": CHANNELS}, backend="torch", device="cpu")


def test_a_mean_counts_those_that_found_nothing():
    ones = np.ones((2, 1, 1), np.float32)
    one = Hole((slice(0, 2), slice(0, 1), slice(3, 4)), ones, 0.4 * ones, 4.0)
    box, values, given, volume = mean_of([None, one], [3, 1])
    assert box == one.box and volume == 1.0
    assert (values == 0.25).all() and given == pytest.approx(0.1)
    assert mean_of([one], [0.5]) is one
    assert mean_of([None, None], [1, 1]) is None


def test_the_thicker_the_slices_the_less_a_fine_grid_counts(ensemble):
    model, truths = ensemble
    whole, holed = shell()
    kept = []
    for slices in (1, 6):
        thick = Volume(holed[:, :, ::slices].astype(np.uint8), np.diag([1.0, 1, slices, 1]))
        sizes = []
        for truths["mine"] in (whole, holed):  # then it finds nothing missing
            sizes.append(np.count_nonzero(model.predict(thick, passes=1).implant.array))
        kept.append(sizes[1] / sizes[0])
    assert 0.5 < kept[0] < kept[1] - 0.05 < 1


PROFILE = [0, 0.15, 0.3, 0.39, 0.45, 0.51, 0.45, 0.38, 0.3, 0.15, 0]  # 3 mm somewhere in 9


def uncertain(profile=PROFILE, volume=None):
    """Coverage along the first axis, of voxels of 2 mm3, none of which is given."""
    values = np.repeat(np.array(profile, np.float32), 4).reshape(-1, 2, 2)
    box = tuple(slice(0, n) for n in values.shape)
    return Hole(box, values, np.zeros_like(values), 2 * values.sum() if volume is None else volume)


def layers(values):
    """The numbers of the layers that lie within."""
    within = values > HALF
    assert (within == within[:, :1, :1]).all()
    return np.flatnonzero(within[:, 0, 0]).tolist()


def test_bone_that_may_lie_here_or_there_has_its_volume_all_the_same():
    hole = uncertain()
    nothing = np.zeros(hole.values.shape, bool)
    assert layers(hole.values) == [5]
    assert layers(lifted(hole, nothing, 2.0)) == [4, 5, 6]
    twice = lifted(uncertain(volume=1e6), nothing, 2.0)  # at most
    assert layers(twice) == [2, 3, 4, 5, 6, 7, 8]
    enough = uncertain(volume=8.0)
    assert lifted(enough, nothing, 2.0) is enough.values
    sure = uncertain([0, 1, 1, 0.1, 0])
    assert lifted(sure._replace(volume=16.0), nothing[:5], 2.0) is sure.values
    bone = nothing.copy()
    bone[4] = True  # is no implant, and so something else is
    assert layers(lifted(hole, bone, 2.0) * ~bone) == [3, 5, 6]


def test_no_surface_of_the_bone_moves_where_nothing_is_added():
    """The input's own coverage, below one half just outside of it, is not lifted."""
    hole = uncertain()
    hole.given[1], hole.values[1] = 0.4, 0.4
    assert layers(lifted(hole, np.zeros(hole.values.shape, bool), 2.0)) == [4, 5, 6]


def test_what_is_above_one_half_nowhere_is_no_hole():
    hole = uncertain([0, 0.4, 0.6, 0.4, 0, 0, 0.4, 0.4, 0], volume=1e6)
    assert layers(lifted(hole, np.zeros(hole.values.shape, bool), 2.0)) == [1, 2, 3]


def test_uncertain_bone_is_filled_where_a_fixed_level_would_leave_a_hole_thin(monkeypatch):
    """Answers some mm farther in and farther out are about as thick together as each alone."""
    model = made(spacing=1.0)
    _, holed = shell()
    places = np.arange(15, 32, 0.2)
    implants = [whole & ~rest for whole, rest in map(shell, places)]
    mean = np.average(implants, axis=0, weights=np.exp(-0.5 * ((places - 23) / 4) ** 2))
    mean = np.where(holed, np.float32(1), mean.astype(np.float32))
    monkeypatch.setattr(_passes, "cover", lambda *_: GeneratedCoverage((0, 0, 0), mean))
    added = int(np.count_nonzero(model.predict(volume_of(holed), passes=1).implant.array))
    expected = float((mean - holed).sum())
    above = np.count_nonzero((mean > HALF) & ~holed)
    assert 1.05 * above < added < expected


def test_what_is_expected_is_counted_where_there_are_holes():
    """Two holes on a grid of 2 mm, and between them coverage that adds up to as much again."""
    given = np.zeros((60, 20, 20), np.uint8)
    added = np.zeros(given.shape, np.float32)
    added[4:10, 4:10, 4:10] = added[50:56, 10:16, 10:16] = 1
    alone = filled(GeneratedCoverage((0, 0, 0), added), given, *TWICE, (120, 40, 40))
    assert alone.volume == 2 * 6**3 * 8
    added[20:40] = 0.1  # a network's inaccuracy, nowhere a hole
    both = filled(GeneratedCoverage((0, 0, 0), added), given, *TWICE, (120, 40, 40))
    assert both.volume == alone.volume and (both.values == alone.values).all()


def test_crumbs_beside_an_implant_are_no_part_of_it(ensemble, monkeypatch):
    _, truths = ensemble
    whole, holed = shell()
    truths["mine"] = whole.copy()
    truths["mine"][28:31, 28:31, 47:49] = True  # 18 mm3, 1 mm below the bone that is missing
    implants = []
    for crumbs in (0.05, 0):
        monkeypatch.setattr("zoo.tasks.completion._prediction.CRUMBS", crumbs)
        implants.append(made("mine", 1.0).predict(volume_of(holed), passes=1).implant.array)
    assert [components(implant).max() for implant in implants] == [1, 2]
    assert dice(implants[0], whole & ~holed) > 0.95
