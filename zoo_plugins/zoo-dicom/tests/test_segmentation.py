"""Predictions as DICOM segmentations, read back by highdicom."""

from dataclasses import replace
from zipfile import ZipFile

import highdicom as hd
import numpy as np
import pytest
import zoo
from dicom_files import SHAPE, datasets, stored, write
from pydicom import dcmread
from zoo.plugins import About, VolumeError, WriteError, colour_of, read_volume
from zoo.testing import command


@pytest.fixture
def series(tmp_path):
    return write(tmp_path / "series", datasets())


def predicted(series, values, labels):
    """Labels on the grid of a series, as a model gives them."""
    volume = read_volume(series).with_array(values)
    return replace(volume, about=About(model="some-model", source=series, labels=labels))


def mask():
    values = np.zeros(SHAPE, np.uint8)
    values[3:9, 4:11, 2:7] = 1
    return values


def test_every_voxel_lies_where_it_was_predicted(series, tmp_path):
    """By the positions of the slices that every frame refers to, not by their order."""
    values = mask()
    values[10:12, 12:15, 5:9] = 2
    path = tmp_path / "seg.dcm"
    predicted(series, values, ("implant", "aorta")).save(path)
    written = hd.seg.segread(path)
    assert [written.get_segment_description(n).segment_label for n in (1, 2)] == [
        "implant",
        "aorta",
    ]
    uids = {dcmread(file).SOPInstanceUID: dcmread(file) for file in series.iterdir()}
    source = [uid for _, _, uid in written.get_source_image_uids()]
    assert set(source) <= set(uids)
    place = np.linalg.inv(read_volume(series).affine)
    for uid, header in uids.items():
        position = np.array(header.ImagePositionPatient) * [-1, -1, 1]
        k = round((place @ [*position, 1])[2])
        wanted = values[:, :, k].T
        if not wanted.any():
            continue
        frames = written.get_pixels_by_source_instance([uid], combine_segments=True)
        assert np.array_equal(frames[0], wanted)


def test_a_segment_has_its_labels_name_colour_and_code(series, tmp_path):
    """Also where a label before it is empty: the third keeps its own."""
    values = mask()
    values[10:12, 12:15, 5:9] = 3
    predicted(series, values, ("oesophagus", "heart", "left kidney")).save(tmp_path / "seg.dcm")
    written = hd.seg.segread(tmp_path / "seg.dcm")
    found = [written.get_segment_description(number) for number in (1, 2)]
    assert [each.segment_label for each in found] == ["oesophagus", "left kidney"]
    meanings = [each.segmented_property_type.meaning for each in found]
    assert meanings == ["Esophagus", "Body tissue structure"]
    for each, label in zip(found, (1, 3), strict=True):
        stored = hd.color.CIELabColor.from_dicom_value(each.RecommendedDisplayCIELabValue)
        assert np.abs(np.subtract(stored.to_rgb(), colour_of(label))).max() <= 1


def test_the_same_prediction_gives_the_same_bytes(series, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        predicted(series, mask(), ("implant",)).save(tmp_path / name)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()


def test_from_a_zip(series, tmp_path):
    archive = tmp_path / "series.zip"
    with ZipFile(archive, "w") as made:
        for path in series.iterdir():
            made.write(path, path.name)
    predicted(archive, mask(), ("implant",)).save(tmp_path / "seg.dcm")
    assert hd.seg.segread(tmp_path / "seg.dcm").number_of_segments == 1


def test_what_cannot_be_a_segmentation_is_refused(series, tmp_path):
    volume = predicted(series, mask(), ("implant",))
    elsewhere = replace(volume, about=About(source=tmp_path / "scan.nii.gz"))
    empty = predicted(series, np.zeros(SHAPE, np.uint8), ("implant",))
    shares = predicted(series, mask().astype(np.float32), ())
    for wrong, said in (
        (elsewhere, "wanted a prediction from a DICOM series"),
        (volume.with_array(mask()), "wanted a prediction from a DICOM series"),
        (empty, "there is nothing to write"),
        (shares, "wanted a mask or labels"),
    ):
        with pytest.raises((VolumeError, WriteError), match=said):
            wrong.save(tmp_path / "seg.dcm")
        assert not (tmp_path / "seg.dcm").exists()


def test_a_model_predicts_from_dicom_to_dicom(tmp_path):
    """The command, on a series of a cube in a box, with a threshold."""
    values = stored((32, 32, 32)) % 100
    values[8:24, 8:24, 8:24] = 3000
    series = write(tmp_path / "series", datasets(values, np.eye(3), (2.0, 2.0, 2.0)))
    model = zoo.create("sparse-completion", backend="torch", device="cpu")
    model.save(tmp_path / "model")
    words = ["predict", f"local-dir:{tmp_path / 'model'}", "--backend", "torch"]
    output = tmp_path / "seg.dcm"
    assert command(*words, "--threshold", "1000", "-i", series, "-o", output) == 0
    written = hd.seg.segread(output)
    assert written.get_segment_description(1).segment_label == "completed skull"
    answer = model.predict(series, threshold=1000).volume.array
    assert np.count_nonzero(written.pixel_array) == np.count_nonzero(answer)


def test_no_segmentation_refers_to_what_is_not_dicom(tmp_path, capfd):
    """It is said before the prediction."""
    scan = tmp_path / "v.nii.gz"
    zoo.Volume(np.ones((8, 8, 8), np.uint8)).save(scan)
    output = tmp_path / "seg.dcm"
    assert command("predict", "skull-completion-64", "-i", scan, "-o", output) == 2
    assert "wanted a DICOM series as the input" in capfd.readouterr().err
