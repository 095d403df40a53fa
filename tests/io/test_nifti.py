import gzip
import json

import nibabel as nib
import numpy as np
import pytest
from dicom_studies import SAGITTAL, write_study
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scans import make_array
from scipy.spatial.transform import Rotation

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom, nifti
from mrsr_tf.io.sidecar import read_sidecar, sidecar_path
from mrsr_tf.mri import slices
from mrsr_tf.volume import Volume

DESS = {
    "EchoTime": [0.007, 0.039],
    "RepetitionTime": 0.023,
    "FlipAngle": 20,
    "SpoilerArea": 3132,
    "SpoilerDurationUs": 1560,
}


def write(path, array, affine=None, sidecar=None):
    nib.save(
        nib.Nifti1Image(array, np.diag([0.5, 0.6, 1.5, 1]) if affine is None else affine), path
    )
    if sidecar is not None:
        sidecar_path(path).write_text(json.dumps(sidecar))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "image.nii.gz"


def test_axes_are_columns_rows_slices_echoes_in_the_file(path):
    stored = np.random.default_rng(0).normal(size=(5, 6, 4, 2)).astype(np.float32)
    volume = nifti.read_nifti(write(path, stored))
    assert volume.array.shape == (6, 5, 4, 2)
    assert volume.array[3, 1, 2, 1] == stored[1, 3, 2, 1]


def test_the_affine_is_turned_from_ras_to_lps(path):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=1).as_matrix() * [0.5, 0.6, 1.5]
    affine[:3, 3] = 10, -20, 30
    volume = nifti.read_nifti(write(path, np.zeros((5, 6, 4), np.int16), affine))
    right, anterior, superior = (affine @ [1, 3, 2, 1])[:3]  # of column 1, row 3, slice 2
    np.testing.assert_allclose(
        (volume.affine @ [3, 1, 2, 1])[:3], [-right, -anterior, superior], atol=1e-5
    )


def test_dicom_through_nifti_is_the_same_volume(tmp_path, path):
    volume = dicom.read_series(write_study(tmp_path / "dicom", make_array()))
    nifti.write_nifti(volume, path)
    again = nifti.read_nifti(path)
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-5)
    for (
        name
    ) in "echo_times_ms repetition_time_ms flip_angle_deg spoiler_area spoiler_duration_us".split():
        assert getattr(again, name) == getattr(volume, name), name


@settings(max_examples=20, deadline=None)
@given(
    axis=st.sampled_from([0, 1, 2]),
    echoes=st.sampled_from([(), (1,), (2,)]),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    seed=st.integers(0, 1000),
)
def test_an_image_comes_out_in_the_axis_order_and_place_it_came_in(
    tmp_path_factory, axis, echoes, shape, seed
):
    folder = tmp_path_factory.mktemp("nifti")
    random = np.random.default_rng(seed)
    spacing = np.array([0.5, 0.6, 0.7])
    spacing[axis] = 1.5
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=seed).as_matrix() * spacing
    affine[:3, :3] *= random.choice([-1, 1], 3)  # any handedness
    affine[:3, 3] = random.uniform(-100, 100, 3)
    stored = random.normal(size=(*shape, *echoes)).astype(np.float32)
    source = write(folder / "in.nii", stored, affine)
    nifti.write_nifti(
        nifti.read_nifti(source, slice_axis=axis), folder / "out.nii", slice_axis=axis
    )
    out = nib.load(folder / "out.nii")
    expected = stored[..., 0] if echoes == (1,) else stored
    np.testing.assert_array_equal(out.get_fdata(dtype=np.float32), expected)
    np.testing.assert_allclose(out.affine, affine, atol=1e-4)
    np.testing.assert_allclose(out.get_qform(), affine, atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_refined_along_the_named_axis_from_the_same_origin(path, axis):
    spacing = [0.5, 0.5, 0.5]
    spacing[axis] = 1.5
    stored = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    affine = np.diag([*spacing, 1])
    affine[:3, 3] = 7, 8, 9
    volume = nifti.read_nifti(write(path, stored, affine), slice_axis=axis)
    fine = volume.resliced(slices.interpolate(volume.array, 2), 2)
    nifti.write_nifti(fine, path, slice_axis=axis)
    out = nib.load(path)
    expected = [1, 1, 1]
    expected[axis] = 2
    assert out.shape == tuple(np.multiply(stored.shape, expected))
    np.testing.assert_allclose(out.header.get_zooms(), np.divide(spacing, expected))
    np.testing.assert_allclose(out.affine[:3, 3], [7, 8, 9])
    kept = [slice(None)] * 3
    kept[axis] = slice(None, None, 2)
    np.testing.assert_allclose(out.get_fdata()[tuple(kept)], stored, atol=1e-5)


def test_scaled_integers_are_read_as_their_values(path):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    image.to_filename(path)
    volume = nifti.read_nifti(path)
    assert volume.array.max() == pytest.approx(nib.load(path).get_fdata().max())
    assert volume.array.dtype == np.float32


@pytest.mark.parametrize(("unit", "size"), [("meter", 0.002), ("micron", 2000), ("unknown", 2)])
def test_units_of_the_file_become_mm(path, unit, size):
    image = nib.Nifti1Image(np.ones((2, 3, 4), np.int16), np.diag([size] * 3 + [1]))
    image.header.set_xyzt_units(unit)
    image.to_filename(path)
    np.testing.assert_allclose(nifti.read_nifti(path).spacing_mm, 2, rtol=1e-6)


# The sidecar


def test_the_sidecar_is_read_in_bids_units(path):
    volume = nifti.read_nifti(write(path, np.ones((3, 3, 3, 2), np.int16), sidecar=DESS))
    assert volume.echo_times_ms == (7, 39)
    assert (volume.repetition_time_ms, volume.flip_angle_deg) == (23, 20)
    assert (volume.spoiler_area, volume.spoiler_duration_us) == (3132, 1560)


def test_without_a_sidecar_the_acquisition_is_unknown(path):
    volume = nifti.read_nifti(write(path, np.ones((3, 3, 3, 2), np.int16)))
    assert volume.echo_times_ms is None
    assert volume.repetition_time_ms is None


def test_the_sidecar_written_is_bids_and_takes_further_keys(path):
    volume = Volume(np.ones((3, 3, 3, 2)), np.eye(4), (7.48, 42.52), 25, 30, 3132, 1760)
    nifti.write_nifti(volume, path, sidecar={"Method": "mrsr"})
    assert json.loads(path.with_name("image.json").read_text()) == {
        "EchoTime": [0.00748, 0.04252],
        "RepetitionTime": 0.025,
        "FlipAngle": 30,
        "SpoilerArea": 3132,
        "SpoilerDurationUs": 1760,
        "SliceAxis": 2,
        "Method": "mrsr",
    }
    assert read_sidecar(path)["Method"] == "mrsr"
    assert nifti.read_nifti(path).echo_times_ms == (7.48, 42.52)


def test_one_echo_has_one_number_as_echo_time_and_a_3d_image(path):
    nifti.write_nifti(Volume(np.ones((3, 3, 3, 1)), np.eye(4), (5,)), path)
    assert read_sidecar(path)["EchoTime"] == 0.005
    assert nib.load(path).ndim == 3
    assert nifti.read_nifti(path).echo_times_ms == (5,)


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ({"EchoTime": 0.007}, "expected 2 EchoTime in ascending order"),
        ({"EchoTime": [0.007, 0.039, 0.07]}, "expected 2 EchoTime"),
        ({"EchoTime": [0.039, 0.007]}, "ascending"),
        ({"EchoTime": [7, 39]}, r"EchoTime in seconds from 1e-06 to 1, got \[7, 39\]"),
        ({"EchoTime": ["short", "long"]}, r"expected EchoTime in seconds .* got \['short'"),
        ({"EchoTime": [0.0, 0.039]}, "expected EchoTime in seconds"),
        ({"RepetitionTime": 23}, "RepetitionTime in seconds from 1e-06 to 20, got 23"),
        ({"RepetitionTime": 1.5}, "RepetitionTime of a DESS, at most 1000 ms, got 1.5 s in"),
        ({"FlipAngle": -20}, "expected FlipAngle"),
        ({"FlipAngle": True}, "expected FlipAngle"),
        ([1, 2], "expected a JSON object"),
    ],
)
def test_a_sidecar_that_contradicts_is_refused_by_name(path, sidecar, words):
    write(path, np.ones((3, 3, 3, 2), np.int16), sidecar=sidecar)
    with pytest.raises(InputError, match=rf"{words}.*image\.json"):
        nifti.read_nifti(path)


def test_a_sidecar_that_is_not_json_is_refused(path):
    write(path, np.ones((3, 3, 3), np.int16))
    path.with_name("image.json").write_text("{")
    with pytest.raises(InputError, match=r"JSON object, got something else in .*image\.json"):
        nifti.read_nifti(path)


# The slice axis


def test_another_axis_that_is_coarser_is_refused_and_the_flag_named(path):
    write(path, np.ones((3, 4, 5), np.int16), np.diag([1.5, 0.5, 0.5, 1]))
    with pytest.raises(InputError, match=r"first axis looks like .*--slice_axis=0"):
        nifti.read_nifti(path)
    assert nifti.read_nifti(path, slice_axis=0).spacing_mm[2] == 1.5


def test_slightly_coarser_pixels_than_slices_are_read(path):
    write(path, np.ones((3, 4, 5), np.int16), np.diag([0.7, 0.7, 0.5, 1]))
    assert nifti.read_nifti(path).spacing_mm[2] == pytest.approx(0.5)


def test_our_own_output_with_slices_finer_than_pixels_is_read_again(path):
    fine = Volume(np.ones((4, 5, 8, 1)), np.diag([1.05, 1.05, 0.6, 1]))
    nifti.write_nifti(fine, path)
    np.testing.assert_allclose(nifti.read_nifti(path).spacing_mm, [1.05, 1.05, 0.6], rtol=1e-6)


def test_another_slice_axis_than_the_sidecar_records_is_refused(path):
    nifti.write_nifti(Volume(np.ones((4, 5, 8, 1)), np.eye(4)), path, slice_axis=0)
    with pytest.raises(InputError, match=r"expected --slice_axis=0, as the sidecar"):
        nifti.read_nifti(path)


def test_an_invalid_slice_axis_is_refused(path):
    write(path, np.ones((3, 4, 5), np.int16))
    for axis in (3, -1):
        with pytest.raises(InputError, match=f"--slice_axis 0, 1 or 2, got {axis}"):
            nifti.read_nifti(path, slice_axis=axis)


# Bad input


@pytest.mark.parametrize("shape", [(4, 4, 4, 3), (4, 4, 4, 2, 2), (4, 4)])
def test_three_echoes_or_other_dimensions_are_refused(path, shape):
    write(path, np.ones(shape, np.int16))
    with pytest.raises(InputError, match=r"one or two echoes last, got shape .*image\.nii\.gz"):
        nifti.read_nifti(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_refused(path, value):
    array = np.ones((4, 4, 4), np.float32)
    array[1, 2, 3] = value
    with pytest.raises(InputError, match=r"finite intensities, got 1 .*image\.nii\.gz"):
        nifti.read_nifti(write(path, array))


@pytest.mark.parametrize("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_complex_and_colour_images_are_refused(path, dtype):
    write(path, np.zeros((4, 4, 4), dtype))
    with pytest.raises(InputError, match=r"real numbers, got another image: .*image\.nii\.gz"):
        nifti.read_nifti(path)


def test_a_missing_file_is_refused(path):
    with pytest.raises(InputError, match=r"found nothing at .*image\.nii\.gz"):
        nifti.read_nifti(path)


@pytest.mark.parametrize("kept", [0, 5, 30, 0.5, -1])
def test_a_truncated_file_is_refused_by_name(path, kept):
    write(path, np.random.default_rng(0).normal(size=(16, 16, 8)).astype(np.float32))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(InputError, match=r"whole NIfTI file, got a.*image\.nii\.gz"):
        nifti.read_nifti(path)


def test_a_compressed_file_with_one_wrong_byte_is_refused(path):
    write(path, np.random.default_rng(0).normal(size=(16, 16, 8)).astype(np.float32))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"whole NIfTI file, .*image\.nii\.gz"):
        nifti.read_nifti(path)


def test_a_truncated_file_without_compression_is_refused(tmp_path):
    path = write(tmp_path / "image.nii", np.ones((8, 8, 8), np.float32))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"whole NIfTI file, .*image\.nii"):
        nifti.read_nifti(path)


def test_a_file_that_is_not_a_nifti_is_refused(path):
    path.write_bytes(gzip.compress(b"not an image" * 100))
    with pytest.raises(InputError, match=r"image\.nii\.gz"):
        nifti.read_nifti(path)


def test_another_ending_is_refused_on_writing(tmp_path):
    volume = Volume(np.ones((3, 3, 3, 1)), np.eye(4))
    with pytest.raises(InputError, match=r"ending in \.nii or \.nii\.gz, got .*image\.img"):
        nifti.write_nifti(volume, tmp_path / "image.img")


def test_a_failed_write_leaves_the_old_image(path, monkeypatch):
    volume = Volume(np.ones((3, 3, 3, 1)), np.eye(4))
    nifti.write_nifti(volume, path)

    def full_disk(image, name):
        name.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(nib, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        nifti.write_nifti(volume.resliced(volume.array * 2, 1), path)
    assert nifti.read_nifti(path).array.max() == 1
    assert sorted(p.name for p in path.parent.iterdir()) == ["image.json", "image.nii.gz"]


# Maps


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, bool, np.int64, np.uint8])
def test_a_map_lies_on_its_scan_and_comes_back(path, axis, dtype):
    volume = Volume(np.ones((3, 4, 5, 1)), SAGITTAL)
    written = np.random.default_rng(0).integers(0, 2, (3, 4, 5)).astype(dtype)
    nifti.write_map(written, volume, path, slice_axis=axis)
    again = nifti.read_map(path, volume, slice_axis=axis)
    np.testing.assert_array_equal(again, written)
    assert again.dtype == (np.float32 if np.dtype(dtype).kind == "f" else np.uint8)
    assert not sidecar_path(path).exists()


def test_a_map_keeps_not_a_number(path):
    volume = Volume(np.ones((2, 2, 2, 1)), np.eye(4))
    t2_ms = np.full((2, 2, 2), np.nan)
    nifti.write_map(t2_ms, volume, path)
    assert np.isnan(nifti.read_map(path, volume)).all()


def test_labels_of_any_size_keep_their_values(path):
    volume = Volume(np.ones((1, 1, 3, 1)), np.eye(4))
    labels = np.array([[[-1, 300, 70000]]])
    nifti.write_map(labels, volume, path)
    np.testing.assert_array_equal(nifti.read_map(path, volume), labels)


def test_a_map_of_another_shape_or_place_is_refused(path):
    volume = Volume(np.ones((3, 4, 5, 1)), SAGITTAL)
    with pytest.raises(InputError, match=r"expected a map of \(3, 4, 5\) voxels, got \(3, 4\)"):
        nifti.write_map(np.ones((3, 4)), volume, path)
    nifti.write_map(np.ones((3, 4, 5)), volume, path)
    shifted = SAGITTAL.copy()
    shifted[0, 3] += 0.75
    with pytest.raises(
        InputError, match=r"at the position of its scan, got another position: .*image\.nii\.gz"
    ):
        nifti.read_map(path, Volume(volume.array, shifted))
    with pytest.raises(
        InputError, match=r"\(3, 4, 4\) voxels, got \(4, 3, 5\) in .*image\.nii\.gz"
    ):
        nifti.read_map(path, Volume(volume.array[:, :, :4], SAGITTAL))


def test_labels_beyond_32_bits_are_refused(path):
    volume = Volume(np.ones((1, 1, 1, 1)), np.eye(4))
    with pytest.raises(InputError, match="labels of up to 32 bits, got 4294967296"):
        nifti.write_map(np.full((1, 1, 1), 2**32), volume, path)


def test_a_map_has_a_sidecar_only_if_it_has_content(path):
    volume = Volume(np.ones((2, 2, 2, 1)), np.eye(4))
    nifti.write_map(volume.array[..., 0], volume, path)
    assert not sidecar_path(path).exists()
    nifti.write_map(volume.array[..., 0], volume, path, sidecar={"Units": "ms"})
    assert read_sidecar(path) == {"Units": "ms"}
