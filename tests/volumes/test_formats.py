"""File formats: geometry and values survive, and agree with other libraries."""

import builtins
import gzip
import subprocess
import sys
from xml.etree import ElementTree

import nibabel as nib
import nrrd
import numpy as np
import pytest
from test_volume import AFFINES, numbered, oblique, orientation_id

from zoo.errors import MissingDependency, ReadError, VolumeError
from zoo.volumes import size_in_header
from zoo.volumes.files import read_volume, write_volume
from zoo.volumes.labels import colour_of
from zoo.volumes.volume import About, Volume

FORMATS = ["nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd", "npz"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("affine", AFFINES, ids=orientation_id)
def test_round_trip(affine, suffix, tmp_path):
    volume = Volume(numbered(), affine)
    write_volume(volume, tmp_path / f"v.{suffix}")
    back = read_volume(tmp_path / f"v.{suffix}")
    assert back.array.dtype == volume.array.dtype
    assert back.array.tobytes() == volume.array.tobytes()
    assert np.allclose(back.affine, affine, rtol=0, atol=1e-5)
    assert back.orientation == volume.orientation


@pytest.mark.parametrize("suffix", [*FORMATS, "npy"])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, np.flip])
def test_memory_layout_does_not_matter(suffix, layout, tmp_path):
    array = layout(numbered())
    write_volume(Volume.of(array), tmp_path / f"v.{suffix}")
    assert np.array_equal(read_volume(tmp_path / f"v.{suffix}").array, array)


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha", "npz"])
def test_same_volume_gives_same_bytes(suffix, tmp_path):
    for name in ("a", "b"):
        write_volume(Volume.of(numbered()), tmp_path / f"{name}.{suffix}")
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("a", "b"))
    assert first == second
    if suffix == "nii.gz":
        assert first[4:8] == bytes(4), "no time stamp in the gzip header"
    if suffix == "nrrd":
        assert b"# on 1970-01-01 00:00:00" in first, "no time in the comment"


def test_a_name_may_have_any_letters(tmp_path):
    volume = Volume.of(numbered())
    write_volume(volume, tmp_path / "schädel.mhd")
    assert (read_volume(tmp_path / "schädel.mhd").array == volume.array).all()


def test_of_a_file_with_more_than_its_voxels_no_more_is_read(tmp_path):
    array = numbered(dtype=np.int16)
    size = " ".join(map(str, array.shape))
    (tmp_path / "v.mhd").write_text(
        f"DimSize = {size}\nElementType = MET_SHORT\nElementDataFile = v.dat\n"
    )
    with (tmp_path / "v.dat").open("wb") as file:
        file.write(array.tobytes("F"))
        file.truncate(1 << 40)  # sparse: it takes no room
    assert (read_volume(tmp_path / "v.mhd").array == array).all()


def shifted(affine, millimetres):
    moved = affine.copy()
    moved[:3, 3] += millimetres
    return moved


def save_nifti(path, *, qform_code, sform_code, unit="mm", image_type=nib.Nifti1Image):
    affine = oblique() @ np.diag([-1, 1, 1, 1])
    image = image_type(numbered(), affine)
    image.set_qform(shifted(affine, 5), qform_code)
    image.set_sform(shifted(affine, -7), sform_code)
    image.header.set_xyzt_units(unit)
    image.to_filename(path)
    return nib.load(path)


@pytest.mark.parametrize("unit", ["mm", "meter", "micron", "unknown"])
@pytest.mark.parametrize(("qform_code", "sform_code"), [(1, 4), (1, 0), (0, 2), (0, 0), (3, 3)])
def test_nifti_header_survives(qform_code, sform_code, unit, tmp_path):
    path, copy = tmp_path / "in.nii", tmp_path / "out.nii"
    before = save_nifti(path, qform_code=qform_code, sform_code=sform_code, unit=unit)
    volume = read_volume(path)
    write_volume(volume.with_array(volume.array + 1), copy)
    after = nib.load(copy)
    assert after.header.get_xyzt_units()[0] == unit
    assert np.allclose(after.affine, before.affine, atol=1e-5)
    for form in ("get_qform", "get_sform"):
        (matrix, code), (expected, expected_code) = (
            getattr(image, form)(coded=True) for image in (after, before)
        )
        assert code == expected_code
        assert (matrix is None) == (expected is None)
        assert matrix is None or np.allclose(matrix, expected, atol=1e-5)
    millimetres = {"mm": 1, "unknown": 1, "meter": 1000, "micron": 0.001}[unit]
    assert np.allclose(volume.spacing, np.array(before.header.get_zooms()) * millimetres)


@pytest.mark.parametrize(("qform_code", "sform_code"), [(1, 4), (1, 0), (0, 0)])
def test_nifti_frame_follows_canonical(qform_code, sform_code, tmp_path):
    save_nifti(tmp_path / "in.nii", qform_code=qform_code, sform_code=sform_code)
    volume = read_volume(tmp_path / "in.nii")
    canonical = volume.canonical()
    write_volume(canonical, tmp_path / "out.nii")
    back = read_volume(tmp_path / "out.nii")
    assert np.allclose(back.affine, canonical.affine, atol=1e-5)
    assert (volume.orientation, back.orientation) == ("LAS", "RAS")
    if qform_code:
        assert (back.frame.qform_code, back.frame.sform_code) == (qform_code, sform_code)
        assert np.allclose(back.frame.qform, canonical.frame.qform, atol=1e-5)


def test_affine_wins_over_a_frame_that_contradicts_it(tmp_path):
    save_nifti(tmp_path / "in.nii", qform_code=1, sform_code=1)
    frame = read_volume(tmp_path / "in.nii").frame
    write_volume(Volume(numbered(), AFFINES[7], frame), tmp_path / "out.nii")
    assert np.allclose(nib.load(tmp_path / "out.nii").affine, AFFINES[7])


def test_reads_nifti_2(tmp_path):
    image = save_nifti(
        tmp_path / "v.nii.gz", qform_code=1, sform_code=1, image_type=nib.Nifti2Image
    )
    assert isinstance(image, nib.Nifti2Image)
    volume = read_volume(tmp_path / "v.nii.gz")
    assert np.array_equal(volume.array, numbered())
    assert np.allclose(volume.affine, image.affine)


def test_reads_big_endian_and_scaled_nifti(tmp_path):
    image = nib.Nifti1Image(numbered(), np.eye(4), nib.Nifti1Header(endianness=">"))
    image.header.set_slope_inter(2, -1024)
    image.to_filename(tmp_path / "v.nii")
    volume = read_volume(tmp_path / "v.nii")
    assert volume.array.dtype.isnative
    assert np.array_equal(volume.array, nib.load(tmp_path / "v.nii").get_fdata())


@pytest.mark.parametrize("suffix", ["nii", "npy"])
def test_a_volume_does_not_follow_its_file(suffix, tmp_path):
    path = tmp_path / f"v.{suffix}"
    write_volume(Volume.of(numbered()), path)
    volume = read_volume(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert np.array_equal(volume.array, numbered())


def test_plain_integers_stay_integers(tmp_path):
    nib.Nifti1Image(numbered(), np.eye(4)).to_filename(tmp_path / "v.nii")
    assert read_volume(tmp_path / "v.nii").array.dtype == np.int16


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "npy"])
def test_reading_makes_no_float_copy(suffix, tmp_path):
    path = tmp_path / f"v.{suffix}"
    voxels = 192**3
    write_volume(Volume.of(np.zeros((192, 192, 192), np.uint8)), path)
    code = f"""
import tracemalloc
from zoo.volumes.files import read_volume
import zoo.volumes.formats.nifti, zoo.volumes.formats.nrrd, zoo.volumes.formats.numpy, nrrd
tracemalloc.start()
volume = read_volume({str(path)!r})
print(tracemalloc.get_traced_memory()[1])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    copies = int(run.stdout) / voxels
    assert copies < (5 if suffix == "nrrd" else 1.3)  # pynrrd makes copies of its own


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        (bool, np.uint8),
        (np.float16, np.float32),
        (np.longdouble, np.float64),
        (np.int64, np.uint8),
        (np.uint64, np.uint8),
        (np.float32, np.float32),
        (np.uint16, np.uint16),
    ],
)
def test_nifti_dtypes(dtype, stored, tmp_path):
    array = numbered().astype(dtype)
    write_volume(Volume.of(array), tmp_path / "v.nii")
    back = read_volume(tmp_path / "v.nii").array
    assert back.dtype == stored
    assert np.array_equal(back, array)


@pytest.mark.parametrize(
    ("low", "high", "stored"),
    [(-1, 255, np.int16), (0, 2**15, np.int32), (0, 2**32 - 1, np.uint32)],
)
def test_nifti_narrows_wide_integers(low, high, stored, tmp_path):
    array = np.array([low, high]).reshape(1, 1, 2)
    write_volume(Volume.of(array), tmp_path / "v.nii")
    back = read_volume(tmp_path / "v.nii").array
    assert back.dtype == stored
    assert np.array_equal(back, array)


def test_nifti_refuses_integers_beyond_32_bits(tmp_path):
    with pytest.raises(VolumeError, match=r"v\.nii: wanted integers that fit 32 bits, got -1 to"):
        write_volume(Volume.of(np.array([-1, 2**32]).reshape(1, 1, 2)), tmp_path / "v.nii")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_gzipped_nrrd_is_what_pynrrd_reads(tmp_path, kind, endian):
    array = (numbered() - 5).astype(kind)
    if endian == "big":
        array = array.astype(array.dtype.newbyteorder(">"))
    header = {"space": "left-posterior-superior", "endian": endian}
    nrrd.write(str(tmp_path / "v.nrrd"), array, header)
    volume = read_volume(tmp_path / "v.nrrd")
    wanted = nrrd.read(str(tmp_path / "v.nrrd"))[0]
    assert volume.array.dtype == wanted.dtype.newbyteorder("=")
    assert (volume.array == wanted).all() and (wanted == array).all()


@pytest.mark.parametrize("encoding", ["raw", "ascii", "bz2"])
def test_other_encodings_of_nrrd(tmp_path, encoding):
    nrrd.write(str(tmp_path / "v.nrrd"), numbered(), {"encoding": encoding})
    assert (read_volume(tmp_path / "v.nrrd").array == numbered()).all()


def test_nrrd_stores_bool_and_half(tmp_path):
    for dtype, stored in [(bool, np.uint8), (np.float16, np.float32), (np.int64, np.int64)]:
        write_volume(Volume.of(numbered().astype(dtype)), tmp_path / "v.nrrd")
        assert read_volume(tmp_path / "v.nrrd").array.dtype == stored


@pytest.mark.parametrize("suffix", ["nii", "nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("affine", [oblique(), AFFINES[13]], ids=orientation_id)
def test_physical_points_agree_with_simpleitk(affine, suffix, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    index = (1, 0, 3)
    array = np.zeros((2, 3, 4), np.uint8)
    array[index] = 9
    expected = (affine @ [*index, 1])[:3]

    write_volume(Volume(array, affine), tmp_path / f"ours.{suffix}")
    image = sitk.ReadImage(str(tmp_path / f"ours.{suffix}"))
    assert image[index] == 9
    assert np.allclose(lps_point(image, index), expected, atol=1e-4)

    sitk.WriteImage(image, str(tmp_path / f"theirs.{suffix}"))
    volume = read_volume(tmp_path / f"theirs.{suffix}")
    assert volume.array[index] == 9
    assert np.allclose((volume.affine @ [*index, 1])[:3], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint32", "int64", "float32", "float64"])
@pytest.mark.parametrize("packed", [False, True])
def test_metaimage_is_what_simpleitk_reads(kind, packed, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    array = numbered().astype(kind)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    sitk.WriteImage(image, str(tmp_path / "v.mha"), useCompression=packed)
    volume = read_volume(tmp_path / "v.mha")
    assert volume.array.dtype == array.dtype and (volume.array == array).all()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ElementNumberOfChannels = 3", "wanted one number per voxel, got 3"),
        ("BinaryData = False", "got numbers as text"),
        ("DimSize = 4 6", "wanted 3 dimensions"),
        ("DimSize = 200 300 400", "Expected 48000000 bytes of voxels, got a file of 48 bytes"),
        ("ElementType = MET_OTHER", "MET_OTHER"),
        ("Offset = 1 2", "2 numbers of Offset, wanted 3"),
    ],
)
def test_metaimage_that_is_no_volume(line, said, tmp_path):
    header = f"NDims = 3\nDimSize = 2 3 4\nElementType = MET_SHORT\n{line}\n"
    path = tmp_path / "v.mha"
    path.write_bytes(f"{header}ElementDataFile = LOCAL\n".encode() + bytes(48))
    with pytest.raises((ReadError, VolumeError), match=said):
        read_volume(path)


@pytest.mark.parametrize(("start", "before"), [("-1", 7), ("7", 7), ("0", 0)])
def test_metaimage_with_a_header_before_its_voxels(start, before, tmp_path):
    array = numbered(dtype=np.int16)
    size = " ".join(map(str, array.shape))
    header = f"DimSize = {size}\nElementType = MET_SHORT\nHeaderSize = {start}\n"
    (tmp_path / "v.mhd").write_text(f"{header}ElementDataFile = v.dat\n")
    (tmp_path / "v.dat").write_bytes(bytes(before) + array.tobytes("F"))
    assert (read_volume(tmp_path / "v.mhd").array == array).all()


@pytest.mark.parametrize("spacing", ["", "ElementSpacing = 1 1 2\n"])
@pytest.mark.parametrize("first", [True, False])
def test_metaimage_whose_slices_overlap(spacing, first, tmp_path):
    """How large voxels are stands for their spacing only where that is missing, as in ITK."""
    sitk = pytest.importorskip("SimpleITK")
    size = "ElementSize = 1 1 5\n"
    lines = size + spacing if first else spacing + size
    header = f"NDims = 3\nDimSize = 2 3 4\nElementType = MET_SHORT\n{lines}"
    path = tmp_path / "v.mha"
    path.write_bytes(f"ObjectType = Image\n{header}ElementDataFile = LOCAL\n".encode() + bytes(48))
    found = read_volume(path).spacing
    assert found == sitk.ReadImage(str(path)).GetSpacing() == (1, 1, 2 if spacing else 5)


@pytest.mark.parametrize("suffix", ["mhd", "nhdr"])
def test_voxels_are_never_read_from_a_device(suffix, tmp_path):
    """One could read for ever."""
    path = tmp_path / f"v.{suffix}"
    write_volume(Volume.of(numbered()), path)
    named = next(each.name for each in tmp_path.iterdir() if each != path)
    path.write_text(path.read_text().replace(named, "/dev/zero"))
    with pytest.raises(ReadError, match="'/dev/zero', got no such file"):
        read_volume(path)


def lps_point(image, index):
    x, y, z = image.TransformIndexToPhysicalPoint(index)
    return -x, -y, z


def write_nrrd_text(path, geometry):
    """A raw 2x3x4 uint8 NRRD whose geometry fields are given as text."""
    header = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n{geometry}\n\n"
    path.write_bytes(header.encode() + numbered(dtype=np.uint8).tobytes(order="F"))
    return path


GEOMETRY = "space: {}\nspace directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (10,20,30)"


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("LAS", (-1, 1, 1)),
    ],
)
def test_nrrd_spaces(space, signs, tmp_path):
    volume = read_volume(write_nrrd_text(tmp_path / "v.nrrd", GEOMETRY.format(space)))
    assert np.array_equal(volume.array, numbered())
    assert np.array_equal(volume.affine[:3, :3], np.diag([2, 3, 4]) * signs)
    assert np.array_equal(volume.affine[:3, 3], np.array([10, 20, 30]) * signs)


@pytest.mark.parametrize("geometry", ["spacings: 2 3 4", "kinds: domain domain domain", "#"])
def test_nrrd_without_directions_is_read_as_simpleitk_does(geometry, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    path = write_nrrd_text(tmp_path / "v.nrrd", geometry)
    point = lps_point(sitk.ReadImage(str(path)), (1, 2, 3))
    assert np.allclose((read_volume(path).affine @ [1, 2, 3, 1])[:3], point)


def test_nrrd_units(tmp_path):
    units = GEOMETRY.format("RAS") + '\nspace units: "{0}" "{0}" "{0}"'
    volume = read_volume(write_nrrd_text(tmp_path / "v.nrrd", units.format("cm")))
    assert volume.spacing == (20, 30, 40)
    with pytest.raises(VolumeError, match=r"wanted space units of mm, got .*inch"):
        read_volume(write_nrrd_text(tmp_path / "v.nrrd", units.format("inch")))


def test_nrrd_refuses_an_unknown_space(tmp_path):
    with pytest.raises(VolumeError, match=r"wanted a space of .*, got 'scanner-xyz'"):
        read_volume(write_nrrd_text(tmp_path / "v.nrrd", GEOMETRY.format("scanner-xyz")))


@pytest.mark.parametrize("channels", [1, 3])
def test_nrrd_with_a_channel_axis(channels, tmp_path):
    header = f"NRRD0004\ntype: uint8\ndimension: 4\nsizes: {channels} 2 3 4\nencoding: raw\n"
    header += "space: RAS\nspace directions: none (2,0,0) (0,3,0) (0,0,4)\n\n"
    array = numbered((channels, 2, 3, 4), np.uint8)
    path = tmp_path / "v.nrrd"
    path.write_bytes(header.encode() + array.tobytes(order="F"))
    if channels == 1:
        assert np.array_equal(read_volume(path).array, array[0])
    else:
        with pytest.raises(VolumeError, match=r"one number per voxel, got shape \(3, 2, 3, 4\)"):
            read_volume(path)


def test_nhdr_names_the_data_file_that_is_missing(tmp_path):
    write_volume(Volume.of(numbered()), tmp_path / "v.nhdr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.nhdr", "v.raw.gz"]
    (tmp_path / "v.raw.gz").unlink()
    with pytest.raises(ReadError, match=r"v\.nhdr: .*v\.raw\.gz"):
        read_volume(tmp_path / "v.nhdr")


def test_nrrd_without_pynrrd_names_the_extra(tmp_path, monkeypatch):
    write_volume(Volume.of(numbered()), tmp_path / "v.nrrd")
    real_import = builtins.__import__

    def no_nrrd(name, *args, **kwargs):
        if name == "nrrd":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_nrrd)
    with pytest.raises(MissingDependency, match=r"pip install 'sparse-volume-zoo\[nrrd\]'"):
        read_volume(tmp_path / "v.nrrd")


def test_npy_and_npz(tmp_path):
    np.save(tmp_path / "v.npy", numbered())
    assert np.array_equal(read_volume(tmp_path / "v.npy").affine, np.eye(4))
    np.savez(tmp_path / "v.npz", array=numbered(), affine=oblique())
    assert np.array_equal(read_volume(tmp_path / "v.npz").affine, oblique())
    np.savez(tmp_path / "w.npz", mask=numbered())
    with pytest.raises(ReadError, match=r"w\.npz: .*no entry named 'array' among \['mask'\]"):
        read_volume(tmp_path / "w.npz")


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_pickles_are_refused(suffix, tmp_path):
    pickled = np.array([[[{}]]], dtype=object)
    path = tmp_path / f"v.{suffix}"
    np.save(path, pickled) if suffix == "npy" else np.savez(path, array=pickled)
    with pytest.raises(ReadError, match="allow_pickle=False"):
        read_volume(path)


def test_damaged_gzip_is_noticed(tmp_path):
    path = tmp_path / "v.nii.gz"
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 16), np.uint8)
    write_volume(Volume.of(noise), path)
    with gzip.open(path, "wb", compresslevel=0) as stream:
        stream.write(nib.Nifti1Image(noise, np.eye(4)).to_bytes())
    damaged = bytearray(path.read_bytes())
    damaged[-1000] ^= 1  # a stored voxel; the checksum no longer fits
    path.write_bytes(damaged)
    with pytest.raises(ReadError, match=r"v\.nii\.gz: .*CRC"):
        read_volume(path)


def test_nifti_without_any_spacing_is_refused(tmp_path):
    """The reader's library would silently take 1 mm."""
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.uint8), None)
    image.header["pixdim"][2] = 0
    path = tmp_path / "no_spacing.nii"
    path.write_bytes(image.header.binaryblock + bytes(4 + 24))
    with pytest.raises(VolumeError, match=r"no_spacing.nii: wanted voxels of some size"):
        read_volume(path)


HOSTILE = "\x1b]0;owned\x07"  # a terminal would change its title


def hostile_nifti(path):
    """A header with control characters for a magic string."""
    nib.Nifti1Image(numbered(), np.eye(4)).to_filename(path)
    content = bytearray(path.read_bytes())
    content[344:348] = b"\x1b]\x9b\x07"
    path.write_bytes(content)


def hostile_nrrd(path):
    write_volume(Volume.of(numbered()), path)
    path.write_bytes(path.read_bytes().replace(b"encoding: gzip", f"encoding: {HOSTILE}".encode()))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make"), [("v.nii", hostile_nifti), ("v.nrrd", hostile_nrrd)])
def test_what_a_hostile_file_says_reaches_no_terminal(name, make, tmp_path):
    make(tmp_path / name)
    code = f"import zoo; zoo.Volume.of({str(tmp_path / name)!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stderr.startswith("Traceback")  # nothing was printed before
    assert "zoo.errors.ReadError: " in run.stderr
    assert not set(run.stderr) & set("\x1b\x07\x9b")


def test_a_header_is_mended_without_a_word_and_nibabels_logger_stays(tmp_path, caplog):
    path = tmp_path / "v.nii"
    nib.Nifti1Image(numbered(), np.eye(4)).to_filename(path)
    content = bytearray(path.read_bytes())
    content[80:84] = np.float32(-1).tobytes()  # a spacing, which nibabel makes positive
    path.write_bytes(content)
    assert np.array_equal(read_volume(path).array, numbered())
    assert not caplog.records
    nib.Nifti1Image.from_filename(path)
    assert "pixdim" in caplog.text


def labelled(*names):
    """Structures 1, 2, ... of a voxel each, with these names."""
    array = np.zeros((4, 5, 6), np.uint8)
    array.flat[: len(names)] = range(1, len(names) + 1)
    return Volume(array, np.diag([1.0, 2.0, 3.0, 1.0]), about=About(labels=names))


def test_nifti_has_names_where_totalsegmentator_reads_them(tmp_path):
    write_volume(labelled("left <atrium> & more", "aorta"), tmp_path / "v.nii.gz")
    first, *_ = nib.load(tmp_path / "v.nii.gz").header.extensions
    table = ElementTree.fromstring(first.get_content()).find("VolumeInformation/LabelTable")
    assert {int(each.get("Key")): each.text for each in table} == {
        1: "left <atrium> & more",
        2: "aorta",
    }
    parts = [float(table[1].get(part)) for part in ("Red", "Green", "Blue")]
    assert np.allclose(np.multiply(parts, 255), colour_of(2), atol=0.01)


def test_a_mask_has_no_table(tmp_path):
    write_volume(labelled("implant"), tmp_path / "v.nii.gz")
    assert not nib.load(tmp_path / "v.nii.gz").header.extensions


def test_a_segmentation_of_slicer_has_names_and_colours(tmp_path):
    volume = labelled("Oesophagus", "Öhr", "耳")
    write_volume(volume, tmp_path / "v.seg.nrrd")
    _, header = nrrd.read(tmp_path / "v.seg.nrrd")
    assert [header[f"Segment{n}_Name"] for n in range(3)] == ["Oesophagus", "Ohr", "label 3"]
    assert [header[f"Segment{n}_LabelValue"] for n in range(3)] == ["1", "2", "3"]
    assert header["Segment0_Extent"] == "0 3 0 4 0 5"
    assert header["Segmentation_MasterRepresentation"] == "Binary labelmap"
    colour = np.array(header["Segment2_Color"].split(), float)
    assert np.allclose(255 * colour, colour_of(3), atol=0.01)
    assert np.array_equal(read_volume(tmp_path / "v.seg.nrrd").array, volume.array)


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ('<Label Key="2" Red="1"><![CDATA[spleen]]></Label>', ("label 1", "spleen")),
        ('<Label Red="1" Key="1" Alpha="1">left &amp; right</Label>', ("left & right",)),
        ('<Label Key="1">a\x1bb</Label><Label Key="999999999">c</Label>', ()),
        ("<!ENTITY a 'b'><Label Key='1'>&a;</Label>", ()),
        ("no table at all", ()),
    ],
)
def test_names_of_labels_in_a_table_of_others(tmp_path, table, names):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension(0, table.encode()))
    image.to_filename(tmp_path / "v.nii.gz")
    about = read_volume(tmp_path / "v.nii.gz").about
    assert (about.labels if about else ()) == names


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd", "npz"])
def test_the_header_alone_tells_the_size(suffix, tmp_path):
    affine = np.array([[0, -2.0, 0, 5], [0.5, 0, 0, 1], [0, 0, 3, 2], [0, 0, 0, 1]])
    path = tmp_path / f"v.{suffix}"
    Volume(np.ones((4, 5, 6), np.int16), affine).save(path)
    voxels, mm3 = size_in_header(path)
    assert voxels == 120 and mm3 == pytest.approx(120 * 2 * 0.5 * 3, rel=1e-5)


def test_numpy_files_without_an_affine_tell_their_size(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((4, 5, 6)))
    np.savez_compressed(tmp_path / "v.npz", array=np.ones((4, 5, 6)))
    assert size_in_header(tmp_path / "v.npy") == size_in_header(tmp_path / "v.npz") == (120, 120.0)


def test_what_tells_no_size_is_as_large_as_its_file(tmp_path):
    (tmp_path / "v.nrrd").write_bytes(b"NRRD")
    (tmp_path / "v.npy").write_bytes(bytes(77))
    assert size_in_header(tmp_path / "v.nrrd") == (4, 4.0)
    assert size_in_header(tmp_path / "v.npy") == (77, 77.0)
