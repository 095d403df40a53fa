"""NIfTI in zip archives, and decompression bombs."""

import gzip
import json
import struct
import zipfile

import nibabel as nib
import numpy as np
import pytest
from dicom_studies import SAGITTAL
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.io import nifti, nifti_file, scans
from mrsr_tf.io.labels.nifti_labels import NiftiLabels
from mrsr_tf.io.sidecar import sidecar_path
from mrsr_tf.volume import Volume

ACQUISITION = {"EchoTime": [0.007, 0.039], "RepetitionTime": 0.023, "FlipAngle": 20}


def write(path, array=None, **acquisition):
    nifti.write_nifti(Volume(make_array() if array is None else array, SAGITTAL), path)
    sidecar_path(path).write_text(json.dumps(ACQUISITION | acquisition))
    return path


def packed(archive, *files, folder="export/"):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for file in files:
            target.write(file, folder + file.name)
        target.writestr("__MACOSX/._knee.nii.gz", b"what macOS adds")
    return archive


def test_a_nifti_and_its_sidecar_are_read_out_of_an_archive(tmp_path):
    knee = write(tmp_path / "knee.nii.gz")
    (tmp_path / "zips").mkdir()
    archive = packed(tmp_path / "zips" / "a.zip", knee, sidecar_path(knee))
    volume = scans.read_scan(archive)
    np.testing.assert_array_equal(volume.array, make_array())
    np.testing.assert_allclose(volume.affine, SAGITTAL, atol=1e-5)
    assert (volume.echo_times_ms, volume.repetition_time_ms) == ((7, 39), 23)
    assert scans.find_scans(tmp_path / "zips") == {"a": scans.find_scan(archive)}
    scan = scans.find_scan(archive)
    assert scan.format.output_ending == ".nii.gz"
    assert volume.identity == scans.read_scan(knee).identity
    assert scan.patient() is None
    assert [path.name for path in (tmp_path / "zips").iterdir()] == ["a.zip"]


def test_both_echoes_are_read_out_of_an_archive(tmp_path):
    files = []
    for echo in (1, 2):
        path = tmp_path / f"sub-01_echo-{echo}_qdess.nii"
        write(path, make_array()[..., echo - 1 : echo], EchoTime=ACQUISITION["EchoTime"][echo - 1])
        files += [path, sidecar_path(path)]
    volume = scans.read_scan(packed(tmp_path / "a.zip", *files))
    np.testing.assert_array_equal(volume.array, make_array())
    assert volume.echo_times_ms == (7, 39)


def test_an_archive_of_several_images_is_refused(tmp_path):
    files = [write(tmp_path / f"{name}.nii.gz") for name in "ab"]
    with pytest.raises(InputError, match=r"one for each echo, in a zip archive, got 2: .*a\.zip"):
        scans.read_scan(packed(tmp_path / "a.zip", *files))


def test_errors_in_an_archive_name_the_archive(tmp_path):
    knee = write(tmp_path / "knee.nii.gz", EchoTime=0.007)
    with pytest.raises(InputError) as refused:
        scans.read_scan(packed(tmp_path / "a.zip", knee, sidecar_path(knee)))
    ending = f'in {tmp_path / "a.zip"}/knee.json: write "EchoTime": [TE1, TE2], in seconds'
    assert str(refused.value).endswith(ending)


def test_a_damaged_archive_of_nifti_is_refused_by_name(tmp_path):
    archive = packed(tmp_path / "a.zip", write(tmp_path / "knee.nii"))
    whole = bytearray(archive.read_bytes())
    whole[200] ^= 255
    archive.write_bytes(whole)
    with pytest.raises(InputError, match=r"a\.zip"):
        scans.read_scan(archive)


def compressed_zeros(path, shape, more=b""):
    """A compressed NIfTI whose header has this shape, followed by `more` in place of voxels."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    block = header.binaryblock
    block = block[:108] + struct.pack("<f", 352) + block[112:] + bytes(4)  # offset of the voxels
    path.write_bytes(gzip.compress(block + more))
    return path


def test_a_decompression_bomb_is_refused_before_it_is_read(tmp_path):
    path = compressed_zeros(tmp_path / "bomb.nii.gz", (30000, 30000, 10000))
    with pytest.raises(InputError, match=r"of one scan, got 16763\.8 GiB in 0\.0 MiB: .*bomb"):
        scans.read_scan(path)
    path = compressed_zeros(tmp_path / "bomb.nii.gz", (2000, 2000, 500))
    with pytest.raises(InputError, match=r"NIfTI of one scan, got 3\.7 GiB in 0\.0 MiB: .*bomb"):
        scans.read_scan(path)


def test_a_file_longer_than_its_image_is_refused(tmp_path):
    path = compressed_zeros(tmp_path / "bomb.nii.gz", (10, 10, 10), bytes(10 * nifti_file.BLOCK))
    with pytest.raises(InputError, match=r"as large as its header tells, got more: .*bomb"):
        scans.read_scan(path)


def test_labels_that_are_nearly_all_zeros_are_not_taken_for_a_bomb(tmp_path):
    labels = np.zeros((64, 64, 64), np.float32)
    labels[1, 2, 3] = 1
    nib.save(nib.Nifti1Image(labels, np.eye(4)), tmp_path / "rois.nii.gz")
    label_map = NiftiLabels().read(tmp_path / "rois.nii.gz")
    assert label_map.layers[0].sum() == 1
