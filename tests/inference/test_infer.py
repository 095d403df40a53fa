"""`mrsr_tf.infer` from the outside: what goes in, what comes out, and how it ends."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_studies import SECRETS, write_study
from random_scans import make_array
from small_runs import make_run

from mrsr_tf.io import dicom, scans
from mrsr_tf.mri.slices import interpolate


def infer(source, output, *flags) -> tuple[int, str]:
    command = [sys.executable, "-m", "mrsr_tf.infer", f"--input={source}", f"--output={output}"]
    result = subprocess.run([*command, *flags], capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


@pytest.fixture(scope="module")
def dual_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "dual")


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "knee", make_array((12, 10, 5)))


@pytest.fixture
def nifti(tmp_path):
    array = np.random.default_rng(0).uniform(0, 900, (10, 12, 5, 2)).astype(np.float32)
    affine = np.diag([-0.5, -0.5, 1.5, 1.0])
    affine[:3, 3] = 11, -7, 3
    path = tmp_path / "knee.nii.gz"
    nib.save(nib.Nifti1Image(array, affine), path)
    acquisition = {"EchoTime": [0.007, 0.039], "RepetitionTime": 0.023, "FlipAngle": 20}
    (tmp_path / "knee.json").write_text(json.dumps(acquisition))
    return path


def test_dicom_gives_a_folder_of_both_echoes(study, tmp_path, dual_run):
    output = tmp_path / "out"
    code, text = infer(study, output, f"--model={dual_run}")
    assert code == 0, text
    assert "2 x 5 of 1.5 mm slices -> 10 of 0.75 mm" in text
    assert len(list(output.iterdir())) == 20
    thick, fine = dicom.read_series(study), dicom.read_series(output)
    assert fine.array.shape == (12, 10, 10, 2)
    np.testing.assert_allclose(fine.affine[:, 3], thick.affine[:, 3], atol=1e-3)
    np.testing.assert_allclose(fine.affine[:3, 2], thick.affine[:3, 2] / 2, atol=1e-3)
    assert fine.spoiler_area == thick.spoiler_area == 3132


def test_nifti_gives_the_nifti_named(nifti, tmp_path, dual_run):
    output = tmp_path / "out" / "fine.nii.gz"
    code, text = infer(nifti, output, f"--model={dual_run}", "--look")
    assert code == 0, text
    page = (tmp_path / "out" / "fine_look.html").read_text()
    assert "5 of 1.5 mm → 10 of 0.75 mm" in page
    before, after = nib.load(nifti), nib.load(output)
    assert after.shape == (10, 12, 10, 2)
    np.testing.assert_allclose(after.affine[:, 3], before.affine[:, 3], atol=1e-5)
    np.testing.assert_allclose(after.affine[:3, 2], before.affine[:3, 2] / 2, atol=1e-6)
    assert scans.read_scan(output).echo_times_ms == (7.0, 39.0)


def test_a_damaged_study_does_not_stop_the_others(tmp_path):
    for number in range(3):
        write_study(tmp_path / "in" / f"knee_{number}", make_array((12, 10, 5), seed=number))
    (tmp_path / "in" / "knee_1" / "slice002_echo2.dcm").unlink()
    call = tmp_path / "in", tmp_path / "out", "--method=tci"
    code, text = infer(*call)
    assert code == 1
    (error,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert "1 of 3 failed" in error
    assert error.endswith("knee_1")
    assert text.count("-> 10 of 0.75 mm") == 2
    images = sorted((tmp_path / "out").glob("knee_*/*"))
    assert len(images) == 40
    when = [path.stat().st_mtime_ns for path in images]
    code, text = infer(*call)
    assert (code, text.count("nothing to do")) == (1, 2)
    assert [path.stat().st_mtime_ns for path in images] == when


WATCHED = """
import runpy, sys

def written(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        if isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            print("WROTE", arguments[0])
        if arguments[1] is None and arguments[2] & 3:
            print("WROTE", arguments[0])

sys.addaudithook(written)
sys.argv = sys.argv[1:]
runpy.run_module("mrsr_tf.infer", run_name="__main__", alter_sys=True)
"""


def test_the_patient_is_named_nowhere_but_in_the_output(study, tmp_path, dual_run):
    """Not on the terminal, not in a temporary file, and nothing is written anywhere else."""
    temporary, output = tmp_path / "temporary", tmp_path / "out" / "fine"
    temporary.mkdir()
    call = [f"--input={study}", f"--output={output}", f"--model={dual_run}", "--v=1"]
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, "infer", *call],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert result.returncode == 0, result.stderr
    text = result.stdout + result.stderr
    left = [path.read_text("latin-1") for path in temporary.rglob("*") if path.is_file()]
    for secret in SECRETS:
        assert not any(secret in each for each in (text, *left)), secret
    written = [Path(line[6:]) for line in text.splitlines() if line.startswith("WROTE ")]
    assert len([path for path in written if path.is_relative_to(output.parent)]) >= 20
    allowed = (temporary, output.parent, Path("/dev"))
    assert not [path for path in written if not any(path.is_relative_to(a) for a in allowed)]
    # While it ran, too: TensorFlow's own code, Python's trial of the folder and a nameless file.
    harmless = r"temporary|__autograph_generated_file\w+\.py|[a-z0-9_]{8}"
    within = [path.name for path in written if path.is_relative_to(temporary)]
    assert [name for name in within if not re.fullmatch(harmless, name)] == []


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--input=nowhere"], 1, "found nothing at nowhere"),
        (["--slice_axis=3"], 2, "slice_axis"),
        (["--slice_factor=1"], 2, "slice_factor"),
    ],
)
def test_a_wrong_call_ends_with_one_line(nifti, tmp_path, flags, code, message):
    before = sorted(tmp_path.iterdir())
    exit_code, text = infer(nifti, tmp_path / "out.nii.gz", "--method=tci", *flags)
    assert exit_code == code
    (line,) = [line for line in text.splitlines() if not line.startswith("warning: ")]
    assert line.startswith("error: ")
    assert message in line
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("method", "name"), [("tci", "tricubic"), ("fi", "fourier")])
@pytest.mark.parametrize("factor", [2, 3])
def test_interpolation_needs_no_model(nifti, tmp_path, method, name, factor):
    output = tmp_path / "fine.nii.gz"
    code, text = infer(nifti, output, f"--method={method}", f"--slice_factor={factor}")
    assert code == 0, text
    expected = interpolate(scans.read_scan(nifti).array, factor, method=name)
    np.testing.assert_allclose(scans.read_scan(output).array, expected, atol=1e-2)


def test_another_slice_axis_keeps_the_axes_of_the_file(tmp_path):
    array = np.random.default_rng(0).uniform(0, 900, (4, 10, 9)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, np.diag([1.5, 0.5, 0.5, 1])), tmp_path / "a.nii.gz")
    code, text = infer(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "--method=tci")
    assert code == 1
    assert "--slice_axis=0" in text
    code, text = infer(
        tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "--method=tci", "--slice_axis=0"
    )
    assert code == 0, text
    assert nib.load(tmp_path / "b.nii.gz").shape == (8, 10, 9)


@pytest.mark.parametrize("kind", ["study", "nifti"])
def test_the_same_call_changes_nothing_and_another_is_refused(kind, tmp_path, request):
    source = request.getfixturevalue(kind)
    output = tmp_path / ("out" if kind == "study" else "out.nii.gz")
    assert infer(source, output, "--method=tci")[0] == 0
    file = next(output.iterdir()) if output.is_dir() else output
    before = file.read_bytes()
    code, text = infer(source, output, "--method=tci")
    assert (code, "nothing to do" in text) == (0, True)
    code, text = infer(source, output, "--method=fi")
    assert (code, "method tci -> fi" in text) == (1, True)
    assert file.read_bytes() == before
    assert infer(source, output, "--method=fi", "--overwrite")[0] == 0
    assert file.read_bytes() != before


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_data_that_is_not_ours_is_never_replaced(study, tmp_path, flags):
    output = tmp_path / "scans"
    output.mkdir()
    (output / "thesis.tex").write_text("years of work")
    code, text = infer(study, output, "--method=tci", *flags)
    assert code == 1
    assert "found other data" in text
    assert (output / "thesis.tex").exists()
    code, text = infer(study, study, "--method=tci", *flags)
    assert (code, "expected an output apart from the input" in text) == (1, True)


def test_the_output_has_the_format_of_the_input(study, nifti, tmp_path):
    code, text = infer(study, tmp_path / "out.nii.gz", "--method=tci")
    assert (code, "a folder for the output, as the scan is DICOM" in text) == (1, True)
    code, text = infer(nifti, tmp_path / "out", "--method=tci")
    assert (code, "a name ending in .nii.gz" in text) == (1, True)


def test_a_model_of_another_factor_or_other_echoes_is_refused(study, tmp_path, dual_run):
    code, text = infer(study, tmp_path / "out", f"--model={dual_run}", "--slice_factor=3")
    assert code == 1
    assert "expected --slice_factor=2" in text
    single = write_study(tmp_path / "single", make_array((12, 10, 5), echoes=1))
    code, text = infer(single, tmp_path / "out", f"--model={dual_run}")
    assert code == 1
    assert "expected a scan of 2 echoes" in text
    assert not (tmp_path / "out").exists()


def test_bad_input_leaves_nothing_and_prints_one_line(study, tmp_path):
    next(study.glob("slice002_echo2.dcm")).unlink()
    code, text = infer(study, tmp_path / "out", "--method=tci")
    assert code == 1
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["knee"]
