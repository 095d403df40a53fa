"""What is tried against the whole: weights with code in them, hostile archives, odd machines."""

import os
import resource
import shutil
import subprocess
import sys
import zipfile

import nibabel as nib
import numpy as np
import pytest
from dicom_studies import SAGITTAL, write_study
from random_scans import make_array, make_scan
from small_runs import make_run

from mrsr_tf.errors import InputError
from mrsr_tf.inference.batch import Study, derive
from mrsr_tf.inference.upsampling import Interpolation
from mrsr_tf.io import nifti, scans
from mrsr_tf.io.sidecar import sidecar_path
from mrsr_tf.outputs import exclusive_lock
from mrsr_tf.volume import Volume


def interpolated(source, output, limit=resource.RLIM_INFINITY, **environment):
    """`mrsr_tf.infer` as another user's shell would start it: exit code, stdout, stderr."""
    ran = subprocess.run(
        [sys.executable, "-m", "mrsr_tf.infer", f"--input={source}", f"--output={output}",
         "--method=tci"],
        env={"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1"} | environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True, check=False,
    )  # fmt: skip
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


# Weights


def test_a_network_that_carries_code_is_refused_and_its_code_is_not_run(tmp_path, monkeypatch):
    import keras

    from mrsr_tf.network import run_folder
    from mrsr_tf.network.trained_model import load_model

    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    evil = keras.layers.Lambda(
        lambda x: (__import__("pathlib").Path(__import__("os").environ["MARK"]).touch(), x)[1],
        output_shape=lambda shape: shape,
    )
    run = make_run(tmp_path / "run")
    inputs = keras.Input((None, None, None, 2))
    keras.Model(inputs, evil(inputs)).save(run / run_folder.TRAINED)
    (tmp_path / "mark").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"could not read it.*model\.keras"):
        load_model(run)
    assert not (tmp_path / "mark").exists()


def test_of_an_exported_folder_only_the_weights_are_taken_and_its_graph_is_not_run(tmp_path):
    import tensorflow as tf

    from mrsr_tf.network.model_card import CARD
    from mrsr_tf.network.trained_model import load_model

    load_model(make_run(tmp_path / "run")).export(tmp_path / "exported")
    evil, mark = tf.saved_model.load(str(tmp_path / "exported")), str(tmp_path / "mark")
    module = tf.Module()
    module.kernels, module.biases = list(evil.kernels), list(evil.biases)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, None, 2))])
    def serve(volume):
        with tf.control_dependencies([tf.io.write_file(mark, "here")]):
            return {"super_resolved": tf.identity(volume)}

    tf.saved_model.save(module, str(tmp_path / "evil"), signatures=serve)
    shutil.copyfile(tmp_path / "exported" / CARD, tmp_path / "evil" / CARD)
    fine = load_model(tmp_path / "evil").resolver.super_resolve(tf.ones((8, 8, 4, 2)))
    assert fine.shape == (8, 8, 8, 2)
    assert not (tmp_path / "mark").exists()


# Archives


@pytest.mark.parametrize("climbing", ["../../escaped.nii.gz", "/tmp/../escaped.nii.gz"])
def test_a_nifti_whose_name_climbs_out_of_its_archive_is_read_and_written_nowhere(
    tmp_path, climbing
):
    packed = tmp_path / "in" / "knee.nii.gz"
    nifti.write_nifti(Volume(make_array(), SAGITTAL), packed)
    (tmp_path / "a").mkdir()
    with zipfile.ZipFile(tmp_path / "a" / "a.zip", "w") as archive:
        archive.write(packed, climbing)
    np.testing.assert_array_equal(scans.read_scan(tmp_path / "a" / "a.zip").array, make_array())
    assert not list(tmp_path.rglob("escaped*"))
    assert not list(tmp_path.parent.glob("escaped*"))


# Machines


def test_locale_time_zone_and_a_name_beyond_ascii_change_nothing(tmp_path):
    source = tmp_path / "Knie, größer" / "knee.nii.gz"
    nifti.write_nifti(make_scan(affine=SAGITTAL), source)
    outputs = set()
    for name, environment in {
        "plain": {"LC_ALL": "C.UTF-8"},
        "bare": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        "turkish": {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
    }.items():
        code, _, said = interpolated(source, tmp_path / name / "fine.nii.gz", **environment)
        assert (code, said) == (0, "")
        fine = tmp_path / name / "fine.nii.gz"
        outputs.add(sidecar_path(fine).read_bytes() + nib.load(fine).get_fdata().tobytes())
    assert len(outputs) == 1


def test_too_little_memory_is_said_in_one_line_and_leaves_nothing(tmp_path):
    image = nib.Nifti1Image(np.ones((600, 600, 150, 2), np.uint8), np.eye(4))
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "knee.nii")
    code, _, said = interpolated(tmp_path / "knee.nii", tmp_path / "out.nii.gz", limit=10**9)
    assert code == 1
    assert said.splitlines()[-1].startswith("error: Unable to allocate")
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["knee.nii"]


def test_a_scan_among_thousands_of_strange_files_is_read_and_they_are_counted(tmp_path, caplog):
    study = write_study(tmp_path / "study", make_array())
    for number in range(3000):
        (study / f"note{number}").write_text("x")
    np.testing.assert_array_equal(scans.read_scan(study).array, make_array())
    assert "3000 not DICOM" in caplog.text


def test_two_processes_on_one_series_one_is_refused_and_the_other_ends_whole(tmp_path):
    source = scans.find_scan(write_study(tmp_path / "study", make_array()))
    study = Study(source, tmp_path / "fine")
    (tmp_path / "fine.partial").mkdir()
    lock = exclusive_lock(tmp_path / "fine.partial")
    with lock, pytest.raises(InputError, match="no other process"):
        derive(study, Interpolation("tci"))
    assert (tmp_path / "fine.partial").is_dir()
    derive(study, Interpolation("tci"))
    slices = 2 * 2 * make_array().shape[2]
    assert len(list((tmp_path / "fine").iterdir())) == slices
