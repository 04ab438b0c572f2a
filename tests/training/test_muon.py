"""The optimiser Muon: steps with singular values near 1, and runs that it trains."""

import pytest
import torch
from torch.nn import Parameter
from training_runs import losses, trainer

from zoo.errors import ZooError
from zoo.training._muon import ADAMS_SIZE, Muon, is_hidden, orthogonalized

MUON = {"optimizer": "muon"}


@pytest.mark.parametrize("shape", [(108, 24), (24, 108), (7, 7), (1, 5)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape):
    rng = torch.Generator().manual_seed(0)
    left, values, right = torch.linalg.svd(torch.randn(shape, generator=rng), full_matrices=False)
    values = torch.logspace(0, -2, len(values))  # a hundred times apart
    made = left.T @ orthogonalized(left @ values.diag() @ right) @ right.T
    assert torch.allclose(made, made.diag().diag(), atol=1e-4)
    assert made.diag().min() > 0.6 and made.diag().max() < 1.3


def test_nothing_stays_nothing():
    assert not orthogonalized(torch.zeros(6, 3)).any()


def test_hidden_kernels_alone_are_orthogonalized():
    shapes = [(27, 4, 8), (8, 4, 8), (27, 1, 8), (1, 8, 1), (1, 8, 5), (8,)]
    hidden = [is_hidden(Parameter(torch.zeros(shape))) for shape in shapes]
    assert hidden == [True, True, False, False, False, False]


@pytest.mark.parametrize("shape", [(27, 16, 16), (1, 4, 32)])
def test_the_first_step_of_either_kind_has_its_size(shape):
    """Muon's in root mean square, whatever the gradient's size; Adam's in every element."""
    rng = torch.Generator().manual_seed(0)
    kernel, bias = Parameter(torch.zeros(shape)), Parameter(torch.zeros(16))
    kernel.grad = 1e-6 * torch.randn(kernel.shape, generator=rng)
    bias.grad = 0.1 * torch.randn(bias.shape, generator=rng)
    groups = [{"params": [kernel], "hidden": True}, {"params": [bias], "hidden": False}]
    optimizer = Muon(groups)
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    optimizer.step()
    assert kernel.square().mean().sqrt().item() == pytest.approx(0.5 * ADAMS_SIZE, rel=0.3)
    assert torch.allclose(bias, -0.5 * bias.grad.sign(), rtol=1e-4)


@pytest.mark.slow
def test_loss_goes_down(tmp_path):
    config = {"steps": 40, "validate_every": 40, "learning_rate": 0.01, "warmup": 0.05}
    seen = losses(trainer(tmp_path, **MUON, **config))
    assert seen[40] < 0.8 * seen[1]


@pytest.mark.slow
def test_a_run_goes_on_as_if_it_had_never_stopped(tmp_path):
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = trainer(tmp_path / "whole", **MUON)
    wanted = losses(whole)
    losses(trainer(tmp_path / "cut", **MUON), stop=5)
    again = trainer(tmp_path / "cut", **MUON)
    again.resume()
    assert losses(again) == {step: wanted[step] for step in (4, 5, 6)}
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[key]), key


@pytest.mark.slow
def test_a_checkpoint_of_adam_is_refused(tmp_path):
    losses(trainer(tmp_path), stop=4)
    with pytest.raises(ZooError, match="another training config"):
        trainer(tmp_path, **MUON).resume()
