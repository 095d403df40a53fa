"""Scans damaged at random are read unchanged or refused, and never silently read wrong."""

import io
import logging
import zipfile

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_studies import SAGITTAL, SECRETS, write_enhanced, write_study
from pydicom import uid
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.io import scans

SHAPE = (4, 5, 3)


def classic(folder):
    return write_study(folder, make_array(SHAPE), name="{slice}_{echo}")


def rle(folder):
    classic(folder)
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        header.compress(uid.RLELossless, generate_instance_uid=False)
        header.save_as(file)


def jpeg_ls(folder):
    classic(folder)
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        header.compress(uid.JPEGLSLossless, generate_instance_uid=False)
        header.save_as(file)


def archive(folder):
    classic(folder)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted(folder.iterdir()):
            target.write(file, file.name)
            file.unlink()
    (folder / "scan.zip").write_bytes(packed.getvalue())


def nifti(folder):
    folder.mkdir()
    affine = np.diag([-1.0, -1, 1, 1]) @ SAGITTAL[:, [1, 0, 2, 3]]
    image = nib.Nifti1Image(make_array(SHAPE).transpose(1, 0, 2, 3), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, folder / "scan.nii.gz")


KINDS = {
    "files": (classic, 900),
    "enhanced": (lambda folder: write_enhanced(folder, make_array(SHAPE)), 500),
    "enhanced, one object per echo": (
        lambda folder: write_enhanced(folder, make_array(SHAPE), one_object=False),
        200,
    ),
    "run-length coded": (rle, 200),
    "JPEG-LS": (jpeg_ls, 100),
    "zip archive": (archive, 200),
    "NIfTI": (nifti, 150),
}


def damaged(whole, random):
    """The bytes with some replaced, cut off, removed, doubled or zeroed; and the first position."""
    kind, place = random.integers(6), int(random.integers(len(whole)))
    length = int(random.integers(1, 40))
    if kind == 0:
        return whole[:place]
    if kind == 1:
        return whole[:place] + whole[place + length :]
    if kind == 2:
        return whole[:place] + whole[place : place + length] + whole[place:]
    if kind == 3:
        return whole[:place] + bytes(length) + whole[place + length :]
    changed = bytearray(whole)
    for place in random.integers(0, len(whole), random.integers(1, 4)):
        changed[place] = random.integers(256)
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_or_harmless(tmp_path, caplog, recwarn, kind):
    make, times = KINDS[kind]
    caplog.set_level(logging.WARNING)
    folder = tmp_path / "scan"
    make(folder)
    original = scans.read_scan(folder)
    np.testing.assert_array_equal(original.array, make_array(SHAPE))
    files, random = sorted(folder.iterdir()), np.random.default_rng(7)
    messages, refused = "", 0
    for _ in range(times):
        file = files[random.integers(len(files))]
        whole = file.read_bytes()
        changed = damaged(whole, random)
        file.write_bytes(changed)
        caplog.clear()
        try:
            volume = scans.read_scan(folder)
        except InputError as error:
            messages, refused = messages + str(error), refused + 1
        else:
            messages += caplog.text
            check(volume, original, whole, changed, caplog.text)
            if (
                len(files) == 6 and volume.echoes == 2
            ):  # one file cannot change what all files agree on
                check_acquisition(volume, original)
        file.write_bytes(whole)
    assert refused > times / 10
    assert not any(secret in messages for secret in SECRETS)


def check(volume, original, whole, changed, words):
    """Checks that the scan was read; values may only differ where they themselves were damaged."""
    if volume.array.shape != original.array.shape:  # a file no longer identifies itself
        assert "skipped in" in words
        return
    corners = np.array([[0, 0, 0, 1], [4, 5, 3, 1]]).T
    apart = (volume.affine - original.affine) @ corners
    assert np.abs(apart).max() < 0.1
    same = np.array_equal(volume.array, original.array)
    assert same or damage_in_pixels(whole, changed)


def check_acquisition(volume, original):
    np.testing.assert_allclose(volume.echo_times_ms, original.echo_times_ms, atol=0.011)
    for name in ("repetition_time_ms", "flip_angle_deg", "spoiler_area", "spoiler_duration_us"):
        assert getattr(volume, name) == getattr(original, name), name


def damage_in_pixels(whole, changed):
    pixels = whole.rindex(b"\xe0\x7f\x10\x00")
    return whole[:pixels] == changed[:pixels] or whole[pixels:] != changed[-len(whole[pixels:]) :]
