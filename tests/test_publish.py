"""The zoo's own models go to the Hub by one command, and load from there by their names."""

import importlib.util
import shutil

import pytest
from command_line import ROOT
from hub_server import Refuse
from huggingface_hub import HfApi

import zoo

NAME = "thorax-segmentation-128"  # its card shows a picture


@pytest.fixture
def publish(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    spec = importlib.util.spec_from_file_location("publish", ROOT / "tools/publish.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return lambda: tool.publish(HfApi(), NAME)


@pytest.mark.slow
def test_a_model_is_published_once_and_loads_without_shipped_weights(
    hub, publish, tmp_path, monkeypatch
):
    hub.fault("POST .*/commit/main", Refuse(500), times=9)
    with pytest.raises(Exception, match="500"):
        publish()
    hub.traps.clear()
    assert publish().endswith("6 of 6 files uploaded, all of them as they should be")
    hub.requests.clear()
    assert publish().endswith("complete, 6 files")
    assert not any("commit" in line for line in hub.requests)
    pushed = hub.repositories[f"sparse-volume-zoo/{NAME}"]
    assert "docs/thorax-segmentation-128.png" in pushed.commits[pushed.branches["main"]]

    slim = shutil.copy(ROOT / f"cards/{NAME}.md", tmp_path)  # as in a wheel without weights
    monkeypatch.setitem(zoo.registries.cards.own, NAME, slim)
    model = zoo.load(NAME, backend="torch")
    assert str(model.origin.location) == f"sparse-volume-zoo/{NAME}"
