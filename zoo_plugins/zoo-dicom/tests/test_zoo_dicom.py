"""DICOM series against SimpleITK's reader, and everything that must not pass in silence."""

import shutil
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import zoo
from dicom_files import (
    AXIAL,
    CORONAL,
    OBLIQUE,
    SAGITTAL,
    SHAPE,
    SPACING,
    datasets,
    header,
    multi_frame,
    set_pixels,
    stored,
    write,
)
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    MediaStorageDirectoryStorage,
    RLELossless,
)
from zoo.plugins import MissingDependency, ReadError, VolumeError, read_volume
from zoo.testing import command

from zoo_dicom import read_folder, read_zip

TO_RAS = np.diag([-1, -1, 1, 1])
EXACT = {"rtol": 0, "atol": 1e-9}


def itk(image):
    """Array (I, J, K) and affine to RAS+ millimetres of a SimpleITK image."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, TO_RAS @ affine


def itk_series(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return itk(reader.Execute())


def same(volume, array, affine):
    assert np.array_equal(volume.array, array)
    np.testing.assert_allclose(volume.affine, affine, **EXACT)


def refused(path, error=VolumeError, read=read_volume):
    """The one-line message of a path that cannot be read."""
    with pytest.raises(error) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def series(tmp_path):
    return write(tmp_path / "series", datasets())


@pytest.mark.parametrize("turn", [AXIAL, CORONAL, SAGITTAL, OBLIQUE])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, RLELossless])
def test_a_series_is_what_simpleitk_reads(turn, syntax, tmp_path):
    made = datasets(turn=turn, **({} if syntax != ImplicitVRLittleEndian else {"syntax": syntax}))
    if syntax == RLELossless:
        for one in made:
            one.compress(RLELossless, generate_instance_uid=False)
    volume = read_volume(write(tmp_path, made))
    same(volume, *itk_series(tmp_path))
    assert volume.shape == SHAPE and volume.array.dtype == np.int16
    np.testing.assert_allclose(volume.spacing, SPACING)
    assert np.array_equal(volume.array, stored().astype(int) - 1024)


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "wanted"),
    [
        (np.int16, 1, 0, np.int16),
        (np.uint8, 1, 0, np.int16),
        (np.uint16, "2.0", "-5", np.int16),
        (np.uint16, 100, -1024, np.int32),
        (np.uint16, "0.5", "-3.25", np.float32),
    ],
)
def test_values(dtype, slope, intercept, wanted, tmp_path):
    array = stored(dtype=dtype)
    made = datasets(array, RescaleSlope=slope, RescaleIntercept=intercept)
    volume = read_folder(write(tmp_path, made))
    assert volume.array.dtype == wanted
    assert np.array_equal(volume.array, array.astype(float) * float(slope) + float(intercept))
    assert np.array_equal(volume.array, itk_series(tmp_path)[0])


def test_every_slice_has_its_own_slope(tmp_path):
    made = datasets(RescaleIntercept=0)
    for number, one in enumerate(made):
        one.RescaleSlope = 1 + number % 2 / 2
    volume = read_folder(write(tmp_path, made))
    assert np.array_equal(volume.array, stored() * (1 + np.arange(SHAPE[2]) % 2 / 2))


def test_bits_beyond_the_stored_ones_are_no_part_of_a_value(tmp_path):
    made = datasets()
    for one in made:
        one.BitsStored, one.HighBit = 12, 11
        one.PixelData = (np.frombuffer(one.PixelData, np.uint16) | 0xF000).tobytes()
    same(read_folder(write(tmp_path, made)), *itk_series(tmp_path))


def test_a_multi_frame_file_is_the_same_volume(series, tmp_path):
    path = tmp_path / "enhanced.dcm"
    multi_frame().save_as(path, enforce_file_format=True)
    volume = read_volume(series)
    same(read_volume(path), volume.array, volume.affine)
    array, affine = itk(sitk.ReadImage(path))  # which keeps the frames' order
    flip = np.diag([1, 1, -1, 1])
    flip[2, 3] = SHAPE[2] - 1
    same(read_volume(path), array[:, :, ::-1], affine @ flip)


def test_a_zip_is_the_same_volume_and_leaves_nothing(series, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ZipFile("series.zip", "w", ZIP_DEFLATED) as archive:
        for number, path in enumerate(series.iterdir()):
            archive.write(path, ["../../", "/", "a/../../", "C:\\"][number % 4] + path.name)
        archive.writestr("../__MACOSX/._IM1.dcm", b"\0\5\x16\7")
    before = sorted(tmp_path.parent.rglob("*"))
    volume = read_volume("series.zip")
    same(volume, *itk_series(series))
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_the_way_back_is_nifti_on_the_same_millimetres(series, tmp_path):
    """What SimpleITK finds in the answer lies where it finds it in the DICOM series."""
    settings = {"channels": [2, 2, 4, 4, 4, 4, 16]}
    zoo.create("sparse-completion", settings, backend="torch").save(tmp_path / "model")
    output = tmp_path / "out.nii.gz"
    words = ["predict", f"local-dir:{tmp_path}/model", "-i", series, "-o", output]
    assert command(*words, "--threshold", "2900", "-q") == 0
    answer, affine = itk(sitk.ReadImage(output))
    scan, wanted = itk_series(series)
    np.testing.assert_allclose(affine, wanted, atol=1e-5)
    assert answer.shape == scan.shape
    assert answer[scan > 2900].all()  # completion removes nothing


def test_a_series_among_other_files(series):
    same_as = itk_series(series)
    (series / "README.txt").write_text("about these files")
    (series / ".hidden.dcm").write_text("no DICOM")
    (series / ".AppleDouble").mkdir()
    (series / ".AppleDouble" / "IM1.dcm").write_text("no DICOM")
    (series / "empty").write_bytes(b"")
    scout = datasets(stored((5, 6, 1)), SeriesInstanceUID="1.9", turn=CORONAL)
    scout += datasets(stored((5, 6, 2)), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write(series / "scouts", scout)
    colours = datasets(stored((5, 6, 2)), SeriesInstanceUID="1.8")
    for one in colours:
        one.SamplesPerPixel, one.PhotometricInterpretation = 3, "RGB"
    labels = datasets(stored((5, 6, 2)), SeriesInstanceUID="1.6", Modality="SEG")
    report = header(BasicTextSRStorage, SeriesInstanceUID="1.7")
    index = header(MediaStorageDirectoryStorage, DirectoryRecordSequence=[])
    write(series / "others", [*colours, *labels, report, index])
    same(read_volume(series), *same_as)


def test_several_series_are_listed_and_one_is_chosen(tmp_path, monkeypatch):
    soft = write(tmp_path / "soft", datasets())
    bone = {"SeriesInstanceUID": "1.2.3.9", "SeriesNumber": 9, "SeriesDescription": "Bone\n0.6"}
    write(tmp_path / "bone", datasets(RescaleIntercept=0, **bone))
    message = refused(tmp_path)
    assert "4 'Head', 12 slices in 'soft'" in message and "0.6', 12 slices in 'bone'" in message
    assert "ZOO_DICOM_SERIES" in message and "sub-folder" in message
    volume = read_volume(soft)
    for chosen in ("4", "1.2.3.4"):
        same(read_folder(tmp_path, chosen), volume.array, volume.affine)
    monkeypatch.setenv("ZOO_DICOM_SERIES", "9")
    assert np.array_equal(read_volume(tmp_path).array, stored())
    assert "wanted one series '9', got 4 'Head'" in refused(soft)
    write(tmp_path / "again", datasets(SeriesInstanceUID="1.2.3.10", SeriesNumber=9))
    assert "got 1.2.3." in refused(tmp_path)


def test_a_missing_slice_is_refused_with_its_place(tmp_path):
    made = datasets(turn=AXIAL, origin=(0, 0, 100))
    del made[3:5]
    message = refused(write(tmp_path, made))
    assert "7.5 mm apart, others 2.5 mm: 2 missing" in message
    assert r"after ImagePositionPatient 0\0\105" in message


def test_a_slice_too_many_is_refused_with_its_place(series):
    names = sorted(path.name for path in series.iterdir())
    shutil.copy(series / names[2], series / "copy")
    message = refused(series)
    assert "one slice at each place" in message
    assert "'copy'" in message and f"'{names[2]}'" in message and "ImagePositionPatient" in message


def test_uneven_spacing_is_refused_and_rounded_positions_are_not(tmp_path):
    made = datasets(turn=AXIAL, spacing=(0.5, 0.5, 0.625), origin=(0, 0, 0))
    for one in made:
        one.ImagePositionPatient[2] = round(one.ImagePositionPatient[2], 1)
    volume = read_volume(write(tmp_path / "rounded", made))
    assert volume.spacing[2] == pytest.approx(0.625, abs=0.01)
    for one in made[6:]:
        one.ImagePositionPatient[2] += 0.3
    assert "uneven after" in refused(write(tmp_path / "uneven", made))
    made = datasets(turn=AXIAL)
    made[5].ImagePositionPatient[0] += 3
    assert "uneven after" in refused(write(tmp_path / "beside", made))


def test_of_several_ct_series_the_one_for_bone_is_taken_and_it_is_said(tmp_path):
    kinds = {
        "soft": ("Br36", 1.0, 20),
        "bone": ("Hr60", 1.0, 20),
        "thick": ("Hr60", 5.0, 8),
    }
    for number, (name, (kernel, thickness, count)) in enumerate(kinds.items(), 1):
        made = datasets(
            stored((16, 20, count)),
            spacing=(0.7, 0.9, thickness),
            SeriesInstanceUID=f"1.2.3.{number}",
            SeriesNumber=number,
            SeriesDescription=name,
            ConvolutionKernel=kernel,
        )
        write(tmp_path / name, made)
    volume = read_volume(tmp_path)
    same(volume, *itk_series(tmp_path / "bone"))
    (remark,) = volume.about.remarks
    assert remark.startswith("took series 2 'bone', 20 slices in 'bone', of 3")
    assert "kernel for bone 'Hr60' and slices of 1 mm" in remark
    assert read_folder(tmp_path, "1").about is None


def test_a_series_with_several_slices_at_each_place_is_not_the_thinnest(tmp_path):
    thin = datasets(SeriesInstanceUID="1.2.3.1", SeriesNumber=1)
    again = datasets(SeriesInstanceUID="1.2.3.2", SeriesNumber=2)
    write(tmp_path / "thin", thin)
    write(tmp_path / "phases", [*again, *datasets(SeriesInstanceUID="1.2.3.2", SeriesNumber=2)])
    volume = read_volume(tmp_path)
    same(volume, *itk_series(tmp_path / "thin"))
    assert "for its slices of 2.5 mm" in volume.about.remarks[0]


def test_a_tilted_gantry_is_sheared_or_straightened(tmp_path, monkeypatch):
    """Straightened, the values of a field that is linear in millimetres stay where they are."""
    shape, field = (16, 20, 6), np.array([3.0, -5, 7])
    turn, shear = AXIAL, (0, -1.1, 0)
    points = np.stack(np.indices(shape), -1) * SPACING + np.arange(6)[:, None] * shear
    values = (points @ field + 2000).round().astype(np.uint16)
    made = datasets(values, turn, shear=shear, origin=(0, 0, 0), RescaleIntercept=0)
    write(tmp_path, made)
    leaning = (TO_RAS @ read_volume(tmp_path).affine)[:3, :3]
    np.testing.assert_allclose(leaning, np.diag(SPACING) + np.outer(shear, [0, 0, 1]), **EXACT)
    monkeypatch.setenv("ZOO_DICOM_TILT", "straighten")
    volume = read_volume(tmp_path)
    sheared = np.diag([*SPACING, 1.0])
    sheared[:3, 2] += shear
    assert volume.array.dtype == np.int16 and volume.shape == (16, 27, 6)
    linear = (TO_RAS @ volume.affine)[:3, :3]
    np.testing.assert_allclose(linear, np.diag(SPACING), **EXACT)
    place = np.stack([*np.indices(volume.shape), np.ones(volume.shape)], -1)
    place = (place @ (TO_RAS @ volume.affine).T)[..., :3]
    index = place @ np.linalg.inv(sheared[:3, :3]).T
    inside = ((index >= 0) & (index <= np.array(shape) - 1)).all(-1)
    assert inside.sum() >= 16 * 19 * 6
    assert abs(volume.array - (place @ field + 2000))[inside].max() <= 1.01
    assert (volume.array[index[..., 1] < -1e-6] == values.min()).all()


def test_slices_that_differ_are_refused(tmp_path):
    other = stored((16, 21, 1))
    assert "one size" in refused(write(tmp_path / "a", [*datasets()[1:], *datasets(other)]))
    mixed = [*datasets(turn=AXIAL)[:5], *datasets()[5:]]
    assert "orientation" in refused(write(tmp_path / "b", mixed))
    made = datasets()
    del made[4].ImagePositionPatient
    assert "got none in 'IM" in refused(write(tmp_path / "c", made))
    made = datasets()
    made[4].ImageOrientationPatient = [1, 0, 0, 1, 0, 0]
    assert "got none in 'IM" in refused(write(tmp_path / "d", made))


def test_what_is_no_series(tmp_path):
    path = tmp_path / "one.dcm"
    datasets()[0].save_as(path, enforce_file_format=True)
    assert "got a lone slice, 'one.dcm'; give the whole folder" in refused(path)
    assert "got a lone slice" in refused(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "got none in 0 files" in refused(tmp_path / "empty")
    (tmp_path / "text.dcm").write_text("a text" * 99)
    assert "'text.dcm' cannot be read: File is missing DICOM" in refused(tmp_path)
    film = datasets(stored((9, 8, 1)))[0]
    film.NumberOfFrames = 3
    set_pixels(film, stored((9, 8, 3)).T)
    film.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    assert "got none in 'film.dcm'" in refused(tmp_path / "film.dcm")


@pytest.mark.parametrize("length", [140, 300, 700, 1000, -10])
def test_a_file_that_is_cut_off_is_refused_by_name(length, series):
    last = max(series.iterdir())
    last.write_bytes(last.read_bytes()[:length])
    assert f"'{last.name}'" in refused(series)
    path = series.parent / "cut.dcm"
    multi_frame().save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes()[:length])
    assert "cut.dcm" in refused(path)


def test_damaged_headers_and_broken_links_are_refused_by_name(series):
    last = max(series.iterdir())
    last.write_bytes(last.read_bytes().replace(b"-1024", b"-1x24"))
    assert f"{last.name!r} cannot be read: could not convert" in refused(series)
    last.unlink()
    last.symlink_to("nowhere")
    assert f"{last.name!r} cannot be read: [Errno 2] No such file" in refused(series)


def test_pixels_that_nothing_decodes(tmp_path):
    syntaxes = (JPEGLosslessSV1, HTJ2KLossless)
    absent = [syntax for syntax in syntaxes if not get_decoder(syntax).is_available]
    if not absent:
        pytest.skip("every decoder is installed")
    made = datasets(syntax=absent[0])
    for one in made:
        one.PixelData = encapsulate([b"a compressed frame"])
    message = refused(write(tmp_path, made), MissingDependency)
    assert absent[0].name in message and "pip install 'zoo-dicom[compressed]'" in message


def test_deflated_files_are_refused(tmp_path):
    made = datasets(syntax=DeflatedExplicitVRLittleEndian)
    assert "is deflated; inflate it" in refused(write(tmp_path, made))


def test_archives_that_are_no_series(series, tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK but not an archive")
    assert "wanted a complete .zip file, got: File is not a zip" in refused(path, ReadError)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("bomb.dcm", bytes(20 << 20))
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr("zoo_dicom.sources.MOST_BYTES", 10 << 20)
    assert "wanted 0.0 GB of files at most, got 0.0 GB; unpack" in refused(path)
    monkeypatch.setattr("zoo_dicom.sources.MOST_BYTES", 30 << 20)
    assert "'bomb.dcm' cannot be read: File is missing DICOM" in refused(path)
    with ZipFile(path, "w", ZIP_STORED) as archive:
        for file in series.iterdir():
            archive.write(file, file.name)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(file.read_bytes()[-99:], bytes(99)))
    assert f"'{file.name}' cannot be read: Bad CRC-32" in refused(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert "wanted a complete .zip file" in refused(path, ReadError)


def test_an_archive_that_lies_about_its_sizes_yields_no_more(tmp_path):
    path = tmp_path / "x.zip"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(128) + b"DICM" + bytes(1 << 20))
    size = (132 + (1 << 20)).to_bytes(4, "little")
    assert path.read_bytes().count(size) == 2
    path.write_bytes(path.read_bytes().replace(size, (200).to_bytes(4, "little")))
    assert "a.dcm" in refused(path, read=read_zip)
