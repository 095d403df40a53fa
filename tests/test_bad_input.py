"""Bad input to a command: exit code 1, one line that says what and where, nothing left behind."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_studies import SAGITTAL, write_study
from random_scans import make_array
from small_runs import make_run


def missing_in_one_echo(folder: Path) -> None:
    (folder / "slice003_echo2.dcm").unlink()


def missing_in_both_echoes(folder: Path) -> None:
    for echo in (1, 2):
        (folder / f"slice003_echo{echo}.dcm").unlink()


def duplicate_slice(folder: Path) -> None:
    shutil.copy(folder / "slice003_echo1.dcm", folder / "again.dcm")


def two_subjects(folder: Path) -> None:
    def another(header, index, echo):
        header.PatientID = "PAT-4712"

    write_study(folder, make_array((6, 5, 7), seed=1), name="other_{slice}_{echo}", change=another)


def unequal_spacing(folder: Path) -> None:
    def moved(header, index, echo):
        position = np.array(header.ImagePositionPatient, float)
        header.ImagePositionPatient = list(position + (index > 4) * 0.3 * SAGITTAL[:3, 2])

    shutil.rmtree(folder)
    write_study(folder, make_array((6, 5, 7)), change=moved)


def truncated_file(folder: Path) -> None:
    path = folder / "slice003_echo1.dcm"
    path.write_bytes(path.read_bytes()[:-20])


def empty_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing_in_one_echo, "echo"),
        (missing_in_both_echoes, "a slice is missing"),
        (duplicate_slice, "again.dcm"),
        (two_subjects, "one"),
        (unequal_spacing, "every 1.5 mm, got 1.95 mm"),
        (truncated_file, "slice003_echo1.dcm"),
        (empty_folder, "knee"),
    ],
)
def test_a_study_that_is_not_one_whole_scan_is_refused(tmp_path, spoil, said):
    study = write_study(tmp_path / "knee", make_array((6, 5, 7)))
    spoil(study)
    refused(tmp_path, said, "mrsr_tf.infer", f"--input={study}", "--method=tci", "--output=OUTPUT")


def test_a_nifti_of_three_echoes_is_refused(tmp_path):
    path = tmp_path / "three.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((6, 5, 7, 3), np.float32), np.eye(4)), path)
    refused(
        tmp_path,
        "three.nii.gz",
        "mrsr_tf.infer",
        f"--input={path}",
        "--method=tci",
        "--output=OUTPUT.nii.gz",
    )


def test_t2_of_a_single_contrast_scan_is_refused_with_the_reason(tmp_path):
    study = write_study(tmp_path / "knee", make_array((6, 5, 7), echoes=1))
    refused(tmp_path, "combine", "eval.t2map", f"--input={study}", "--output=OUTPUT")


def test_a_run_of_another_network_is_refused(tmp_path, small_records):
    run = make_run(tmp_path / "run", echoes=1)
    refused(
        tmp_path,
        "expected --filters=4 or none, as the network to start from has, got 5",
        "mrsr_tf.train",
        f"--records={small_records('dual')}",
        "--run_dir=OUTPUT",
        f"--init_from={run}",
        "--filters=5",
    )


def refused(folder: Path, said: str, module: str, *flags: str) -> None:
    """Runs a command that must end in exit code 1, and checks its words and what it left."""
    before = sorted(folder.iterdir())
    flags = [flag.replace("OUTPUT", str(folder / "output")) for flag in flags]
    result = subprocess.run([sys.executable, "-m", module, *flags], capture_output=True, text=True)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1, result.stderr
    assert len(errors) == 1
    assert "expected" in errors[0]
    assert re.search(said, errors[0]), errors[0]
    assert "Traceback" not in result.stderr
    assert sorted(folder.iterdir()) == before
