import shutil
from contextlib import suppress

import numpy as np
import pydicom
import pytest
from dicom_studies import SAGITTAL, SECRETS, save, write_study
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import generate_uid
from random_scans import make_array
from scipy.spatial.transform import Rotation

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom


def header_of(folder, name=None):
    files = sorted(folder.rglob("*.dcm"))
    return pydicom.dcmread(next(f for f in files if name is None or f.name == name))


def setting(**values):
    """Returns a change that is made to every header."""

    def change(header, index, echo):
        for keyword, value in values.items():
            setattr(header, keyword, value)

    return change


def deleting(*keywords):
    def change(header, index, echo):
        for keyword in keywords:
            delattr(header, keyword)

    return change


def only(index, echo, change):
    """Restricts a change to one slice and one echo (None for all)."""

    def changed(header, i, e):
        if index in (None, i) and echo in (None, e):
            change(header, i, e)

    return changed


leave_out = deleting("Rows")


# Reading


@pytest.mark.parametrize("one_series", [True, False])
def test_both_echoes_come_back_bit_for_bit_in_one_series_or_two(tmp_path, one_series):
    array = make_array()
    volume = dicom.read_series(write_study(tmp_path, array, one_series=one_series))
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.affine, SAGITTAL, atol=1e-6)
    assert volume.echo_times_ms == (7, 39)
    assert (volume.repetition_time_ms, volume.flip_angle_deg) == (23, 20)


def test_a_voxel_lies_where_the_standards_equation_puts_it(tmp_path):
    """PS3.3 C.7.6.2.1.1: P = IPP + X dx column + Y dy row."""
    affine = SAGITTAL @ np.diag([1, 1.6, 1, 1])  # rows and columns of different spacing
    volume = dicom.read_series(write_study(tmp_path, make_array(), affine=affine))
    header = header_of(tmp_path, "slice002_echo1.dcm")
    along_row, along_column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
    between_rows, between_columns = header.PixelSpacing
    row, col = 4, 3
    expected = (
        np.array(header.ImagePositionPatient, float)
        + along_row * between_columns * col
        + along_column * between_rows * row
    )
    np.testing.assert_allclose((volume.affine @ [row, col, 2, 1])[:3], expected, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    spacing=st.tuples(*[st.floats(0.2, 4)] * 3),
    flipped=st.booleans(),
)
def test_oblique_and_flipped_scans_keep_every_voxel_in_place(
    tmp_path_factory, seed, spacing, flipped
):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=seed).as_matrix() * spacing
    affine[:3, 3] = np.random.default_rng(seed).uniform(-200, 200, 3)
    if flipped:
        affine[:3, 2] *= -1
    array = make_array(seed=seed)
    volume = dicom.read_series(write_study(tmp_path_factory.mktemp("s"), array, affine=affine))
    normal = np.cross(volume.affine[:3, 1], volume.affine[:3, 0])
    assert volume.affine[:3, 2] @ normal > 0
    for index in np.ndindex(2, 2, 2):
        corner = np.array([*index]) * (np.array(array.shape[:3]) - 1)
        voxel = np.linalg.inv(volume.affine) @ affine @ [*corner, 1]
        np.testing.assert_allclose(voxel, np.rint(voxel), atol=1e-3)
        place = tuple(np.rint(voxel[:3]).astype(int))
        np.testing.assert_array_equal(volume.array[place], array[tuple(corner)])


@pytest.mark.parametrize("dtype", ["i2", "u2", "i1", "u1"])
def test_every_stored_type_is_read_to_its_ends(tmp_path, dtype):
    ends = np.iinfo(dtype)
    array = np.resize(np.array([ends.min, ends.max, 0, 1, 7], dtype), (3, 5, 4, 2))
    volume = dicom.read_series(write_study(tmp_path, array))
    np.testing.assert_array_equal(volume.array, array)


def test_twelve_stored_bits_are_read_with_their_sign(tmp_path):
    array = np.full((4, 4, 3, 1), 0x0FFF, np.int16)
    volume = dicom.read_series(
        write_study(tmp_path, array, change=setting(BitsStored=12, HighBit=11))
    )
    assert (volume.array == -1).all()


def test_each_image_has_its_own_rescale_slope_and_intercept(tmp_path):
    def rescale(header, index, echo):
        header.RescaleSlope, header.RescaleIntercept = str(index + 0.5), str(-3 * echo)

    array = make_array()
    volume = dicom.read_series(write_study(tmp_path, array, change=rescale))
    slopes, intercepts = np.arange(4)[:, None] + 0.5, np.array([0, -3])
    np.testing.assert_array_equal(volume.array, array * slopes + intercepts)


@pytest.mark.parametrize(
    ("change", "times"),
    [
        (deleting("EchoNumbers"), (7, 39)),
        (setting(EchoNumbers=1), (7, 39)),
        (deleting("EchoTime"), None),
        (setting(EchoTime=""), None),
        (setting(EchoTime="7"), (7, 7)),
        (only(None, 0, setting(EchoNumbers=2)), (7, 39)),
    ],
)
def test_echoes_are_distinguished_by_number_or_time(tmp_path, change, times):
    array = make_array()
    volume = dicom.read_series(write_study(tmp_path, array, change=change))
    np.testing.assert_array_equal(volume.array, array)
    assert volume.echo_times_ms == times


def test_the_earlier_echo_comes_first_whatever_its_number(tmp_path):
    def swap(header, index, echo):
        header.EchoNumbers = 2 - echo

    array = make_array()
    volume = dicom.read_series(write_study(tmp_path, array, change=swap))
    np.testing.assert_array_equal(volume.array, array)


def test_a_single_contrast_scan_without_echo_tags_is_one_echo(tmp_path):
    array = make_array(echoes=1)
    study = write_study(tmp_path, array, change=deleting("EchoNumbers", "EchoTime"))
    np.testing.assert_array_equal(dicom.read_series(study).array, array)


def test_files_without_ending_in_nested_folders_are_read_and_other_files_counted(tmp_path, caplog):
    array = make_array()
    write_study(tmp_path, array, name="visit/e{echo}/IM{slice}", change=leave_out)
    write_study(tmp_path, array, name="visit/e{echo}/IM{slice}")
    (tmp_path / "notes.txt").write_text("not a slice")
    (tmp_path / "visit" / "LICENSE").write_text("x" * 500)
    directory = pydicom.Dataset()
    directory.SOPClassUID, directory.SOPInstanceUID = "1.2.840.10008.1.3.10", generate_uid(None)
    save(directory, tmp_path / "DICOMDIR")
    volume = dicom.read_series(tmp_path)
    np.testing.assert_array_equal(volume.array, array)
    assert "2 not DICOM" in caplog.text
    assert "1 DICOM of class Media Storage Directory Storage" in caplog.text


def test_slices_are_sorted_by_position_not_by_name_or_number(tmp_path):
    array = make_array()

    def misnumber(header, index, echo):
        header.InstanceNumber = [3, 1, 4, 2][index]

    study = write_study(tmp_path, array, name="{echo}{slice:.0e}", change=misnumber)
    np.testing.assert_array_equal(dicom.read_series(study).array, array)


def test_spacing_comes_from_the_positions(tmp_path):
    change = setting(SliceThickness="3", SpacingBetweenSlices="0.75")
    volume = dicom.read_series(write_study(tmp_path, make_array(), change=change))
    np.testing.assert_allclose(volume.spacing_mm, [0.5, 0.5, 1.5])


@pytest.mark.parametrize(
    ("change", "spacing"),
    [(setting(SpacingBetweenSlices="2.5"), 2.5), (setting(SliceThickness="3"), 3)],
)
def test_one_slice_has_its_spacing_from_the_header(tmp_path, change, spacing):
    study = write_study(tmp_path, make_array((4, 4, 1)), change=change)
    volume = dicom.read_series(study)
    assert volume.array.shape == (4, 4, 1, 2)
    assert volume.spacing_mm[2] == spacing


def test_one_file_is_a_scan_of_one_slice(tmp_path):
    array = make_array()
    write_study(tmp_path, array)
    volume = dicom.read_series(tmp_path / "slice002_echo2.dcm")
    np.testing.assert_array_equal(volume.array, array[:, :, 2:3, 1:])


def test_echoes_that_an_anonymiser_put_into_two_studies_are_one_scan(tmp_path):
    change = only(None, 1, setting(StudyInstanceUID=generate_uid(None)))
    array = make_array()
    volume = dicom.read_series(write_study(tmp_path, array, one_series=False, change=change))
    np.testing.assert_array_equal(volume.array, array)


def test_the_spoiler_is_read_under_its_private_creator_wherever_its_block_lies(tmp_path):
    def second_block(header, index, echo):
        header.private_block(0x0019, "SOMEONE ELSE", create=True).add_new(0xB6, "DS", "5")
        block = header.private_block(0x0019, "GEMS_ACQU_01", create=True)
        block.add_new(0xB6, "DS", "3132.0")
        block.add_new(0xB7, "DS", "1560.0")

    study = write_study(tmp_path, make_array(), spoiler=None, change=second_block)
    volume = dicom.read_series(study)
    assert (volume.spoiler_area, volume.spoiler_duration_us) == (3132, 1560)


@pytest.mark.parametrize(
    "change",
    [
        only(
            None, 1, setting(EchoTime="14")
        ),  # a gradient echo, whose user data have another meaning
        setting(RepetitionTime="30"),
        deleting("RepetitionTime"),
        deleting("EchoTime"),
        lambda header, index, echo: setattr(header[0x0019, 0x0010], "value", "SOMEONE ELSE"),
        lambda header, index, echo: header.__delitem__((0x0019, 0x10B7)),
        lambda header, index, echo: setattr(header[0x0019, 0x10B6], "value", "0"),
    ],
)
def test_the_spoiler_is_unknown_where_it_is_not_a_ge_dess(tmp_path, change):
    volume = dicom.read_series(write_study(tmp_path, make_array(), change=change))
    assert (volume.spoiler_area, volume.spoiler_duration_us) == (None, None)


# Bad input


def refused(folder, expected):
    """Asserts that reading raises this message, which names a path and never the patient."""
    with pytest.raises(InputError, match=expected) as refusal:
        dicom.read_series(folder)
    message = str(refusal.value)
    assert str(folder) in message
    assert not any(secret in message for secret in SECRETS)
    assert "\n" not in message


def test_a_slice_missing_in_one_echo_is_refused_with_its_position(tmp_path):
    write_study(tmp_path, make_array(), change=only(2, 1, leave_out))
    refused(tmp_path, r"echo 2 at 39 ms is missing at -32\.25 mm .*slice002_echo1\.dcm")


def test_the_last_slice_missing_in_one_echo_is_refused(tmp_path):
    write_study(tmp_path, make_array(), change=only(3, 0, leave_out))
    refused(tmp_path, r"echo 1 at 7 ms is missing at -30\.75 mm .*slice003_echo2\.dcm")


def test_a_slice_missing_in_both_echoes_is_refused_with_its_neighbours(tmp_path):
    write_study(tmp_path, make_array((4, 4, 7)), change=only(3, None, leave_out))
    refused(tmp_path, r"every 1\.5 mm, got 3 mm \(a slice is missing\) .*slice002.*slice004")


def test_a_slice_missing_of_four_is_not_taken_for_wide_spacing(tmp_path):
    write_study(tmp_path, make_array(), change=only(1, None, leave_out))
    refused(tmp_path, r"every 1\.5 mm, got 3 mm \(a slice is missing\) .*slice000.*slice002")


def test_a_duplicate_slice_is_refused_with_both_files(tmp_path):
    write_study(tmp_path, make_array())
    shutil.copy(tmp_path / "slice001_echo1.dcm", tmp_path / "copy.dcm")
    refused(tmp_path, r"two at -33\.75 mm .*copy\.dcm and .*slice001_echo1\.dcm")


def test_two_echoes_that_nothing_distinguishes_are_refused(tmp_path):
    write_study(tmp_path, make_array(), change=deleting("EchoNumbers", "EchoTime"))
    refused(tmp_path, "distinguish the 2 images of each slice, got .* write the true EchoTime")


def test_two_subjects_mixed_are_refused(tmp_path):
    write_study(tmp_path / "a", make_array())
    write_study(tmp_path / "b", make_array(), change=setting(PatientID="other"))
    refused(tmp_path, "expected one subject, got two: in .*a.slice000.* and .*b.slice000")


def test_two_subjects_of_one_anonymous_name_are_refused(tmp_path):
    write_study(tmp_path / "a", make_array())
    write_study(tmp_path / "b", make_array())
    refused(tmp_path, "expected one frame of reference .*a.slice000.* and .*b.slice000")


def test_two_series_of_the_same_echo_are_refused(tmp_path):
    other_series = setting(SeriesInstanceUID="2.25.1")
    study = write_study(tmp_path, make_array(), change=only(1, 0, other_series))
    refused(study, r"one series for echo 1 at 7 ms, got two: .*slice000_echo1.*slice001_echo1")


def test_unequal_spacing_is_refused_with_the_place(tmp_path):
    move = setting(ImagePositionPatient=["32.75", "-68.125", "79.75"])
    write_study(tmp_path, make_array(), change=only(2, None, move))
    refused(tmp_path, r"every 1\.5 mm, got 1 mm between .*slice001_.*slice002")


def test_a_sheared_stack_is_refused(tmp_path):
    leaning = SAGITTAL.copy()
    leaning[1, 2] = 0.2
    write_study(tmp_path, make_array(), affine=leaning)
    refused(tmp_path, "sheared stack")


@pytest.mark.parametrize("bytes_left", [131, 140, 400, 900, -30, -1])
def test_a_truncated_file_is_refused_by_name(tmp_path, bytes_left):
    write_study(tmp_path, make_array())
    file = tmp_path / "slice002_echo2.dcm"
    file.write_bytes(file.read_bytes()[:bytes_left])
    refused(tmp_path, r"slice002_echo2\.dcm")


def test_an_empty_file_is_refused_by_name(tmp_path):
    write_study(tmp_path, make_array())
    (tmp_path / "slice009").touch()
    refused(tmp_path, "an empty one: .*slice009")


def test_an_empty_folder_is_refused(tmp_path):
    refused(tmp_path, "found no file at all")


def test_a_folder_without_dicom_is_refused_and_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path, "found 1 not DICOM")


def test_a_missing_folder_is_refused(tmp_path):
    refused(tmp_path / "nowhere", "found nothing at")


def test_a_file_named_dcm_that_is_not_dicom_is_refused(tmp_path):
    write_study(tmp_path, make_array())
    (tmp_path / "other.dcm").write_bytes(b"x" * 400)
    refused(tmp_path, r"expected DICM at byte 128 .*other\.dcm")


def test_three_echoes_are_refused_by_their_times(tmp_path):
    write_study(tmp_path, make_array(echoes=3))
    refused(tmp_path, "echo 1 at 7 ms, echo 2 at 39 ms, echo 3 at 71 ms")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (setting(Rows=5, Columns=6), "one matrix .*6, 5.*5, 6"),
        (setting(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"]), "one orientation"),
        (setting(PixelSpacing=["0.6", "0.5"]), "one pixel spacing"),
        (setting(RepetitionTime="24"), "one repetition time.*23.*24"),
        (setting(FlipAngle="25"), "one flip angle"),
        (deleting("ImagePositionPatient"), "3 numbers as ImagePositionPatient"),
        (setting(ImagePositionPatient=None), "3 numbers as ImagePositionPatient"),
        (setting(ImagePositionPatient=["1", "2"]), "3 numbers as ImagePositionPatient"),
        (setting(ImageOrientationPatient=["1", "0", "0", "1", "0", "0"]), "perpendicular"),
        (setting(PixelSpacing=["0", "0.5"]), "PixelSpacing above 0"),
        (setting(RescaleSlope="0"), "finite RescaleSlope"),
        (setting(SamplesPerPixel=3), "one grey image"),
        (setting(NumberOfFrames=2), "one grey image"),
        (deleting("Rows", "PixelData"), "expected a readable DICOM image"),
    ],
)
def test_one_image_that_differs_is_refused_by_name(tmp_path, change, words):
    write_study(tmp_path, make_array())
    other = header_of(tmp_path, "slice003_echo2.dcm")
    change(other, 3, 1)
    save(other, tmp_path / "slice003_echo2.dcm")
    refused(tmp_path, words)
    with pytest.raises(InputError, match=r"slice003_echo2\.dcm"):
        dicom.read_series(tmp_path)


def test_one_slice_of_unknown_thickness_is_refused(tmp_path):
    write_study(tmp_path, make_array((4, 4, 1)), change=deleting("SliceThickness"))
    refused(tmp_path, "expected SpacingBetweenSlices or SliceThickness")


def test_a_damaged_series_uid_is_refused_by_the_name_of_its_file(tmp_path):
    write_study(tmp_path, make_array((3, 3, 2)))
    file = tmp_path / "slice001_echo1.dcm"
    tag = bytes.fromhex("20000E00")  # little-endian (0020,000E), followed by its VR
    whole = file.read_bytes()
    file.write_bytes(whole.replace(tag + b"UI", tag + b"U\xec"))
    with pytest.raises(InputError, match=r"expected a readable DICOM image.*slice001_echo1"):
        dicom.read_series(tmp_path)


def test_damaged_files_are_read_or_refused_without_quoting_the_header(tmp_path, recwarn, caplog):
    write_study(tmp_path, make_array((3, 3, 2)))
    file = tmp_path / "slice001_echo1.dcm"
    whole, random = file.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for place in random.integers(128, len(whole), 3):
            damaged[place] = random.integers(256)
        file.write_bytes(damaged)
        with suppress(InputError):
            dicom.read_series(tmp_path)
    spoken = "".join(str(warning.message) for warning in recwarn) + caplog.text
    assert not any(secret in spoken for secret in SECRETS)
