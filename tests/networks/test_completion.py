"""The network of the paper."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from zoo import registries
from zoo.errors import ConfigError
from zoo.networks.completion import SparseCompletion
from zoo.networks.generative import GenerativeConfig
from zoo.sparse import SparseTensor
from zoo.training.losses import coverage_loss, deep_supervision, occupancy_loss

PAPER = {
    (22, 32, 32, 128, 156, 256, 388): 18_137_201,
    (8, 8, 16, 16, 32, 32, 64): 434_695,
    (2, 2, 4, 4, 4, 4, 16): 16_563,
}
SMALL = GenerativeConfig(channels=(2, 2, 4, 4, 4, 4, 16))


def shell(radius, middle=20):
    """Coordinates (N, 3) of a hollow sphere, and of the same with a hole."""
    grid = np.indices((2 * middle,) * 3) - middle
    distance = np.sqrt((grid**2).sum(0))
    whole = (distance < radius) & (distance > radius - 2.5)
    holed = whole & ~((grid[0] > 0) & (np.abs(grid[1]) < 5) & (np.abs(grid[2]) < 5))
    return torch.tensor(np.argwhere(holed)), torch.tensor(np.argwhere(whole))


def inputs(backend, dtype=torch.float64):
    pairs = [shell(14), shell(17)]
    x, target = (
        SparseTensor.from_coordinates([pair[part] for pair in pairs], backend=backend)
        for part in (0, 1)
    )
    return x.with_features(x.features.to(dtype)), target.index


def network(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    made = SparseCompletion(SMALL).to(dtype)
    for head in made.heads:  # as initialised, no logit depends on the input
        torch.nn.init.normal_(head.classifier.kernel)
    return made


@pytest.mark.parametrize(("channels", "count"), PAPER.items())
def test_parameter_counts(channels, count):
    made = SparseCompletion(GenerativeConfig(channels=channels))
    assert sum(p.numel() for p in made.parameters()) == count


def test_kernels_have_the_canonical_layout():
    kernels = {k: v for k, v in network().state_dict().items() if k.endswith("kernel")}
    assert len(kernels) == 1 + 2 * 6 + 2 * 6 + 6 + 1
    assert {v.ndim for v in kernels.values()} == {3}
    assert {v.shape[0] for v in kernels.values()} == {1, 8, 27, 64}


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": (1, 2, 3)},
        {"channels": (0, 2, 4, 4, 4, 4, 16)},
        {"chanels": (2, 2, 4, 4, 4, 4, 16)},
        {"thresholds": (0.0,)},
    ],
)
def test_config_refuses(wrong):
    with pytest.raises(ValidationError):
        GenerativeConfig.model_validate(wrong)


def test_thresholds_are_zero_where_left_out():
    assert GenerativeConfig(channels=(2, 2, 2, 4, 4)).thresholds == (0.0,) * 4


def test_config_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        SMALL.channels = (1,) * 7


@pytest.mark.slow
def test_levels_go_down_in_stride_and_report_targets(backend):
    x, target = inputs(backend)
    output = network()(x, target)
    assert [level.stride for level in output.levels] == [32, 16, 8, 4, 2, 1]
    for level in output.levels:
        assert level.logits.shape == level.target.shape
    assert output.levels[0].target.any() and not output.levels[-1].target.all()
    assert output.occupancy.stride == 1
    probabilities = output.occupancy.features
    assert ((probabilities > 0) & (probabilities < 1)).all()


@pytest.mark.slow
def test_target_is_not_needed_and_changes_no_logit_of_the_first_level(backend):
    x, target = inputs(backend)
    made = network().eval()
    with_target, without = made(x, target), made(x)
    torch.testing.assert_close(with_target.levels[0].logits, without.levels[0].logits)
    assert all(level.target is None for level in without.levels)


@pytest.mark.slow
def test_pruning_keeps_the_target_above_stride_one(backend):
    """With every logit below the threshold, only the target's voxels and the skips go on."""
    x, target = inputs(backend)
    made = network()
    for head in made.heads:
        head.threshold = float("inf")
    output = made(x, target)
    wanted = int(output.levels[-2].target.sum())
    assert wanted > 0 and len(output.levels[-1].logits) >= 8 * wanted
    assert len(output.occupancy) == 0


def test_everything_pruned_is_an_empty_answer(backend):
    x, _ = inputs(backend)
    made = network().eval()
    for head in made.heads:
        head.threshold = float("inf")
    assert len(made(x).occupancy) == 0


def logits_by_coordinate(backend, made):
    """Loss, gradients, and the last level's logits in raster order."""
    x, target = inputs(backend)
    seen = []
    made.heads[0].register_forward_hook(lambda module, given, result: seen.append(given[0].index))
    output = made(x, target)
    loss = deep_supervision(output.levels)
    loss.backward()
    order = np.lexsort(seen[0].coordinates.cpu().numpy().T[::-1])
    gradients = [p.grad for p in made.parameters() if p.grad is not None]
    return output.levels[-1].logits.detach()[order], loss.detach(), gradients


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_backends_agree_on_logits_and_gradients(backend, training):
    wanted = logits_by_coordinate(registries.backends.get("torch")(), network().train(training))
    got = logits_by_coordinate(backend, network().train(training))
    for a, b in zip((*got[:2], *got[2]), (*wanted[:2], *wanted[2]), strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max().clamp(min=1e-12)


def test_a_finer_network_begins_with_the_answers_of_the_coarser_one(backend):
    """One level more in front: the same logits at the levels that were taken over."""
    coarse, _ = shell(12)
    torch.manual_seed(0)
    child = torch.randint(0, 2, coarse.shape)
    some = torch.arange(len(coarse)) % 3 == 0
    fine = torch.cat([2 * coarse + child, (2 * coarse + 1 - child)[some]])
    made = network(seed=1, dtype=torch.float32).eval()
    finer = SparseCompletion(GenerativeConfig(channels=(4, *SMALL.channels))).eval()
    taken = finer.start_from(made)
    assert len(taken) == 7 + 6 + 6 and all(finer.get_submodule(name) for name in taken)
    wanted, got = (
        net(SparseTensor.from_coordinates(points, backend=backend)).levels
        for net, points in ((made, coarse), (finer, fine))
    )
    assert [level.stride for level in got] == [64, 32, 16, 8, 4, 2, 1]
    for one, other in zip(wanted, got[:-1], strict=True):
        # Sorted, as the rows of two inputs need not be in one order.
        a, b = (level.logits.sort().values for level in (one, other))
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_a_new_level_may_begin_with_the_features_of_the_coarser_one():
    made = network(seed=1, dtype=torch.float32).eval()
    finer = SparseCompletion(GenerativeConfig(channels=(2, *SMALL.channels))).eval()
    finer.start_from(made, pass_on=True)
    grow, _ = finer.decoder[0]
    coarse, _ = shell(6)
    features = torch.rand(len(coarse), 2)
    backend = registries.backends.get("torch")()
    x = SparseTensor.from_coordinates(2 * coarse, features, backend=backend, stride=2)
    seen = grow(x)
    assert len(seen) == 8 * len(x)
    parents = x.features.repeat_interleave(8, dim=0)
    order = (seen.coordinates[:, 1:] // 2 @ torch.tensor([10**4, 10**2, 1])).argsort(stable=True)
    torch.testing.assert_close(seen.features[order], parents + 1.5, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [SMALL.channels, (3, 2, 6, 5, 4, 8, 17)])
def test_a_wider_network_begins_with_the_answers_of_the_narrower_one(backend, channels):
    made = network(seed=1, dtype=torch.float32).eval()
    wider = SparseCompletion(GenerativeConfig(channels=channels)).eval()
    assert {name.split(".")[0] for name in wider.start_from(made)} == {
        *("encoder", "decoder", "heads", "output")
    }
    x = SparseTensor.from_coordinates(shell(12)[0], backend=backend)
    wanted, got = made(x), wider(x)
    one, other = got.occupancy.features, wanted.occupancy.features
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    for one, other in zip(wanted.levels, got.levels, strict=True):
        torch.testing.assert_close(one.logits, other.logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", [(2,) * 8, SMALL.channels[1:], (1, *SMALL.channels[1:])])
def test_a_larger_network_must_fit_the_smaller_one(channels):
    larger = SparseCompletion(GenerativeConfig(channels=channels))
    with pytest.raises(ConfigError, match=r"channels: wanted .* \(2, 2, 4, 4, 4, 4, 16\)"):
        larger.start_from(SparseCompletion(SMALL))


def test_without_forcing_the_target_keeps_no_voxel_alive():
    """A head that refuses everything: the target alone carries the decoder on."""
    made = network(dtype=torch.float32).eval()
    for head in made.heads:
        head.threshold = float("inf")
    x = SparseTensor.from_coordinates(shell(12)[0], backend=registries.backends.get("torch")())
    forced, free = (made(x, x.index, forced=forced).levels for forced in (True, False))
    assert all(len(level.logits) for level in forced)
    assert all(level.target is not None for level in free)
    assert len(free[-1].logits) < len(forced[-1].logits)


FOCUSED = GenerativeConfig(channels=(2, 2, 4, 4, 4), focus=2)


@pytest.fixture
def focused():
    torch.manual_seed(0)
    made = SparseCompletion(FOCUSED).double()
    for head in (*made.heads, made.focus):
        torch.nn.init.normal_(head.classifier.kernel)
    return made


def zone(backend, *blocks, batch=2):
    """Blocks at stride 4, the same in every item."""
    items = [torch.tensor(blocks, dtype=torch.int64).reshape(-1, 3)] * batch
    return SparseTensor.from_coordinates(items, backend=backend, stride=4).index


def test_below_its_focus_the_decoder_only_computes_in_the_zone(focused, backend):
    x, target = inputs(backend)
    blocks = ((32, 16, 16), (32, 20, 16))
    found = focused(x, target, zone=zone(backend, *blocks))
    logits, wanted = found.focus.logits, found.focus.target
    assert found.focus.stride == 4 and len(logits) == len(wanted) > wanted.sum() > 0
    near = found.candidates.coordinates[:, 1:] // 4 * 4
    assert {tuple(row) for row in near.tolist()} <= set(blocks)
    assert [level.stride for level in found.levels] == [8, 4, 2, 1]
    # Above the focus nothing changes: a coarse level sees the whole shape.
    everywhere = focused(x, target, zone=zone(backend, *np.argwhere(np.ones((12,) * 3)) * 4 - 4))
    for one, other in zip(found.levels[:2], everywhere.levels[:2], strict=True):
        torch.testing.assert_close(one.logits, other.logits)
    assert len(everywhere.candidates) > len(found.candidates)


def test_nothing_missing_leaves_nothing_to_compute(focused, backend):
    x, target = inputs(backend)
    found = focused(x, target, zone=zone(backend))
    assert not found.focus.target.any()
    assert len(found.candidates) == len(found.occupancy) == len(found.levels[-1].logits) == 0
    loss = coverage_loss(found.candidates, x) + occupancy_loss(found.focus)
    (loss + deep_supervision(found.levels)).backward()
    assert all(torch.isfinite(p.grad).all() for p in focused.parameters() if p.grad is not None)


def test_a_prediction_goes_on_where_the_focus_finds_something(focused, backend):
    x, _ = inputs(backend)
    focused.eval()
    focused.focus.threshold = np.inf
    assert len(focused(x).occupancy) == 0
    focused.focus.threshold = -np.inf
    for head in focused.heads:
        head.threshold = -np.inf
    assert len(focused(x).occupancy) > len(x) and focused(x).focus.target is None


def test_a_focus_must_be_at_a_level_of_the_decoder():
    with pytest.raises(ValidationError, match="focus: wanted a level from 1 to 3"):
        GenerativeConfig(channels=(2, 2, 4, 4, 4), focus=4)


def test_a_finer_network_starts_from_one_with_a_focus(backend):
    torch.manual_seed(0)
    smaller = SparseCompletion(FOCUSED)
    larger = SparseCompletion(GenerativeConfig(channels=(3, *FOCUSED.channels), focus=3))
    taken = larger.start_from(smaller, coverage=covered(backend))
    assert "focus" in taken and "output" not in taken
    assert torch.equal(larger.focus.classifier.kernel, smaller.focus.classifier.kernel)
    elsewhere = SparseCompletion(GenerativeConfig(channels=(3, *FOCUSED.channels), focus=2))
    assert "focus" not in elsewhere.start_from(smaller, coverage=covered(backend))


def covered(backend):
    grid = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    return SparseTensor.from_grids([grid], backend=backend)


def test_it_then_predicts_the_coverage_that_the_smaller_network_does(backend):
    """On batches like the sample, whose statistics BatchNorm sees in training: roughly."""
    torch.manual_seed(0)
    smaller = SparseCompletion(FOCUSED)
    larger = SparseCompletion(GenerativeConfig(channels=(3, *FOCUSED.channels), focus=3))
    larger.start_from(smaller, pass_on=True, coverage=covered(backend))
    kernel = larger.decoder[0][0].convolution.kernel
    assert torch.equal(kernel[:, :, 0], smaller.output.kernel[0, :, 0].expand(8, -1))
    for reader in (larger.output, larger.heads[0].classifier):
        assert reader.kernel[0, 0, 0] > 0 and not reader.kernel[0, 1:].any()
    same = larger.decoder[0][1].convolution.kernel[:, :, 0]
    assert same.sum() == same[13, 0] == 1


def test_its_first_convolution_then_sees_the_mean_coverage(backend):
    """As the first convolution of the smaller network saw coverage."""
    larger = SparseCompletion(GenerativeConfig(channels=(3, *FOCUSED.channels), focus=3))
    x = covered(backend)
    larger.start_from(SparseCompletion(FOCUSED), coverage=x)
    grid = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    down = larger.encoder[1][0](larger.encoder[0](x))
    at = (down.coordinates[:, 1:] // 2).numpy().T
    wanted = grid.reshape(4, 2, 4, 2, 4, 2).mean((1, 3, 5))[tuple(at)]
    np.testing.assert_allclose(down.features[:, 0].detach(), wanted, atol=1e-3)
