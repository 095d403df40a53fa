"""Headers as scanners, archives and anonymisers leave them."""

import numpy as np
import pydicom
import pytest
from dicom_studies import SAGITTAL, write_enhanced, write_study
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian, generate_uid
from random_scans import make_array
from scipy.spatial.transform import Rotation

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom

SHAPE = (4, 5, 8)
ARRAY = make_array(SHAPE)


def read(folder, change, array=ARRAY, **options):
    return dicom.read_series(write_study(folder, array, change=change, **options))


# Numbers with few digits


def test_times_that_differ_in_their_last_digit_are_one(tmp_path):
    def jitter(header, index, echo):
        header.EchoTime = [["7.0049", "7.0051"], ["39.0", "39.1"]][echo][index % 2]
        header.RepetitionTime = ["23", "23.001"][index % 2]
        header.FlipAngle = ["20", "20.01"][index % 2]

    volume = read(tmp_path, jitter)
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert volume.echo_times_ms == (7.0049, 39.0)
    assert (volume.repetition_time_ms, volume.flip_angle_deg) == (23, 20)


def test_one_image_of_another_time_is_no_jitter(tmp_path):
    def shift(header, index, echo):
        if (index, echo) == (3, 1):
            header.EchoTime = "39.5"

    with pytest.raises(InputError, match=r"at 39 ms, echo 2 at 39\.5 ms"):
        read(tmp_path, shift)


def oblique(spacing_mm):
    affine = np.eye(4)
    turn = Rotation.from_euler("zyx", [8, 5, 3], degrees=True).as_matrix()
    affine[:3, :3] = turn @ SAGITTAL[:3, :3] @ np.diag([1, 1, spacing_mm / 1.5])
    affine[:3, 3] = (-50, -30, 40)
    return affine


def printed(digits, moved=None, by_mm=0.0):
    """Prints positions to so many digits; moves one slice along x."""

    def change(header, index, echo):
        x, y, z = (float(coordinate) for coordinate in header.ImagePositionPatient)
        x += by_mm * (index == moved)
        header.ImagePositionPatient = [f"{coordinate:.{digits}f}" for coordinate in (x, y, z)]

    return change


@pytest.mark.parametrize(("spacing_mm", "digits"), [(0.7, 1), (0.5, 1), (0.8, 2), (3.3, 0)])
def test_positions_are_evenly_spaced_within_their_digits(tmp_path, spacing_mm, digits):
    affine = oblique(spacing_mm)
    volume = read(tmp_path, printed(digits), affine=affine)
    np.testing.assert_array_equal(volume.array, ARRAY[:, :, :: -1 if flipped(affine) else 1])
    last = np.array([0, 0, SHAPE[2] - 1, 1])
    if flipped(affine):
        affine = affine @ np.array(
            [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, SHAPE[2] - 1], [0, 0, 0, 1]]
        )
    for corner in (np.array([0, 0, 0, 1]), last):
        assert np.abs((volume.affine - affine) @ corner).max() < 0.6 * 10**-digits


def flipped(affine):
    return np.cross(affine[:3, 1], affine[:3, 0]) @ affine[:3, 2] < 0


@pytest.mark.parametrize("digits", [0, 1, 6])
@pytest.mark.parametrize("missing", [1, 3, 6])
def test_a_missing_slice_is_found_however_positions_are_printed(tmp_path, digits, missing):
    def change(header, index, echo):
        printed(digits)(header, index, echo)
        if index == missing:
            del header.Rows

    with pytest.raises(InputError, match="expected a slice every"):
        read(tmp_path, change, affine=oblique(3.3 if digits == 0 else 0.7))


@pytest.mark.parametrize(("digits", "by_mm"), [(1, 0.3), (2, 0.1), (6, 0.05)])
def test_a_shifted_slice_is_refused(tmp_path, digits, by_mm):
    with pytest.raises(InputError, match="expected a slice every"):
        read(tmp_path, printed(digits, moved=4, by_mm=by_mm), affine=oblique(0.7))


# Echoes


def test_a_combined_image_of_several_echoes_is_one_echo(tmp_path):
    def combine(header, index, echo):
        header.EchoNumbers = [1, 2]

    volume = read(tmp_path, combine, ARRAY[..., :1])
    np.testing.assert_array_equal(volume.array, ARRAY[..., :1])
    assert volume.echo_times_ms == (7,)


def test_echoes_of_one_number_and_time_are_refused_with_what_to_do(tmp_path):
    def equalise(header, index, echo):
        header.EchoNumbers, header.EchoTime = 1, "7"

    words = "the 2 images of each slice, got echo 1 at 7 ms in all: write the true EchoTime"
    with pytest.raises(InputError, match=words):
        read(tmp_path, equalise)


def test_copies_of_all_files_are_not_taken_for_echoes(tmp_path):
    write_study(tmp_path / "scan", ARRAY[..., :1])
    (tmp_path / "scan" / "copy").mkdir()
    for file in list((tmp_path / "scan").glob("*.dcm")):
        (tmp_path / "scan" / "copy" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="one slice of echo 1 at 7 ms at each position, got two"):
        dicom.read_series(tmp_path / "scan")


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "RepetitionTime"])
def test_several_values_where_one_is_expected_are_refused(tmp_path, keyword):
    def repeat(header, index, echo):
        header[keyword].value = ["1", "2"]

    with pytest.raises(InputError, match=f"expected a single value as {keyword}, got .* in .*dcm"):
        dicom.read_series(write_plain(tmp_path, repeat))


def write_plain(folder, change):
    """A study whose file meta does not repeat the UIDs, so that any may be written."""
    write_study(folder, ARRAY[:, :, :2])
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        change(header, 0, 0)
        header.save_as(file)
    return folder


# Encodings


def without(*keywords):
    def encode(header, file):
        for keyword in keywords:
            delattr(header.file_meta, keyword)
        pydicom.dcmwrite(file, header, implicit_vr=False, little_endian=True)

    return encode


def bare(implicit_vr, little_endian):
    """Without preamble, prefix and file meta."""

    def encode(header, file):
        pixels = header.pixel_array.astype("<i2" if little_endian else ">i2")
        header.PixelData = pixels.tobytes()
        header.__delattr__("file_meta")
        pydicom.dcmwrite(file, header, implicit_vr=implicit_vr, little_endian=little_endian)

    return encode


def without_preamble(header, file):
    header.save_as(file)
    file.write_bytes(file.read_bytes()[132:])


@pytest.mark.parametrize(
    "encode",
    [
        without("MediaStorageSOPClassUID"),
        without("TransferSyntaxUID"),
        without("MediaStorageSOPClassUID", "TransferSyntaxUID"),
        bare(implicit_vr=True, little_endian=True),
        bare(implicit_vr=False, little_endian=True),
        bare(implicit_vr=False, little_endian=False),
        without_preamble,
    ],
)
def test_files_with_parts_of_their_beginning_missing_are_read(tmp_path, encode):
    write_study(tmp_path, ARRAY, name="{slice}_{echo}")
    for file in tmp_path.iterdir():
        header = pydicom.dcmread(file)
        header[0x7FE00010]  # decodes the pixels before the encoding changes
        encode(header, file)
    np.testing.assert_array_equal(dicom.read_series(tmp_path).array, ARRAY)


@pytest.mark.parametrize(
    "content",
    [b"\x08 notes", b"\xff\xd8\xff\xe0\0\x10JFIF" * 20, b"hello\n" * 50, bytes(500), b"\x08\0\5\0"],
    ids=["short", "JPEG", "text", "zeros", "the start of an element"],
)
def test_other_files_are_not_taken_for_dicom_without_preamble(tmp_path, caplog, content):
    write_study(tmp_path, ARRAY)
    (tmp_path / "other").write_bytes(content)
    np.testing.assert_array_equal(dicom.read_series(tmp_path).array, ARRAY)
    assert "1 not DICOM" in caplog.text


def test_an_image_that_does_not_say_its_class_is_refused(tmp_path):
    write_study(tmp_path, ARRAY)
    file = tmp_path / "slice001_echo1.dcm"
    header = pydicom.dcmread(file)
    del header.SOPClassUID
    without("MediaStorageSOPClassUID")(header, file)
    with pytest.raises(InputError, match=r"expected a SOPClassUID, found none in .*slice001_echo1"):
        dicom.read_series(tmp_path)


# Enhanced MR


def foreign_attributes():
    """What a private or reference sequence may repeat, about another object."""
    item = Dataset()
    item.SOPClassUID, item.SOPInstanceUID = ImplicitVRLittleEndian, generate_uid(None)
    item.ImagePositionPatient, item.EchoTime = [-49.8, -30.17, 40.31], "99"
    item.ImageOrientationPatient, item.PixelSpacing = [1, 0, 0, 0, 1, 0], [9, 9]
    item.RescaleSlope, item.RepetitionTime, item.Rows = "17", "999", 2
    return item


def add_private(groups):
    block = groups.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
    block.add_new(0x0F, "SQ", Sequence([foreign_attributes()]))


def add_reference(groups):
    groups.ReferencedImageSequence = [foreign_attributes()]


def add_to_the_position(groups):
    position = groups.PlanePositionSequence[0].ImagePositionPatient
    groups.PlanePositionSequence = [foreign_attributes()]
    groups.PlanePositionSequence[0].ImagePositionPatient = position


@pytest.mark.parametrize("add", [add_private, add_reference, add_to_the_position])
def test_only_the_attributes_of_the_frame_itself_count(tmp_path, add):
    uids = []

    def shadow(header):
        uids.append(header.SOPInstanceUID)
        for groups in header.PerFrameFunctionalGroupsSequence:
            add(groups)

    write_enhanced(tmp_path / "scan", ARRAY, change=shadow)
    volume = dicom.read_series(tmp_path / "scan")
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.affine, SAGITTAL, atol=1e-6)
    assert (volume.echo_times_ms, volume.repetition_time_ms) == ((7, 39), 23)
    dicom.write_series(volume, tmp_path / "out", like=tmp_path / "scan")
    written = pydicom.dcmread(next((tmp_path / "out").iterdir()))
    references = {item.ReferencedSOPInstanceUID for item in written.SourceImageSequence}
    assert references == set(uids)


def test_converted_objects_have_their_times_among_the_unassigned_attributes(tmp_path):
    def convert(header):
        header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.4"
        del header.SharedFunctionalGroupsSequence[0].MRTimingAndRelatedParametersSequence
        for number, groups in enumerate(header.PerFrameFunctionalGroupsSequence):
            del groups.MREchoSequence
            item = Dataset()
            item.EchoTime, item.EchoNumbers = ["7", "39"][number % 2], number % 2 + 1
            item.RepetitionTime, item.FlipAngle = "23", "20"
            groups.UnassignedPerFrameConvertedAttributesSequence = [item]

    volume = dicom.read_series(write_enhanced(tmp_path, ARRAY, change=convert))
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert (volume.echo_times_ms, volume.repetition_time_ms) == ((7, 39), 23)
