"""What a run begins with: weights of another model."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_runs import SMALL, trainer

import zoo
from zoo.errors import ConfigError
from zoo.sparse import SparseTensor
from zoo.training._initial import inverted_if_better, start_from


@pytest.fixture
def parent(tmp_path):
    """The folder of a model of SMALL's config."""
    zoo.create("sparse-completion", SMALL["config"], backend="torch").save(tmp_path / "parent")
    return tmp_path / "parent"


def test_run_starts_from_a_model_of_its_config(tmp_path, parent):
    run = trainer(tmp_path, initial=f"local-dir:{parent}")
    wanted = load_file(parent / "model.safetensors")
    assert all(torch.equal(value, wanted[key]) for key, value in run.network.state_dict().items())
    assert not torch.equal(
        trainer(tmp_path).network.state_dict()["encoder.0.convolution.kernel"],
        wanted["encoder.0.convolution.kernel"],
    )


def test_other_config_is_left_to_the_architecture(tmp_path, parent, monkeypatch):
    wider = {"channels": [4, 4, 4, 4, 4, 4, 8]}
    design = zoo.registries.architectures.get("sparse-completion")
    given = []
    monkeypatch.setattr(
        design, "start_from", lambda _, other, pass_on: given.append(other) or [], raising=False
    )
    trainer(tmp_path, config=wider, initial=f"local-dir:{parent}")
    assert given[0].config.channels == tuple(SMALL["config"]["channels"])
    monkeypatch.setattr(design, "start_from", None)
    with pytest.raises(ConfigError, match=r"initial: .*cannot start from another"):
        trainer(tmp_path, config=wider, initial=f"local-dir:{parent}")


def test_thresholds_are_not_weights(tmp_path, parent):
    config = SMALL["config"] | {"thresholds": [-1] * 6}
    run = trainer(tmp_path, config=config, initial=f"local-dir:{parent}")
    wanted = load_file(parent / "model.safetensors")
    assert all(torch.equal(value, wanted[key]) for key, value in run.network.state_dict().items())
    assert run.taken_over == [] and run.network.heads[0].threshold == -1


def test_model_of_another_architecture_is_refused(parent):
    with pytest.raises(
        ConfigError, match=r"initial: wanted .* Linear, got .* SparseComp"
    ) as caught:
        start_from(torch.nn.Linear(1, 1), f"local-dir:{parent}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_network_sees_intensities_the_way_that_fits_the_data(sign):
    backend = zoo.registries.backends.get("torch")()
    values = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (6, 6, 6)))
    x = SparseTensor.from_grids([np.ones((6, 6, 6))], backend=backend)
    x = x.with_features(values.float().reshape(-1, 1))
    torch.manual_seed(0)
    network = zoo.create("sparse-segmentation", {"channels": [2, 4]}, backend="torch").network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        wanted = deepcopy(network).train()(x)
    flipped = x.with_features(sign * x.features)
    inverted = inverted_if_better(network, lambda tried: (tried(flipped) - wanted).square().mean())
    assert inverted == (sign < 0)
    with torch.no_grad():
        torch.testing.assert_close(deepcopy(network).train()(flipped), wanted)
    changed = [n for n, value in network.state_dict().items() if not torch.equal(value, before[n])]
    assert changed == (["encoder.0.0.convolution.kernel"] if inverted else [])
