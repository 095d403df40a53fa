"""The command, as a user types it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_studies import write_study
from label_maps import write_labels
from random_scans import make_array

from mrsr_tf.io import dicom, nifti
from mrsr_tf.io.nifti import read_map
from mrsr_tf.io.sidecar import sidecar_path
from mrsr_tf.mri.dess import dess_signals
from mrsr_tf.volume import Volume

ROOT = Path(__file__).parents[2]
PAPER = {"tr_ms": 23.0, "te_ms": 7.0, "flip_deg": 20.0}
SHAPE = (20, 24, 6)
T2 = np.broadcast_to(np.linspace(20, 60, SHAPE[1])[:, None], SHAPE)


def t2map(source, output, *flags):
    return subprocess.run(
        [sys.executable, "-m", "eval.t2map", f"--input={source}", f"--output={output}", *flags],
        capture_output=True,
        text=True,
    )


@pytest.fixture
def scan(tmp_path):
    """A NIfTI of both echoes with its sidecar."""
    signals = dess_signals(1000.0, 1200.0, T2, **PAPER)
    volume = Volume(
        np.stack(signals, axis=-1),
        np.diag([0.4, 0.4, 0.7, 1.0]),
        echo_times_ms=(7.0, 39.0),
        repetition_time_ms=23.0,
        flip_angle_deg=20.0,
    )
    nifti.write_nifti(volume, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def read(folder, volume):
    return nifti.read_map(folder / "t2_ms.nii.gz", nifti.read_nifti(volume))


def test_a_nifti_gives_a_map_and_a_picture_and_no_dicom(scan, tmp_path):
    result = t2map(scan, tmp_path / "out", "--method=exact")
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(read(tmp_path / "out", scan), T2, rtol=5e-4)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "configuration.json",
        "contents.json",
        "t2_ms.json",
        "t2_ms.nii.gz",
        "t2_ms.png",
        "t2_sd_ms.json",
        "t2_sd_ms.nii.gz",
    }
    assert "in 0 of all 2,880:" in result.stdout
    assert "without diffusion" in result.stderr


def test_the_same_call_again_changes_nothing_and_another_names_the_difference(scan, tmp_path):
    assert t2map(scan, tmp_path / "out").returncode == 0
    before = (tmp_path / "out" / "t2_ms.nii.gz").stat().st_mtime_ns
    again = t2map(scan, tmp_path / "out")
    assert (again.returncode, "is finished" in again.stdout) == (0, True)
    other = t2map(scan, tmp_path / "out", "--t1_ms=1000")
    assert other.returncode == 1
    assert other.stderr.splitlines()[-1].startswith("error: ")
    assert "t1_ms 1200.0 -> 1000.0" in other.stderr
    assert (tmp_path / "out" / "t2_ms.nii.gz").stat().st_mtime_ns == before
    assert t2map(scan, tmp_path / "out", "--t1_ms=1000", "--overwrite").returncode == 0


def test_flags_stand_in_for_a_missing_sidecar(scan, tmp_path):
    sidecar_path(scan).unlink()
    bare = t2map(scan, tmp_path / "out")
    assert bare.returncode == 1
    assert bare.stderr.startswith("error: expected a scan that tells")
    assert bare.stderr.count("\n") == 1
    assert "without RepetitionTime, EchoTime, FlipAngle" in bare.stderr
    assert not [*tmp_path.glob("out*")]
    with_flags = t2map(
        scan, tmp_path / "out", *(f"--{name}={value}" for name, value in PAPER.items())
    )
    assert with_flags.returncode == 0, with_flags.stderr


def test_a_single_contrast_scan_is_refused_in_one_line_and_leaves_nothing(scan, tmp_path):
    image = nib.load(scan)
    one = tmp_path / "one.nii.gz"
    nib.save(nib.Nifti1Image(image.get_fdata()[..., 0], image.affine), one)
    result = t2map(one, tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.count("error: ") == 1
    assert "single-contrast" in result.stderr
    assert str(one) in result.stderr
    assert not [*tmp_path.glob("out*")]


def test_a_study_gives_both_kinds_of_dicom_and_the_t2_of_its_regions(tmp_path):
    pytest.importorskip("highdicom")
    study = write_study(tmp_path / "knee" / "dicom", make_array(SHAPE, largest=900))
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:9, 5:9, 1:4], labels[15, 3, 2] = 1, 2
    write_labels(tmp_path / "knee" / "rois.nii.gz", labels)
    (tmp_path / "knee" / "rois.json").write_text('{"Femoral cartilage": 1}')
    result = t2map(tmp_path / "knee", tmp_path / "out", "--t2_format=both")
    assert result.returncode == 0, result.stderr
    names = {file.name for file in (tmp_path / "out" / "dicom").iterdir()}
    assert names == {"t2.dcm", *(f"t2_{number:04d}.dcm" for number in range(1, 7))}
    t2_ms = read_map(tmp_path / "out" / "t2_ms.nii.gz", dicom.read_series(study))
    stored = pydicom.dcmread(tmp_path / "out" / "dicom" / "t2.dcm").pixel_array
    np.testing.assert_allclose(np.sort(stored, None), np.sort(t2_ms, None), rtol=1e-6)

    with (tmp_path / "out" / "t2_regions.csv").open(newline="") as file:
        femoral, unnamed = csv.DictReader(file)
    valid = t2_ms[(labels == 1) & np.isfinite(t2_ms)].astype(float)
    assert femoral["region"] == "femoral_cartilage"
    assert unnamed["region"] == "label_2"
    assert int(femoral["voxels"]) == valid.size > 1
    assert int(femoral["voxels"]) + int(femoral["voxels_without_t2"]) == 60
    for name, value in (("mean", valid.mean()), ("median", np.median(valid))):
        assert float(femoral[f"{name}_ms"]) == pytest.approx(value, rel=1e-5)
    assert float(femoral["sd_ms"]) == pytest.approx(valid.std(ddof=1), rel=1e-5)


def test_a_nifti_gives_the_t2_of_regions_by_their_path_and_says_that_it_is_in_no_study(
    scan, tmp_path
):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 3] = 1
    file = write_labels(tmp_path / "cartilage.nii.gz", labels, np.diag([0.4, 0.4, 0.7, 1.0]))
    flags = ("--method=exact", f"--regions={file}", "--t2_format=pm")
    result = t2map(scan, tmp_path / "out", *flags)
    assert result.returncode == 0, result.stderr
    assert f"Parametric Map, which is part of a study, got {scan}" in result.stderr
    (row,) = csv.DictReader((tmp_path / "out" / "t2_regions.csv").read_text().splitlines())
    assert (row["region"], row["voxels"], row["voxels_without_t2"]) == ("label_1", "120", "0")
    assert float(row["mean_ms"]) == pytest.approx(T2[0, 3, 0], rel=5e-4)


def test_a_bids_dataset_gives_a_derivative_dataset_in_seconds(scan, tmp_path):
    anat = tmp_path / "bids" / "sub-01" / "ses-1" / "anat"
    anat.mkdir(parents=True)
    for ending in (".nii.gz", ".json"):
        file = sidecar_path(scan) if ending == ".json" else scan
        file.rename(anat / f"sub-01_ses-1_qdess{ending}")
    call = ["bids", "t2", "participant", "--participant_label", "01", "--method=exact"]
    for words in ("median T2", "nothing to do"):
        result = subprocess.run(
            [sys.executable, "-m", "eval.t2map", *call],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert result.returncode == 0, result.stderr
        assert words in result.stdout
    images = sorted(path.name for path in (tmp_path / "t2").rglob("*.nii.gz"))
    assert images == ["sub-01_ses-1_T2map.nii.gz", "sub-01_ses-1_desc-sd_T2map.nii.gz"]
    path = tmp_path / "t2" / "sub-01" / "ses-1" / "anat" / images[0]
    t2_s = nifti.read_map(path, nifti.read_nifti(anat / "sub-01_ses-1_qdess.nii.gz"))
    np.testing.assert_allclose(t2_s, T2 / 1000, rtol=5e-4)
    content = json.loads(sidecar_path(path).read_text())
    assert (content["Units"], content["SkullStripped"]) == ("s", False)
    assert content["Sources"] == ["bids:raw:sub-01/ses-1/anat/sub-01_ses-1_qdess.nii.gz"]
    assert content["EchoTime"] == [0.007, 0.039]


def test_the_real_knee_has_cartilage_like_values_and_a_derived_series(real_knee, tmp_path):
    result = t2map(real_knee, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    t2_ms = nib.load(tmp_path / "out" / "t2_ms.nii.gz").get_fdata()
    files = sorted((tmp_path / "out" / "dicom").iterdir())
    assert t2_ms.shape == (512, 512, 48)
    assert len(files) == 48
    image = pydicom.dcmread(files[24])
    stored = image.pixel_array * float(image.RescaleSlope)
    there = np.isfinite(t2_ms[..., 24].T)
    np.testing.assert_allclose(stored[there], t2_ms[..., 24].T[there], atol=0.01)
    assert not stored[~there].any()
    # Trochlear cartilage of the slice: by eye between 25 and 60 ms.
    assert 25 < np.nanmedian(t2_ms[152:160, 225:260, 24]) < 60


def test_an_odd_scan_in_a_folder_stops_no_other(scan, tmp_path):
    data = tmp_path / "data"
    for name in ("knee", "odd/before", "odd/after"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        for path in (scan, sidecar_path(scan)):
            shutil.copy(path, data / (name + path.name.removeprefix("scan")))
    result = t2map(data, tmp_path / "out", "--method=exact")
    assert result.returncode == 1
    assert "odd failed: expected one scan" in result.stderr
    assert result.stderr.splitlines()[-1].startswith(
        "error: expected every scan to succeed, 1 of 2 failed"
    )
    np.testing.assert_allclose(read(tmp_path / "out" / "knee", scan), T2, rtol=5e-4)
