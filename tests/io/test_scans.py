import nibabel as nib
import numpy as np
import pytest
from dicom_studies import write_study
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.io import scans


def write_nifti(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 100, (4, 4, 4)).astype(np.int16)
    image = nib.Nifti1Image(array, np.eye(4))
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return array.swapaxes(0, 1)


def names(path):
    return list(scans.find_scans(path))


def test_a_dicom_folder_a_dicom_file_and_a_nifti_are_scans(tmp_path):
    array = make_array()
    study = write_study(tmp_path / "dicom", array)
    np.testing.assert_array_equal(scans.read_scan(study).array, array)
    single = scans.read_scan(study / "slice000_echo1.dcm")
    np.testing.assert_array_equal(single.array, array[:, :, :1, :1])
    stored = write_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(scans.read_scan(tmp_path / "a.nii.gz").array[..., 0], stored)


@pytest.mark.parametrize(
    ("scale", "brightest"), [(1e-38, 1), (1e20, 1), (100, 1e30), (1, np.float32(3e38))]
)
def test_intensities_that_float32_cannot_compute_with_are_refused(tmp_path, scale, brightest):
    array = np.random.default_rng(0).uniform(0, 1, (4, 4, 4)).astype(np.float32) * np.float32(scale)
    array[1, 2, 3] *= np.float32(brightest)
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "knee.nii")
    words = r"expected a largest intensity .* in echo 1 of .*knee\.nii$"
    with pytest.raises(InputError, match=words):
        scans.read_scan(tmp_path / "knee.nii")


def test_one_hot_voxel_is_read(tmp_path):
    array = np.full((4, 4, 4), 100, np.float32)
    array[1, 2, 3] = 1e9
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "knee.nii")
    assert scans.read_scan(tmp_path / "knee.nii").array[2, 1, 3, 0] == 1e9


def test_the_slice_axis_is_passed_on_to_nifti(tmp_path):
    stored = write_nifti(tmp_path / "a.nii").swapaxes(0, 1)
    volume = scans.read_scan(tmp_path / "a.nii", slice_axis=0)
    np.testing.assert_array_equal(volume.array[1, 2, 3], [stored[3, 2, 1]])


def test_a_subjects_folder_is_a_scan_whatever_else_it_contains(tmp_path, caplog):
    array = make_array()
    write_study(tmp_path / "s1" / "dicom", array)
    write_nifti(tmp_path / "s1" / "truth" / "t2_ms.nii.gz")
    write_nifti(tmp_path / "s1" / "rois.nii.gz")
    np.testing.assert_array_equal(scans.read_scan(tmp_path / "s1").array, array)
    stored = write_nifti(tmp_path / "s2" / "image.nii.gz")
    write_nifti(tmp_path / "s2" / "rois.nii.gz", seed=1)
    np.testing.assert_array_equal(scans.read_scan(tmp_path / "s2").array[..., 0], stored)
    assert not caplog.text


def test_subjects_are_found_in_every_layout_and_sorted(tmp_path):
    write_study(tmp_path / "d_phantom" / "dicom", make_array((3, 3, 2)))
    write_study(tmp_path / "c_plain", make_array((3, 3, 2)), name="{slice}_{echo}")
    write_study(tmp_path / "b_deep", make_array((3, 3, 2)), name="visit/date/{slice}_{echo}")
    write_nifti(tmp_path / "a_image" / "image.nii.gz")
    write_nifti(tmp_path / "e_other" / "t1w.nii.gz")
    write_nifti(tmp_path / "f.nii.gz")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("about")
    write_study(tmp_path / "g.partial" / "dicom", make_array((3, 3, 2)))
    write_study(tmp_path / ".hidden", make_array((3, 3, 2)))
    subjects = scans.find_scans(tmp_path)
    assert list(subjects) == ["a_image", "b_deep", "c_plain", "d_phantom", "e_other", "f"]
    assert subjects["d_phantom"].subject == tmp_path / "d_phantom"
    assert subjects["d_phantom"].path == tmp_path / "d_phantom" / "dicom"
    for scan in subjects.values():
        scan.read()


@pytest.mark.parametrize("name", ["{slice}_{echo}", "dicom/{slice}_{echo}"])
def test_a_scan_without_a_subjects_folder_is_one_subject(tmp_path, name):
    study = write_study(tmp_path / "knee", make_array((3, 3, 2)), name=name)
    assert scans.find_scans(study) == {"knee": scans.find_scan(study)}


def test_one_file_is_one_subject(tmp_path):
    path = tmp_path / "knee.nii.gz"
    write_nifti(path)
    assert scans.find_scans(path) == {"knee": scans.find_scan(path)}


def test_a_folder_with_an_image_beside_its_truth_is_one_subject(tmp_path):
    write_nifti(tmp_path / "knee" / "image.nii.gz")
    write_nifti(tmp_path / "knee" / "truth" / "labels.nii.gz")
    assert names(tmp_path / "knee") == ["knee"]


def test_a_scan_with_a_folder_for_each_echo_is_one_subject(tmp_path):
    array = make_array((3, 3, 2))
    write_study(tmp_path / "knee", array, one_series=False, name="series{echo}/{slice}")
    subjects = scans.find_scans(tmp_path / "knee")
    assert list(subjects) == ["knee"]
    np.testing.assert_array_equal(scans.read_scan(subjects["knee"]).array, array)


def test_echoes_of_several_subjects_in_one_folder_are_refused(tmp_path):
    for subject in "ab":
        write_study(tmp_path, make_array((3, 3, 2)), name=subject + "_echo{echo}/{slice}")
    with pytest.raises(InputError, match=r"parts of one exam in .*a_echo1 and .*a_echo2"):
        scans.find_scans(tmp_path)


def test_two_scans_of_one_subject_are_two_entries(tmp_path):
    def same_frame(header, index, echo):
        header.FrameOfReferenceUID = "2.25.1"

    for name in ("test", "retest"):
        write_study(tmp_path / name, make_array((3, 3, 2)), change=same_frame)
    assert names(tmp_path) == ["retest", "test"]


def test_two_subjects_of_one_name_are_refused(tmp_path):
    write_nifti(tmp_path / "knee.nii.gz")
    write_nifti(tmp_path / "knee" / "image.nii.gz")
    with pytest.raises(InputError, match="got two named knee"):
        scans.find_scans(tmp_path)


def test_several_images_in_one_folder_are_refused_unless_one_is_named_image(tmp_path):
    write_nifti(tmp_path / "s" / "before.nii.gz")
    write_nifti(tmp_path / "s" / "after.nii.gz")
    with pytest.raises(InputError, match=r"got 2 files and none named image\.nii\.gz in .*s$"):
        scans.read_scan(tmp_path / "s")
    write_nifti(tmp_path / "s" / "image.nii.gz")
    scans.read_scan(tmp_path / "s")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "found nothing at"),
        (lambda path: path.mkdir(), "found none in"),
    ],
)
def test_a_path_without_a_scan_is_refused(tmp_path, make, reason):
    path = tmp_path / "data"
    make(path)
    with pytest.raises(InputError, match=rf"{reason} .*data"):
        scans.find_scans(path)
    with pytest.raises(InputError, match=r"found none at .*data"):
        scans.read_scan(path)


def test_a_folder_of_other_files_has_no_subjects(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("x")
    write_nifti(tmp_path / "rois.nii.gz")
    with pytest.raises(InputError, match="expected subjects"):
        scans.find_scans(tmp_path)
