"""The model that ships: found, pinned, loaded without a network, and what it answers."""

from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

import zoo
from zoo import registries
from zoo.plugins import download, sha256_of, verify
from zoo_vessels import CARD
from zoo_vessels.scans import WINDOW, measures, vessel_case, volume_of

NAME = "vessel-segmentation-128"
REAL = Path(__file__).parents[4] / "shared" / "data" / "CT_AVM.nii.gz"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Whatever comes, comes with the package."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_the_card_is_complete():
    card = zoo.info(NAME)
    assert card.name == NAME == CARD.stem and card.labels == ("vessel",)
    assert NAME in zoo.list_models(task="segmentation")
    weights = CARD.with_suffix(".safetensors")
    assert sha256_of(weights) == card.weights.sha256 and weights.stat().st_size < 5e6
    assert "Research use only" in card.text and "zoo train" in card.text
    assert card.metadata["library_name"] == "sparse-volume-zoo"


def test_nothing_of_the_plugin_is_broken():
    for registry in registries.everything():
        assert not [problem for problem in registry.problems() if "zoo-vessels" in problem]


def test_its_files_are_found_beside_the_card():
    assert registries.cards.path(NAME) == CARD
    assert {path.parent for path in download(NAME).values()} == {CARD.parent}


def test_the_golden_case_is_answered_alike_everywhere():
    verdicts = list(verify(NAME, ["cpu", "torch"], local_files_only=True))
    assert all(verdict.works and verdict.agrees and verdict.voxels > 100 for verdict in verdicts)


@pytest.mark.parametrize("seed", [1_000_001, 1_000_004])  # without bone, and with
def test_it_finds_the_vessels_of_a_generated_head(seed):
    case = vessel_case(seed)
    prediction = zoo.load(NAME, local_files_only=True).predict(volume_of(case, case.hu))
    assert prediction.volume.shape == case.hu.shape
    window = ((case.hu >= WINDOW[0]) & (case.hu <= WINDOW[1])).astype(np.uint8)
    assert measures(prediction.volume.array, case)[0] > 0.6 > measures(window, case)[0]


@pytest.mark.skipif(not REAL.is_file(), reason="CT_AVM.nii.gz is not here; it is not shipped")
def test_a_real_angiogram_is_answered_on_its_own_grid():
    prediction = zoo.load(NAME).predict(REAL)
    scan, answer = zoo.Volume.of(REAL).array, prediction.volume.array
    assert answer.shape == scan.shape and not prediction.report["grid"]["resampled"]
    assert set(np.unique(answer)) == {0, 1}
    assert not answer[scan < 50].any()
    assert (answer[scan > 200] > 0).mean() > 0.7
