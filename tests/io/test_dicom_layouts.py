"""Every layout of DICOM on disk gives the same volume, bit for bit."""

import shutil
import zipfile
from contextlib import suppress

import numpy as np
import pydicom
import pytest
from dicom_studies import SAGITTAL, SECRETS, write_enhanced, write_study
from pydicom import uid
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.io import archives, dicom, scans

# Enhanced MR


@pytest.fixture(params=[True, False], ids=["one object", "one object per echo"])
def enhanced(request, tmp_path):
    return write_enhanced(tmp_path / "enhanced", make_array(), one_object=request.param)


def test_enhanced_mr_reads_the_same_volume_with_its_acquisition(enhanced):
    volume = dicom.read_series(enhanced)
    np.testing.assert_array_equal(volume.array, make_array())
    np.testing.assert_allclose(volume.affine, SAGITTAL, atol=1e-6)
    assert volume.echo_times_ms == (7, 39)
    assert (volume.repetition_time_ms, volume.flip_angle_deg) == (23, 20)
    assert (volume.spoiler_area, volume.spoiler_duration_us) == (3132, 1560)
    assert volume.slice_thickness_mm == 1.5


def test_one_enhanced_object_of_one_echo_is_a_single_contrast_scan(tmp_path):
    array = make_array(echoes=1)
    write_enhanced(tmp_path, array)
    np.testing.assert_array_equal(scans.read_scan(tmp_path / "object1").array, array)


def test_derived_series_of_enhanced_mr_refer_to_its_frames(enhanced, tmp_path):
    dicom.write_series(dicom.read_series(enhanced), tmp_path / "out", like=enhanced)
    np.testing.assert_array_equal(dicom.read_series(tmp_path / "out").array, make_array())
    written = pydicom.dcmread(tmp_path / "out" / "echo2_0002.dcm")
    (reference,) = written.SourceImageSequence
    source = next(
        header
        for header in map(pydicom.dcmread, sorted(enhanced.iterdir()))
        if reference.ReferencedSOPInstanceUID == header.SOPInstanceUID
    )
    assert reference.ReferencedSOPClassUID == source.SOPClassUID
    frame = source.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
    assert frame.PlanePositionSequence[0].ImagePositionPatient == written.ImagePositionPatient
    assert frame.MREchoSequence[0].EffectiveEchoTime == written.EchoTime == 39
    assert (written.ImageLaterality, written.RepetitionTime, written.FlipAngle) == ("R", 23, 20)


def test_each_frame_has_its_own_rescale(tmp_path):
    def rescale(header):
        header.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[
            0
        ].RescaleSlope = "0.5"

    write_enhanced(tmp_path, make_array(), change=rescale)
    np.testing.assert_array_equal(dicom.read_series(tmp_path).array, make_array() * 0.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda header: header.PerFrameFunctionalGroupsSequence.pop(), "ValueError"),
        (lambda header: header.pop("PerFrameFunctionalGroupsSequence"), "AttributeError"),
        (
            lambda header: header.PerFrameFunctionalGroupsSequence[3].pop("PlanePositionSequence"),
            "ImagePositionPatient",
        ),
        (lambda header: setattr(header, "PixelData", header.PixelData[:-40]), "is cut short"),
        (
            lambda header: header.PerFrameFunctionalGroupsSequence[5].pop("MREchoSequence"),
            "expected one or two echoes",
        ),
    ],
)
def test_a_damaged_enhanced_object_is_refused(tmp_path, change, words):
    write_enhanced(tmp_path, make_array(), change=change)
    with pytest.raises(InputError, match=words):
        dicom.read_series(tmp_path)


# Compressed transfer syntaxes


def compressed(tmp_path, array, syntax, **options):
    write_study(tmp_path, array)
    for file in tmp_path.iterdir():
        header = pydicom.dcmread(file)
        header.compress(syntax, generate_instance_uid=False, **options)
        header.save_as(file)
    return tmp_path


@pytest.mark.parametrize(
    "syntax", [uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless], ids=lambda s: s.name
)
@pytest.mark.parametrize("dtype", ["i2", "u2", "u1"])
def test_lossless_compression_reads_bit_for_bit(tmp_path, syntax, dtype):
    array = np.random.default_rng(0).integers(0, 200, (64, 70, 3, 2)).astype(dtype)
    np.testing.assert_array_equal(
        dicom.read_series(compressed(tmp_path, array, syntax)).array, array
    )


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLossless], ids=lambda s: s.name)
def test_jpeg_lossless_as_scanners_send_it_reads_bit_for_bit(tmp_path, syntax):
    """The encoder is DCMTK, which is not among the decoders."""
    if not shutil.which("dcmcjpeg"):
        pytest.skip("dcmcjpeg (Debian package dcmtk) is not installed")
    import subprocess

    array = make_array((16, 16, 3))
    write_study(tmp_path, array)
    for file in tmp_path.iterdir():
        way = "+e1" if syntax == uid.JPEGLosslessSV1 else "+el"
        subprocess.run(["dcmcjpeg", way, file, file], check=True)
        assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(dicom.read_series(tmp_path).array, array)


def test_the_error_names_the_package_that_a_compressed_scan_needs(tmp_path, monkeypatch):
    study = compressed(tmp_path, make_array((8, 8, 2)), uid.RLELossless)
    decoder = type(pydicom.pixels.get_decoder(uid.RLELossless))
    monkeypatch.setattr(decoder, "is_available", property(lambda self: False))
    with pytest.raises(
        InputError, match=r"RLE Lossless.*pip install python-gdcm pylibjpeg pylibjpeg-openjpeg"
    ):
        dicom.read_series(study)


@pytest.mark.parametrize("syntax", [uid.MPEG2MPML, uid.UID("1.2.3.4")])
def test_a_transfer_syntax_that_nothing_reads_is_named(tmp_path, syntax):
    write_study(tmp_path, make_array((4, 4, 2)))
    for file in tmp_path.iterdir():
        header = pydicom.dcmread(file)
        header.file_meta.TransferSyntaxUID = syntax
        header.PixelData = pydicom.encaps.encapsulate([header.PixelData])
        header["PixelData"].is_undefined_length = True
        pydicom.dcmwrite(file, header, implicit_vr=False, little_endian=True)
    with pytest.raises(InputError, match=rf"transfer syntax .* got {syntax.name}"):
        dicom.read_series(tmp_path)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian])
def test_other_uncompressed_syntaxes_read_bit_for_bit(tmp_path, syntax):
    write_study(tmp_path, make_array())
    for file in tmp_path.iterdir():
        header = pydicom.dcmread(file)
        header.file_meta.TransferSyntaxUID = syntax
        header.save_as(file, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    np.testing.assert_array_equal(dicom.read_series(tmp_path).array, make_array())


# Zip archives


def zipped(folder, archive, **options):
    options.setdefault("compression", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(archive, "w", **options) as target:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            target.write(file, file.relative_to(folder))
    return archive


@pytest.fixture
def archive(tmp_path):
    study = write_study(tmp_path / "study", make_array(), name="visit/e{echo}/IM{slice}")
    (study / "visit" / "notes.txt").write_text("not a slice")
    (study / "._IM0.dcm").write_bytes(b"what macOS adds")
    return zipped(study, tmp_path / "knee.zip")


def test_a_zip_archive_is_read_in_place(archive, caplog):
    before = sorted(archive.parent.iterdir())
    np.testing.assert_array_equal(scans.read_scan(archive).array, make_array())
    assert "2 not DICOM" in caplog.text
    assert sorted(archive.parent.iterdir()) == before


def test_a_zip_archive_in_a_subjects_folder_is_its_scan(archive, tmp_path):
    subject = tmp_path / "subject"
    subject.mkdir()
    archive.rename(subject / "knee.zip")
    np.testing.assert_array_equal(scans.read_scan(subject).array, make_array())


def test_a_zip_archive_is_a_subject_and_the_source_of_derived_series(archive, tmp_path):
    assert scans.find_scans(archive) == {"knee": scans.find_scan(archive)}
    unpacked = scans.read_scan(tmp_path / "study")
    assert scans.read_scan(archive).identity == unpacked.identity
    dicom.write_series(dicom.read_series(archive), tmp_path / "out", like=archive)
    np.testing.assert_array_equal(dicom.read_series(tmp_path / "out").array, make_array())


def test_archives_in_one_folder_are_subjects(tmp_path):
    for name in "ab":
        study = write_study(tmp_path / "studies" / name, make_array((3, 3, 2)))
        (tmp_path / "zips").mkdir(exist_ok=True)
        zipped(study, tmp_path / "zips" / f"{name}.zip")
    assert list(scans.find_scans(tmp_path / "zips")) == ["a", "b"]


def test_enhanced_and_compressed_files_are_read_out_of_an_archive(tmp_path):
    write_enhanced(tmp_path / "e", make_array())
    archive = zipped(tmp_path / "e", tmp_path / "e.zip", compression=zipfile.ZIP_STORED)
    np.testing.assert_array_equal(dicom.read_series(archive).array, make_array())


def test_names_that_point_out_of_an_archive_write_nothing(tmp_path):
    write_study(tmp_path / "study", make_array())
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as target:
        for number, file in enumerate(sorted((tmp_path / "study").iterdir())):
            target.write(file, f"../../escape{number}")
    before = sorted(tmp_path.parent.rglob("*"))
    np.testing.assert_array_equal(dicom.read_series(tmp_path / "inner.zip").array, make_array())
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("limit", "value"), [("MOST_FILES", 3), ("LARGEST_BYTES", 1000), ("HARMLESS_BYTES", 100)]
)
def test_a_decompression_bomb_is_refused_before_it_is_read(tmp_path, monkeypatch, limit, value):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as target:
        for number in range(4):
            target.writestr(f"{number}", bytes(10**6))
    monkeypatch.setattr(archives, limit, value)
    with pytest.raises(InputError, match=r"expected the zip archive of one scan, got 4 files"):
        dicom.read_series(tmp_path / "bomb.zip")


def test_an_archive_that_records_a_wrong_size_is_refused(archive):
    whole = archive.read_bytes()
    entry = whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"visit/e1/IM1"))
    archive.write_bytes(whole[: entry + 24] + b"\x10\0\0\0" + whole[entry + 28 :])
    with pytest.raises(InputError, match=r"knee\.zip"):
        dicom.read_series(archive)


def test_an_archive_with_a_password_is_refused(archive):
    whole = bytearray(archive.read_bytes())
    place = whole.index(b"PK\x01\x02")
    while place >= 0:
        whole[place + 8] |= 1
        place = whole.find(b"PK\x01\x02", place + 1)
    archive.write_bytes(whole)
    with pytest.raises(InputError, match="without a password"):
        dicom.read_series(archive)


def test_an_archive_without_dicom_is_refused_and_says_what_is_there(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr("notes.txt", "x")
    with pytest.raises(InputError, match="found 1 not DICOM"):
        dicom.read_series(tmp_path / "a.zip")


def test_damaged_archives_are_read_or_refused(archive):
    whole, random = archive.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            damaged[place] = random.integers(256)
        archive.write_bytes(damaged)
        with suppress(InputError):
            # Entries have checksums, so what is read is correct.
            np.testing.assert_array_equal(dicom.read_series(archive).array, make_array())


# A media folder


def test_a_cd_with_its_dicomdir_reads_the_scan(tmp_path):
    from pydicom.fileset import FileSet

    study = write_study(tmp_path / "study", make_array())
    media = FileSet()
    for file in study.iterdir():
        header = pydicom.dcmread(file)
        header.StudyDate, header.StudyTime, header.StudyID = "20200101", "120000", "1"
        media.add(header)
    media.write(tmp_path / "cd")
    assert (tmp_path / "cd" / "DICOMDIR").is_file()
    np.testing.assert_array_equal(scans.read_scan(tmp_path / "cd").array, make_array())
    assert scans.find_scans(tmp_path / "cd") == {"cd": scans.find_scan(tmp_path / "cd")}


def test_errors_of_a_damaged_enhanced_object_never_name_the_patient(tmp_path, recwarn, caplog):
    write_enhanced(tmp_path, make_array((3, 3, 2)))
    file = tmp_path / "object1"
    whole, random = file.read_bytes(), np.random.default_rng(3)
    messages = ""
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[random.integers(128, len(whole))] = random.integers(256)
        file.write_bytes(damaged)
        try:
            dicom.read_series(tmp_path)
        except InputError as error:
            messages += str(error)
    messages += "".join(str(warning.message) for warning in recwarn) + caplog.text
    assert not any(secret in messages for secret in SECRETS)
