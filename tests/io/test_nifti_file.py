"""NIfTI as other tools write it: endings, pairs, axes, units and places."""

import gzip
import json

import nibabel as nib
import numpy as np
import pytest
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.io import nifti, nifti_grid, scans
from mrsr_tf.io.sidecar import sidecar_path

AFFINE = np.array([[0, 0, 1.5, -40], [0.4, 0, 0, -30], [0, -0.5, 0, 20], [0, 0, 0, 1.0]])
STORED = make_array((6, 5, 4)).transpose(1, 0, 2, 3).astype(np.int16)  # columns, rows, slices
SHEARED = AFFINE + np.eye(4)[:, [0]] @ [[0.4, 0, 0, 0]]  # columns run along slices, too


def image(array=STORED, affine=AFFINE, qform=None, codes=(0, 1), kind=nib.Nifti1Image):
    nifti_image = kind(array, affine)
    nifti_image.set_sform(affine, code=codes[1])
    nifti_image.set_qform(affine if qform is None else qform, code=codes[0])
    nifti_image.header.set_xyzt_units("mm")
    return nifti_image


def save(path, nifti_image, **header):
    """Saves the image, with fields of the header changed in the bytes of the file."""
    plain = path.with_name("plain.nii")
    nib.save(nifti_image, plain)
    content = bytearray(plain.read_bytes())
    plain.unlink()
    stored = type(nifti_image.header)(bytes(content[: nifti_image.header.sizeof_hdr]), check=False)
    for name, value in header.items():
        stored[name] = value
    content[: nifti_image.header.sizeof_hdr] = stored.binaryblock
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read_whole(path):
    volume = scans.read_scan(path)
    np.testing.assert_array_equal(volume.array, STORED.transpose(1, 0, 2, 3))
    np.testing.assert_allclose(
        volume.affine, (nifti_grid.RAS_LPS @ AFFINE)[:, [1, 0, 2, 3]], atol=1e-5
    )
    return volume


@pytest.mark.parametrize("name", ["k.nii", "k.nii.gz", "k.NII.GZ", "k.Nii", "k.NII"])
@pytest.mark.parametrize("compressed", [False, True])
def test_content_and_not_the_ending_says_whether_a_file_is_compressed(tmp_path, name, compressed):
    content = image().to_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if compressed else content)
    sidecar_path(tmp_path / name).write_text('{"EchoTime": [0.007, 0.039]}')
    assert read_whole(tmp_path / name).echo_times_ms == (7, 39)
    assert list(scans.find_scans(tmp_path)) == ["k"]


def test_a_sidecar_in_capitals_is_read(tmp_path):
    (tmp_path / "K.NII.GZ").write_bytes(gzip.compress(image().to_bytes()))
    (tmp_path / "K.JSON").write_text('{"EchoTime": [0.007, 0.039]}')
    assert read_whole(tmp_path / "K.NII.GZ").echo_times_ms == (7, 39)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("ending", [".hdr", ".img"])
def test_either_file_of_a_pair_is_the_scan(tmp_path, kind, ending):
    nib.save(image(kind=kind), tmp_path / "k.hdr")
    (tmp_path / "k.json").write_text('{"EchoTime": [0.007, 0.039]}')
    assert read_whole((tmp_path / "k.hdr").with_suffix(ending)).echo_times_ms == (7, 39)
    assert list(scans.find_scans(tmp_path)) == ["k"]


def test_a_pair_without_its_other_file_is_refused(tmp_path):
    nib.save(image(kind=nib.Nifti1Pair), tmp_path / "k.hdr")
    (tmp_path / "k.img").unlink()
    with pytest.raises(InputError, match=r"found nothing at .*k\.img"):
        scans.read_scan(tmp_path / "k.hdr")


def test_plain_analyze_is_refused_because_it_has_no_orientation(tmp_path):
    nib.save(nib.AnalyzeImage(STORED, np.diag([0.4, 0.5, 1.5, 1])), tmp_path / "k.hdr")
    with pytest.raises(InputError, match=r"plain ANALYZE, which has no orientation: .*k\.hdr"):
        scans.read_scan(tmp_path / "k.hdr")


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (1, 1, 2), (2, 1, 1)])
def test_axes_of_length_one_do_not_hide_the_echoes(tmp_path, kind, axes):
    array = STORED.reshape(*STORED.shape[:3], *axes)
    read_whole(save(tmp_path / "k.nii", image(array, kind=kind)))


def test_a_slope_that_is_none_means_the_stored_values(tmp_path):
    for slope, intercept in ((0, 5), (np.nan, np.nan), (np.nan, 3)):
        read_whole(save(tmp_path / "k.nii", image(), scl_slope=slope, scl_inter=intercept))
    scaled = scans.read_scan(save(tmp_path / "k.nii", image(), scl_slope=0.5, scl_inter=2))
    np.testing.assert_allclose(scaled.array, STORED.transpose(1, 0, 2, 3) / 2 + 2)


# The place of the image


def shifted(mm):
    affine = AFFINE.copy()
    affine[:3, 3] += mm
    return affine


def test_a_qform_that_contradicts_an_sform_of_the_same_code_is_refused(tmp_path):
    path = save(tmp_path / "k.nii", image(qform=shifted([5, 7, 9]), codes=(1, 1)))
    with pytest.raises(InputError, match=r"sform 9 apart, both of code 1, in .*k\.nii"):
        scans.read_scan(path)


def test_a_qform_of_another_code_causes_a_warning_and_the_sform_counts(tmp_path, caplog):
    read_whole(save(tmp_path / "k.nii", image(qform=shifted([5, 7, 9]), codes=(1, 4))))
    assert "are 9 apart (codes 1 and 4): the sform is used" in caplog.text


@pytest.mark.parametrize("codes", [(1, 1), (0, 2), (1, 0)])
def test_forms_that_agree_within_a_tenth_of_a_voxel_cause_no_warning(tmp_path, caplog, codes):
    qform = shifted([0.03, 0, 0]) if all(codes) else AFFINE
    read_whole(save(tmp_path / "k.nii", image(qform=qform, codes=codes)))
    assert not caplog.text


def test_an_image_without_a_place_is_read_with_a_warning(tmp_path, caplog):
    nifti_image = image(codes=(0, 0))
    nifti_image.header["pixdim"][1:4] = 0.4, 0.5, 1.5
    volume = scans.read_scan(save(tmp_path / "k.nii", nifti_image))
    np.testing.assert_allclose(volume.spacing_mm, [0.5, 0.4, 1.5], rtol=1e-6)
    assert "its place and orientation in the patient are unknown" in caplog.text


@pytest.mark.parametrize("codes", [(0, 1), (1, 1)])
def test_a_sheared_grid_is_kept_and_its_output_has_no_qform(tmp_path, caplog, codes):
    path = save(tmp_path / "k.nii", image(affine=SHEARED, codes=codes))
    nifti.write_nifti(nifti.read_nifti(path), tmp_path / "out.nii")
    assert "k.nii meet at 45 degrees: the grid is kept" in caplog.text
    out = nib.load(tmp_path / "out.nii")
    np.testing.assert_allclose(out.affine, SHEARED, atol=1e-5)
    assert (int(out.header["qform_code"]), int(out.header["sform_code"])) == (0, 1)


def test_a_grid_at_right_angles_has_the_same_qform_and_sform(tmp_path):
    nifti.write_nifti(nifti.read_nifti(save(tmp_path / "k.nii", image())), tmp_path / "out.nii")
    out = nib.load(tmp_path / "out.nii")
    assert int(out.header["qform_code"]) == 1
    np.testing.assert_allclose(out.header.get_qform(), AFFINE, atol=1e-4)


@pytest.mark.parametrize(
    "affine",
    [
        np.diag([1e-30, 1e-30, 1e-30, 1]),
        np.diag([0.5, 0.5, 1e30, 1]),
        np.diag([0.5, 0.5, np.inf, 1]),
        np.diag([0.5, 0.5, np.nan, 1]),
        np.diag([0.5, 0.5, 0, 1]),
    ],
)
def test_spacings_of_no_scan_are_refused(tmp_path, affine):
    path = save(tmp_path / "k.nii", image(), srow_x=affine[0], srow_y=affine[1], srow_z=affine[2])
    with pytest.raises(InputError, match=r"spacings of 0\.02 to 20 mm, got .* in .*k\.nii"):
        scans.read_scan(path)


def test_an_image_far_from_any_scanner_is_refused(tmp_path):
    path = save(tmp_path / "k.nii", image(), srow_x=[*AFFINE[0, :3], 2e37])
    with pytest.raises(InputError, match=r"at most 10000 mm from the origin, got .*k\.nii"):
        scans.read_scan(path)


def test_axes_nearly_in_a_plane_are_refused(tmp_path):
    path = save(tmp_path / "k.nii", image(), srow_z=[0.5, 0.001, 0, 0], srow_y=[0.5, 0.001, 0, 0])
    with pytest.raises(InputError, match=r"(at right angles|0\.02 to 20 mm).*k\.nii"):
        scans.read_scan(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"xyzt_units": 5}, "unit of length is m, mm or um, got code 5"),
        ({"dim": [4, 5, 0, 4, 2, 1, 1, 1]}, r"with voxels, got shape \(5, 0, 4, 2\)"),
        ({"dim": [4, 5, -6, 4, 2, 1, 1, 1]}, "with voxels"),
        ({"dim": [4, 5, 6, 4, 1, 1, 1, 1]}, "as large as its header tells, got more"),
        ({"dim": [4, 5, 7, 4, 2, 1, 1, 1]}, "a whole NIfTI file"),
        ({"dim": [9, 5, 6, 4, 2, 1, 1, 1]}, "a whole NIfTI file"),
        ({"sform_code": 77}, "a header that contradicts itself"),
        ({"bitpix": 32}, "a header that contradicts itself"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 3}, "NIfTI"),
        ({"sform_code": 0, "pixdim": [1, 0.4, 0, 1.5, 0, 0, 0, 0]}, "spacings above 0"),
        ({"scl_slope": 2, "scl_inter": np.nan}, "a whole NIfTI file"),
        ({"magic": b"xyz"}, "plain ANALYZE"),
    ],
)
@pytest.mark.parametrize("name", ["k.nii", "k.nii.gz"])
def test_a_header_that_cannot_be_meant_is_refused_by_name(tmp_path, name, header, words):
    path = save(tmp_path / name, image(), **header)
    with pytest.raises(InputError, match=rf"{words}.*{name}"):
        scans.read_scan(path)


# The slice axis of an image whose axes were reordered


def test_the_message_about_another_slice_axis_names_what_reads_it(tmp_path):
    order = [2, 0, 1]
    path = save(tmp_path / "k.nii.gz", image(STORED.transpose(*order, 3), AFFINE[:, [*order, 3]]))
    with pytest.raises(InputError, match=r"--slice_axis=0 reads it so, .* in k\.json"):
        scans.read_scan(path)
    volume = scans.read_scan(path, slice_axis=0)
    np.testing.assert_array_equal(volume.array, STORED.transpose(1, 0, 2, 3))
    np.testing.assert_allclose(volume.spacing_mm, [0.5, 0.4, 1.5])


def test_the_spacing_of_slices_in_the_sidecar_reveals_the_axis(tmp_path):
    path = save(tmp_path / "k.nii", image(affine=np.diag([0.7, 0.6, 0.6, 1])))
    scans.read_scan(path)
    (tmp_path / "k.json").write_text(json.dumps({"SpacingBetweenSlices": 0.7}))
    with pytest.raises(InputError, match="--slice_axis=0"):
        scans.read_scan(path)
    assert scans.read_scan(path, slice_axis=0).spacing_mm[2] == pytest.approx(0.7)
    (tmp_path / "k.json").write_text(json.dumps({"SpacingBetweenSlices": 1.4}))
    scans.read_scan(path)


def test_a_damaged_header_is_refused_in_one_line_or_changes_no_voxel(tmp_path, capfd):
    random, whole, messages = np.random.default_rng(5), image(codes=(1, 1)).to_bytes(), []
    intact = scans.read_scan(save(tmp_path / "k.nii", image()))
    for _ in range(150):
        changed = bytearray(whole)
        for place in random.integers(0, 348, random.integers(1, 4)):
            # Only a damaged slope of intensities cannot be distinguished from another valid one.
            changed[place] = changed[place] if 112 <= place < 120 else random.integers(256)
        (tmp_path / "k.nii").write_bytes(changed)
        try:
            volume = scans.read_scan(tmp_path / "k.nii")
        except InputError as error:
            messages.append(str(error))
            continue
        np.testing.assert_array_equal(volume.array, intact.array)
        assert nifti_grid.same_grid(intact.affine, volume.affine, volume.array.shape[:3])
    assert len(messages) > 40
    assert all(message.isprintable() and "k.nii" in message for message in messages)
    assert capfd.readouterr().err.count("pixdim") == 0  # nibabel's own words
