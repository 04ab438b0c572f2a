"""The conformance kit: the zoo's own parts pass it, and parts that are wrong do not."""

import importlib.util
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from pydantic import BaseModel

import zoo
from zoo import registries
from zoo.errors import BackendError
from zoo.networks.generative import GenerativeConfig
from zoo.networks.heads import LabelsHead, OccupancyHead
from zoo.networks.segmentation import SegmentationConfig, SparseSegmentation
from zoo.sparse.backends.reference import TorchBackend
from zoo.testing import (
    check_architecture,
    check_backend,
    check_card,
    check_head,
    check_reader,
    check_writer,
)

SMALL = GenerativeConfig(
    channels=(2, 2, 3, 4, 4), residuals=(0, 1, 0, 0), thresholds=(-1, -1, -1, -1)
)
CONFIGS = {
    "sparse-completion": SMALL,
    "sparse-super-resolution": SMALL,
    "sparse-segmentation": SegmentationConfig(channels=(4, 6, 8), classes=3),
}
AGREEING = ["torch", "cpu", *(["minkowski"] if importlib.util.find_spec("MinkowskiEngine") else [])]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_the_zoos_architectures_pass(name):
    check_architecture(registries.architectures.get(name), CONFIGS[name], backends=AGREEING)


@pytest.mark.parametrize("name", ["occupancy", "labels"])
def test_the_zoos_heads_pass(name):
    check_head(registries.heads.get(name))


@pytest.mark.slow
def test_the_zoos_backends_pass(backend):
    where = str(torch.get_default_device())
    check_backend(
        backend, device=where, leave_out=["two far apart"] if backend.name == "dense" else []
    )


@pytest.mark.slow
def test_a_backend_may_compute_in_float32():
    check_backend(TorchBackend(), dtype=torch.float32)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "nhdr", "npz"])
def test_the_zoos_formats_pass(suffix):
    read, write = registries.readers.get(suffix), registries.writers.get(suffix)
    check_reader(read, write, suffix)
    check_writer(write, suffix, read)


def test_nifti_is_written_as_nibabel_reads_it():
    def read(path: Path):
        image = nib.load(path)
        return zoo.Volume(np.asarray(image.dataobj), image.affine)

    check_writer(registries.writers.get("nii.gz"), "nii.gz", read)


@pytest.mark.slow
def test_the_zoos_cards_pass():
    check_card("skull-completion-64")
    check_card("thorax-segmentation-128")


class Inverted(OccupancyHead):
    def forward(self, x):
        logits, kept = super().forward(x)
        return logits, ~kept


class Flat(LabelsHead):
    def forward(self, x):
        return super().forward(x)[:, 0]


class Detached(LabelsHead):
    def forward(self, x):
        return super().forward(x).detach().requires_grad_()


@pytest.mark.parametrize("head", [Inverted, Flat, Detached, object])
def test_a_wrong_head_is_found_out(head):
    with pytest.raises(AssertionError, match="wanted"):
        check_head(head)


class Loose(BaseModel):
    channels: tuple[int, ...] = (2, 3)
    classes: int = 2
    head: str = "labels"


class LooseConfig(SparseSegmentation):
    config_class = Loose


class Unsure(SparseSegmentation):
    def forward(self, x):
        return super().forward(x) + torch.rand(1)


class Unused(SparseSegmentation):
    def __init__(self, config):
        super().__init__(config)
        self.spare = torch.nn.Parameter(torch.ones(3))


class Grown(SparseSegmentation):
    def __init__(self, config):
        super().__init__(config)
        self.spare = torch.nn.Parameter(torch.ones(3 if torch.empty(0).is_meta else 4))


class Short(SparseSegmentation):
    def forward(self, x):
        return super().forward(x)[:-1]


@pytest.mark.parametrize(
    ("design", "said"),
    [
        (LooseConfig, "frozen"),
        (Unsure, "against|another answer"),
        (Unused, "gradient for every parameter"),
        (Grown, "spare"),
        (Short, "logits"),
    ],
)
def test_a_wrong_architecture_is_found_out(design, said):
    config = design.config_class(channels=(2, 3), classes=2)
    with pytest.raises((AssertionError, zoo.ZooError), match=said):
        check_architecture(design, config)


class WrongSum(TorchBackend):
    def transfer(self, features, source, target, onto=None):
        moved = super().transfer(features, source, target, onto)
        return moved if onto is None else moved.mul_(1.001)


class NoGradient(TorchBackend):
    def correlate(self, *arguments):
        return 0 * super().correlate(*arguments)


class Refuses(TorchBackend):
    def unite(self, a, b):
        raise BackendError("no sums here")


class RefusesMore(Refuses):
    def refine(self, index, size):
        raise BackendError("no new coordinates here")


@pytest.mark.slow
@pytest.mark.parametrize("backend", [WrongSum, NoGradient, Refuses])
def test_a_wrong_backend_is_found_out(backend):
    with pytest.raises(AssertionError, match=r"torch, (add|convolution), 'corner'|'one voxel'"):
        check_backend(backend())


@pytest.mark.slow
def test_a_backend_may_refuse_what_it_says_it_refuses():
    check_backend(Refuses(), refuses=["add"])
    made = ["generative transposed convolution", "wide generative transposed convolution"]
    check_backend(RefusesMore(), refuses=["add", *made])
    with pytest.raises(AssertionError, match="wanted add to be refused"):
        check_backend(TorchBackend(), refuses=["add"])


def test_a_wrong_format_is_found_out():
    read, write = registries.readers.get("nii"), registries.writers.get("nii")

    def flipped(path):
        volume = read(path)
        return volume.with_array(volume.array[::-1])

    def shifted(path):
        volume = read(path)
        return zoo.Volume(volume.array, volume.affine + np.eye(4, k=3) * 0.1)

    def patient(path):
        return read(path) if path.stat().st_size > 400 else zoo.Volume(np.eye(3)[None], np.eye(4))

    for wrong in (flipped, shifted, patient):
        with pytest.raises(AssertionError):
            check_reader(wrong, write, "nii")

    def stamped(volume, path):
        write(volume, path)
        path.write_bytes(path.read_bytes() + np.random.default_rng().bytes(4))

    def narrowing(volume, path):
        write(volume.with_array(volume.array.astype(np.uint8)), path)

    with pytest.raises(AssertionError, match="int16"):
        check_writer(narrowing, "nii", read)
    with pytest.raises(AssertionError, match="different bytes"):
        check_writer(stamped, "nii")


def test_a_card_that_is_not_kept_is_found_out(tmp_path):
    zoo.create("sparse-segmentation", {"channels": [2, 3]}, backend="torch").save(tmp_path)
    with pytest.raises(AssertionError, match="prose"):
        check_card(f"local-dir:{tmp_path}")
