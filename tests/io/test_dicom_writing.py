import shutil
import subprocess
from contextlib import suppress

import numpy as np
import pydicom
import pytest
from dicom_studies import SAGITTAL, SECRETS, write_study
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scans import make_array
from scipy.spatial.transform import Rotation

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom
from mrsr_tf.io.dicom.provenance import derivation_text
from mrsr_tf.io.dicom.write import as_stored
from mrsr_tf.mri import slices
from mrsr_tf.volume import Volume

OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.random(random_state=3).as_matrix() @ np.diag([0.4, 0.5, 1.6])
OBLIQUE[:3, 3] = 41.25, -62.5, 13.375


def super_resolved(folder, factor=2):
    """A stand-in for the network: interpolated slices, which include negative values."""
    volume = dicom.read_series(folder)
    return volume.resliced(slices.interpolate(volume.array, factor), factor)


def headers(folder, pattern="*"):
    return [pydicom.dcmread(file) for file in sorted(folder.glob(pattern))]


def set_all(**values):
    def change(header, index, echo):
        for keyword, value in values.items():
            setattr(header, keyword, value)

    return change


@pytest.fixture
def source(tmp_path):
    return write_study(tmp_path / "source", make_array())


@pytest.fixture
def output(tmp_path):
    return tmp_path / "output"


def verified(folder):
    """The errors that dciodvfy finds in the files of a folder."""
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    errors = [
        subprocess.run(["dciodvfy", file], capture_output=True, text=True).stderr
        for file in sorted(folder.iterdir())
    ]
    return [line for text in errors for line in text.splitlines() if line.startswith("Error")]


# Super-resolved series


def test_there_is_one_file_for_each_slice_of_each_echo(source, output):
    dicom.write_series(super_resolved(source), output, like=source)
    names = [f"echo{echo}_{index:04d}.dcm" for echo in (1, 2) for index in range(1, 9)]
    assert sorted(file.name for file in output.iterdir()) == names


@pytest.mark.parametrize("affine", [SAGITTAL, SAGITTAL @ np.diag([1, 1, -1, 1]), OBLIQUE])
@pytest.mark.parametrize("factor", [2, 3])
def test_a_landmark_keeps_its_patient_position(tmp_path, output, affine, factor):
    array = make_array(echoes=2, largest=100)
    array[2, 3, 1] = 2000  # the landmark
    source = write_study(tmp_path / "source", array, affine=affine)
    volume = dicom.read_series(source)
    dicom.write_series(super_resolved(source, factor), output, like=source)
    again = dicom.read_series(output)
    for echo in (0, 1):
        before = np.unravel_index(volume.array[..., echo].argmax(), volume.array.shape[:3])
        after = np.unravel_index(again.array[..., echo].argmax(), again.array.shape[:3])
        written, read = volume.affine @ [*before, 1], again.affine @ [*after, 1]
        np.testing.assert_allclose(read, written, atol=0.01)
        np.testing.assert_allclose(written, affine @ [2, 3, 1, 1], atol=0.01)


def test_what_is_written_reads_back_as_the_volume(source, output):
    volume = super_resolved(source)
    dicom.write_series(volume, output, like=source)
    again = dicom.read_series(output)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-6)
    np.testing.assert_allclose(again.array, volume.array, atol=0.5)
    for name in ("echo_times_ms", "repetition_time_ms", "flip_angle_deg"):
        assert getattr(again, name) == getattr(volume, name)
    assert (again.spoiler_area, again.spoiler_duration_us) == (3132, 1560)


def test_untouched_slices_come_back_exactly_in_the_scanners_units(source, output):
    volume = dicom.read_series(source)
    dicom.write_series(volume, output, like=source)
    np.testing.assert_array_equal(dicom.read_series(output).array, volume.array)
    assert "RescaleSlope" not in headers(output)[0]


def test_the_sources_own_scale_is_kept(tmp_path, output):
    source = write_study(
        tmp_path / "s", make_array(), change=set_all(RescaleSlope="0.5", RescaleIntercept="-8")
    )
    volume = dicom.read_series(source)
    dicom.write_series(volume, output, like=source)
    np.testing.assert_array_equal(dicom.read_series(output).array, volume.array)
    assert {(h.RescaleSlope, h.RescaleIntercept) for h in headers(output)} == {(0.5, -8)}


@pytest.mark.parametrize("scale", [1e-3, 1000])
def test_both_echoes_share_one_scale_where_the_sources_is_too_coarse_or_too_narrow(
    source, output, scale
):
    volume = dicom.read_series(source)
    rescaled = volume.resliced(volume.array * scale, 1)
    dicom.write_series(rescaled, output, like=source)
    largest = rescaled.array.max()
    np.testing.assert_allclose(
        dicom.read_series(output).array, rescaled.array, atol=largest / 65535 * 0.51
    )
    assert len({h.RescaleSlope for h in headers(output)}) == 1


def test_negative_intensities_stay_in_both_echoes(source, output):
    volume = dicom.read_series(source)
    dicom.write_series(volume.resliced(volume.array - 500, 1), output, like=source)
    np.testing.assert_array_equal(dicom.read_series(output).array, volume.array - 500)
    assert {(h.PixelRepresentation, h.get("RescaleSlope")) for h in headers(output)} == {(1, None)}
    assert verified(output) == []


@pytest.mark.parametrize("lowest", [-30000, -1])
def test_signed_intensities_beyond_16_bits_get_a_scale_of_their_own(source, output, lowest):
    volume = dicom.read_series(source)
    array = np.where(volume.array > 500, 40000, lowest).astype(np.float32)
    dicom.write_series(volume.resliced(array, 1), output, like=source)
    np.testing.assert_allclose(dicom.read_series(output).array, array, atol=40000 / 32767 * 0.51)


@pytest.mark.parametrize("lowest", [0, -700])
@pytest.mark.parametrize("gain", [1, 1e-3, 40])
def test_a_volume_as_stored_is_what_reads_back(source, output, lowest, gain):
    volume = super_resolved(source)
    volume = volume.resliced((volume.array + lowest) * gain, 1)
    stored = as_stored(volume, like=source)
    step = max(1, np.abs(volume.array).max() / 32767) if gain >= 1 else 0.01
    np.testing.assert_allclose(stored.array, volume.array, atol=0.51 * step)
    for written in (volume, stored):
        dicom.write_series(written, output, like=source)
        np.testing.assert_array_equal(dicom.read_series(output).array, stored.array)


@pytest.mark.parametrize("name", ["MONOCHROME1", "MONOCHROME2"])
def test_the_display_sense_and_the_intensities_of_the_source_are_kept(tmp_path, output, name):
    change = set_all(PhotometricInterpretation=name)
    source = write_study(tmp_path / "source", make_array() - np.int16(200), change=change)
    volume = dicom.read_series(source)
    dicom.write_series(volume, output, like=source)
    assert {h.PhotometricInterpretation for h in headers(output)} == {name}
    np.testing.assert_array_equal(dicom.read_series(output).array, volume.array)
    dicom.write_t2_map(np.full((6, 5, 4), 30.0), volume, output / "t2", like=source)
    assert {h.PhotometricInterpretation for h in headers(output / "t2")} == {"MONOCHROME2"}


def test_an_image_of_zeros_can_be_written(source, output):
    volume = dicom.read_series(source)
    dicom.write_series(volume.resliced(volume.array * 0, 1), output, like=source)
    assert not dicom.read_series(output).array.any()


def test_the_header_says_derived_and_keeps_patient_study_and_frame(source, output):
    dicom.write_series(super_resolved(source), output, like=source)
    original = headers(source)[0]
    derived = headers(output)
    for header in derived:
        for keyword in (
            "PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID Laterality "
            "FrameOfReferenceUID RepetitionTime FlipAngle ScanningSequence PatientPosition"
        ).split():
            assert header[keyword].value == original[keyword].value, keyword
        assert header.ImageType[0] == "DERIVED"
        assert header.SliceThickness == header.SpacingBetweenSlices == 0.75
        assert header.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert [h.InstanceNumber for h in derived] == [*range(1, 9)] * 2
    assert [h.EchoNumbers for h in derived] == [1] * 8 + [2] * 8
    assert {h.SeriesDescription for h in derived} == {
        "Sag DESS MRSR echo 1",
        "Sag DESS MRSR echo 2",
    }
    assert {h.SeriesNumber for h in derived} == {701, 702}


@pytest.mark.parametrize(
    ("number", "expected"), [(0, 1), (7, 701), (10**7, 10**7 + 1), (2**31 - 1, 2**31 - 100)]
)
def test_series_numbers_follow_the_source_and_fit_into_dicom(tmp_path, output, number, expected):
    write_study(tmp_path / "source", make_array((16, 16, 2)), change=set_all(SeriesNumber=number))
    dicom.write_series(super_resolved(tmp_path / "source"), output, like=tmp_path / "source")
    assert {header.SeriesNumber for header in headers(output)} == {expected, expected + 1}


def test_every_uid_of_series_and_image_is_new(source, output):
    for folder in (output, output.with_name("again")):
        dicom.write_series(super_resolved(source), folder, like=source)
    images = headers(source) + headers(output) + headers(output.with_name("again"))
    assert len({h.SOPInstanceUID for h in images}) == len(images)
    assert len({h.SeriesInstanceUID for h in images}) == 1 + 2 + 2


def test_each_image_refers_to_the_source_slices_that_cover_it(source, output):
    dicom.write_series(super_resolved(source), output, like=source)
    uids = {h.SOPInstanceUID: (h.EchoNumbers, i) for i, h in enumerate(headers(source, "*echo2*"))}
    covering = [
        [uids[item.ReferencedSOPInstanceUID] for item in header.SourceImageSequence]
        for header in headers(output, "echo2*")
    ]
    expected = [[0], [0, 1], [1], [1, 2], [2], [2, 3], [3], [3]]
    assert covering == [[(2, index) for index in pair] for pair in expected]


def test_thick_slices_refer_to_all_fine_ones_they_cover(source, output):
    volume = dicom.read_series(source)
    thick = volume.resliced(slices.thicken(volume.array), 1 / 2)
    dicom.write_series(thick, output, like=source)
    counts = [len(h.SourceImageSequence) for h in headers(output, "echo1*")]
    assert counts == [2, 3]  # slices 0, 1 and 1, 2, 3


def test_no_spoiler_is_written_where_none_is_known(tmp_path, output):
    source = write_study(tmp_path / "source", make_array(), spoiler=None)
    dicom.write_series(super_resolved(source), output, like=source)
    assert not any(element.tag.is_private for h in headers(output) for element in h)


@pytest.mark.parametrize("uid", ["", "1.2." + "3" * 70, "1.2.03", "mine"])
def test_uids_that_are_missing_or_not_valid_become_one_for_all_that_is_derived(
    tmp_path, output, caplog, uid
):
    """Of both echoes in a series each, super-resolved, and of the T2 maps before and after."""

    def change(header, index, echo):
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
            header[keyword] = pydicom.DataElement(keyword, "UI", uid, validation_mode=0)
        header.SOPInstanceUID = "1.2.3"

    source = write_study(tmp_path / "s", make_array(), one_series=False, change=change)
    volume, t2_ms = super_resolved(source), np.full((6, 5, 8), 30.0)
    dicom.write_series(volume, output, like=source, derivation={"method": "tci"})
    dicom.write_t2_map(t2_ms, volume, output / "fine", like=output, derivation={"a": 1})
    assert "no valid" not in caplog.text.replace("expected valid UIDs, got none as", "")
    assert "got none as StudyInstanceUID and FrameOfReferenceUID" in caplog.text
    dicom.write_t2_map(t2_ms, volume, output / "thick", like=source, derivation={"a": 1})
    images = [h for folder in (".", "fine", "thick") for h in headers(output / folder, "*.dcm")]
    assert len(images) == 2 * 8 + 8 + 8
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        (common,) = {h[keyword].value for h in images}
        assert common.is_valid
        assert common != uid


def test_images_without_a_valid_uid_are_not_referred_to(tmp_path, output):
    def change(header, index, echo):
        if index == 1:
            uid = "1.2." + "3" * 70
            header["SOPInstanceUID"] = pydicom.DataElement(
                "SOPInstanceUID", "UI", uid, validation_mode=0
            )

    source = write_study(tmp_path / "s", make_array(), change=change)
    dicom.write_series(super_resolved(source), output, like=source)
    counts = [len(h.get("SourceImageSequence", [])) for h in headers(output, "echo1*")]
    assert counts == [1, 1, 0, 1, 1, 2, 1, 1]


def test_slopes_of_each_image_are_replaced_by_one(tmp_path, output):
    def change(header, index, echo):
        header.RescaleSlope = str(1 + echo / 2)

    source = write_study(tmp_path / "s", make_array(), change=change)
    volume = dicom.read_series(source)
    np.testing.assert_array_equal(volume.array, make_array() * np.float32([1, 1.5]))
    dicom.write_series(volume, output, like=source)
    largest = volume.array.max()
    np.testing.assert_allclose(
        dicom.read_series(output).array, volume.array, atol=largest / 65535 * 0.51
    )


def test_damaged_values_of_the_source_are_left_out(tmp_path, output):
    with pydicom.config.disable_value_validation():
        source = write_study(
            tmp_path / "source",
            make_array(),
            change=set_all(BodyPartExamined="knee, right", ProtocolName="x" * 80, PatientSex="f!"),
        )
        dicom.write_series(super_resolved(source), output, like=source)
    assert "BodyPartExamined" not in headers(output)[0]
    assert verified(output) == []


def test_names_in_any_alphabet_survive(tmp_path, output):
    source = write_study(
        tmp_path / "s", make_array(), change=set_all(PatientName="Müller^Zoë=山田^太郎")
    )
    dicom.write_series(super_resolved(source), output, like=source)
    assert headers(output)[0].PatientName == "Müller^Zoë=山田^太郎"


def test_a_derived_series_can_be_derived_from_again(source, output):
    dicom.write_series(super_resolved(source), output, like=source)
    twice = output.with_name("twice")
    dicom.write_series(super_resolved(output), twice, like=output)
    assert dicom.read_series(twice).spacing_mm[2] == pytest.approx(0.375)


def test_one_echo_and_one_slice_can_be_written(tmp_path, output):
    source = write_study(tmp_path / "source", make_array((4, 4, 1), echoes=1))
    dicom.write_series(super_resolved(source), output, like=source)
    assert dicom.read_series(output).array.shape == (4, 4, 2, 1)


def test_a_volume_on_another_grid_is_refused(source, output):
    volume = dicom.read_series(source)
    moved = volume.affine.copy()
    moved[:3, 3] += 1
    for other in (
        Volume(volume.array[:-1], volume.affine),
        Volume(volume.array, moved),
        Volume(volume.array, volume.affine @ np.diag([1, 1, -1, 1])),
    ):
        with pytest.raises(InputError, match="got one of another grid"):
            dicom.write_series(other, output, like=source)
    assert not output.exists()


def test_a_volume_of_other_echoes_is_refused(source, output):
    volume = dicom.read_series(source)
    with pytest.raises(InputError, match=r"expected the 2 echoes of .*, got 1"):
        dicom.write_series(Volume(volume.array[..., :1], volume.affine), output, like=source)


@pytest.mark.parametrize("affine", [SAGITTAL, OBLIQUE])
@pytest.mark.parametrize(
    "change", [set_all(), set_all(Laterality=""), set_all(ImageLaterality="R")]
)
def test_dciodvfy_finds_no_error(tmp_path, output, affine, change):
    def unmarked(header, index, echo):
        change(header, index, echo)
        if "ImageLaterality" in header:
            del header.Laterality

    source = write_study(tmp_path / "source", make_array((8, 8, 2)), affine=affine, change=unmarked)
    volume = super_resolved(source)
    dicom.write_series(volume, output / "series", like=source, derivation={"slice_factor": 2})
    dicom.write_t2_map(volume.array[..., 0], volume, output / "t2", like=source)
    assert verified(output / "series") == []
    assert verified(output / "t2") == []


# The derivation


def test_the_derivation_is_readable_text(source, output):
    derivation = {"method": "mrsr", "slice_factor": 2, "weights": "0a1b", "version": "0.1.0"}
    dicom.write_series(super_resolved(source), output, like=source, derivation=derivation)
    digest = dicom.read_series(source).identity
    assert headers(output)[0].DerivationDescription == (
        "Derived by MRSR-TF: method=mrsr; slice_factor=2; weights=0a1b; version=0.1.0; "
        f"acquired_slice_thickness_mm=9.0; source={digest}"
    )
    assert dicom.read_derivation(output) == derivation | {
        "acquired_slice_thickness_mm": 9,
        "source": digest,
    }


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,12}", fullmatch=True),
        st.text(max_size=20) | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        max_size=4,
    )
)
@settings(max_examples=30, deadline=None)
def test_any_derivation_comes_back_as_it_was(tmp_path_factory, derivation):
    folder = tmp_path_factory.mktemp("derivation")
    text = derivation_text({**derivation, "last": "end"})
    write_study(folder, make_array((2, 2, 1), 1), change=set_all(DerivationDescription=text))
    assert dicom.read_derivation(folder) == {**derivation, "last": "end"}


def test_a_derivation_longer_than_dicom_allows_is_refused():
    with pytest.raises(ValueError, match="at most 1024 characters, got 1225"):
        derivation_text({"key": "x" * 1201})


def test_a_scan_that_is_not_ours_has_no_derivation(source, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (source, tmp_path / "empty", tmp_path / "nowhere"):
        assert dicom.read_derivation(path) is None


# T2 maps


def test_a_t2_map_is_in_ms_with_zero_where_invalid(source, output):
    volume = dicom.read_series(source)
    t2_ms = np.random.default_rng(0).uniform(10, 90, volume.array.shape[:3])
    t2_ms[0, 0, 0], t2_ms[0, 0, 1], t2_ms[0, 0, 2] = np.nan, np.inf, -5
    dicom.write_t2_map(t2_ms, volume, output, like=source, derivation={"method": "analytic"})
    again = dicom.read_series(output)
    t2_ms[0, 0, :3] = 0
    np.testing.assert_allclose(again.array[..., 0], t2_ms, atol=0.0051)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-6)
    assert dicom.read_derivation(output)["method"] == "analytic"


def test_a_t2_map_states_its_unit_for_viewers(source, output):
    volume = dicom.read_series(source)
    dicom.write_t2_map(np.full((6, 5, 4), 36.9), volume, output, like=source)
    header = headers(output)[0]
    (mapping,) = header.RealWorldValueMappingSequence
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "ms"
    stored = header.pixel_array[0, 0]
    assert stored * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept == pytest.approx(
        36.9
    )
    assert mapping.RealWorldValueFirstValueMapped == 1  # stored 0 has no real-world value
    assert list(header.ImageType) == ["DERIVED", "SECONDARY", "T2 MAP"]
    assert len(header.SourceImageSequence) == 2  # both echoes of its slice
    assert len({h.SeriesInstanceUID for h in headers(output)}) == 1


def test_a_t2_beyond_the_usual_range_is_not_clipped(source, output):
    volume = dicom.read_series(source)
    dicom.write_t2_map(np.full((6, 5, 4), 2000.0), volume, output, like=source)
    np.testing.assert_allclose(dicom.read_series(output).array, 2000, rtol=1e-4)


def test_a_t2_map_without_a_valid_voxel_can_be_written(source, output):
    volume = dicom.read_series(source)
    dicom.write_t2_map(np.full((6, 5, 4), np.nan), volume, output, like=source)
    assert not dicom.read_series(output).array.any()


def test_a_t2_map_of_another_shape_is_refused(source, output):
    with pytest.raises(InputError, match=r"expected a T2 map of \(6, 5, 4\), got \(6, 5\)"):
        dicom.write_t2_map(np.zeros((6, 5)), dicom.read_series(source), output, like=source)


def test_damaged_sources_are_used_or_refused_without_quoting_the_header(
    source, output, recwarn, caplog
):
    file = source / "slice001_echo1.dcm"
    whole, random = file.read_bytes(), np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[random.integers(128, len(whole) - 100)] = random.integers(256)
        file.write_bytes(damaged)
        with suppress(InputError):
            dicom.write_series(dicom.read_series(source), output, like=source)
    spoken = "".join(str(warning.message) for warning in recwarn) + caplog.text
    assert not any(secret in spoken for secret in SECRETS)


def test_a_map_of_a_derived_scan_has_the_acquired_thickness_and_no_echo_time(tmp_path):
    study = write_study(tmp_path / "study", make_array())
    volume = dicom.read_series(study)
    acquired = float(pydicom.dcmread(next(study.iterdir())).SliceThickness)
    fine = volume.resliced(np.repeat(volume.array, 2, axis=2), 2)
    dicom.write_series(fine, tmp_path / "fine", like=study)
    t2 = np.full(fine.array.shape[:3], 30.0)
    dicom.write_t2_map(t2, fine, tmp_path / "t2", like=tmp_path / "fine")
    assert dicom.read_derivation(tmp_path / "t2")["acquired_slice_thickness_mm"] == acquired
    described = pydicom.dcmread(next((tmp_path / "t2").iterdir())).SeriesDescription
    assert "echo" not in described
    assert described.endswith("T2 map")


def uids(folder):
    return [(h.SeriesInstanceUID, h.SOPInstanceUID) for h in headers(folder)]


def test_the_same_derivation_of_the_same_images_gives_the_same_uids(source, tmp_path):
    fine, how = super_resolved(source), {"method": "mrsr", "weights_sha256": "0" * 64}
    other = write_study(tmp_path / "other", make_array())
    uids_of = {}
    for name, like, derivation in (
        ("first", source, how),
        ("again", source, how),
        ("other weights", source, how | {"weights_sha256": "1" * 64}),
        ("other images", other, how),
        ("untold", source, None),
        ("untold again", source, None),
    ):
        dicom.write_series(fine, tmp_path / name, like=like, derivation=derivation)
        t2 = np.full(fine.array.shape[:3], 30.0)
        dicom.write_t2_map(t2, fine, tmp_path / name, like=like, derivation=derivation)
        uids_of[name] = uids(tmp_path / name)
    assert uids_of["first"] == uids_of["again"]
    assert len({uid for name in uids_of if name != "again" for uid in uids_of[name]}) == 5 * 3 * 8
    assert len({series for series, _ in uids_of["first"]}) == 3
    assert all(len(uid) <= 64 for pair in uids_of["first"] for uid in pair)
