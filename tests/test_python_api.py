"""`import mrsr_tf` and the names that it offers."""

import subprocess
import sys

import numpy as np
import pytest
from random_scans import make_scan
from small_runs import make_run

import mrsr_tf
from mrsr_tf.errors import InputError
from mrsr_tf.mri.dess import dess_signals
from mrsr_tf.volume import intensity_scale


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return mrsr_tf.load_model(make_run(tmp_path_factory.mktemp("runs") / "dual"))


def test_the_import_loads_no_library():
    libraries = {"numpy", "scipy", "tensorflow", "keras", "pydicom", "nibabel", "absl"}
    code = f"import sys, mrsr_tf; print(sorted({libraries} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


def test_the_import_takes_less_than_a_tenth_of_a_second():
    code = "import time; start = time.process_time(); import mrsr_tf; "
    code += "print(time.process_time() - start)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert float(result.stdout) < 0.1


@pytest.mark.parametrize("name", ["thicken", "interpolate", "Volume", "mri", "records", "t2_map"])
def test_what_needs_no_network_loads_no_tensorflow(name):
    code = f"import sys, mrsr_tf; mrsr_tf.{name}; print('tensorflow' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "False\n", result.stderr


def test_every_public_name_exists_and_others_do_not():
    for name in mrsr_tf.__all__:
        assert getattr(mrsr_tf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'sharpen'"):
        mrsr_tf.sharpen  # noqa: B018 (raises)


def test_modules_of_the_public_interface_are_reached_by_attribute():
    code = (
        "import mrsr_tf; mrsr_tf.thicken; "
        "print(mrsr_tf.records.patches.positions((32, 32, 48)).shape, mrsr_tf.mri.dess.t2_map)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.startswith("(2, 3) <function t2_map"), result.stderr
    single = mrsr_tf.network.build_model(echoes=1, convolutions=2, filters=2)
    assert mrsr_tf.network.to_dual_contrast(single).input_shape[-1] == 2


def test_a_scan_is_read_super_resolved_and_written(model, tmp_path):
    source = tmp_path / "knee.nii.gz"
    from mrsr_tf.io.nifti import write_nifti

    write_nifti(make_scan(), source)
    scan = mrsr_tf.read(source)
    fine = mrsr_tf.super_resolve(scan, model)
    mrsr_tf.write(fine, tmp_path / "fine.nii.gz", like=source)
    written = mrsr_tf.read(tmp_path / "fine.nii.gz")
    rows, cols, slices, echoes = scan.array.shape
    assert written.array.shape == (rows, cols, 2 * slices, echoes)
    assert written.derived
    np.testing.assert_allclose(written.spacing_mm, scan.spacing_mm / (1, 1, 2), rtol=1e-5)
    np.testing.assert_allclose(written.array, fine.array, atol=1e-2)


def test_the_model_knows_its_factor_and_echoes(model):
    assert (model.slice_factor, model.echoes) == (2, 2)


def test_the_keras_network_of_a_model_predicts_what_super_resolution_gives():
    """With cells of 2 x 2 x 2 voxels, into which the odd size of the scan does not divide."""
    model = mrsr_tf.load_model("pretrained")
    scan = make_scan()
    slices = mrsr_tf.interpolate(scan.array, model.slice_factor, first=model.first_slice)
    scale = intensity_scale(slices)
    fine = scale * model.keras_model().predict(slices[None] / scale, verbose=0)[0]
    expected = mrsr_tf.super_resolve(scan, model).array
    assert np.abs(expected - slices).max() > 0.01 * scale
    np.testing.assert_allclose(fine, expected, atol=1e-5 * scale)


def test_options_of_super_resolution_change_the_result(model):
    scan = make_scan()
    plain = mrsr_tf.super_resolve(scan, model).array
    ensemble = mrsr_tf.super_resolve(scan, model, ensemble=True).array
    consistent = mrsr_tf.super_resolve(scan, model, consistent=True).array
    assert not np.allclose(plain, ensemble)
    np.testing.assert_allclose(mrsr_tf.thicken(consistent), scan.array, atol=0.05)
    half = mrsr_tf.super_resolve(scan, model, precision="bfloat16").array
    assert 0 < np.abs(half - plain).max() < 0.1 * plain.max()


@pytest.mark.parametrize(("method", "tolerance"), [("analytic", 0.02), ("exact", 1e-3)])
def test_t2_is_in_ms_and_nan_where_there_is_none(method, tolerance):
    sequence = {"tr_ms": 23.0, "te_ms": 7.0, "flip_deg": 20.0}
    signals = dess_signals(1000.0, 1200.0, np.full((4, 5, 6), 30.0), **sequence)
    array = np.stack(signals, axis=-1)
    array[0, 0, 0] = 0
    scan = mrsr_tf.Volume(array, np.diag([0.4, 0.4, 1.5, 1]), (7.0, 39.0), 23.0, 20.0)
    t2_ms = mrsr_tf.t2_map(scan, method=method)
    assert np.isnan(t2_ms[0, 0, 0])
    np.testing.assert_allclose(t2_ms[1:], 30, rtol=tolerance)
    with pytest.raises(InputError, match="single-contrast"):
        mrsr_tf.t2_map(mrsr_tf.Volume(array[..., :1], scan.affine))


def test_interpolation_brings_thickened_slices_back_to_the_fine_grid():
    fine = np.ones((3, 4, 8, 2), np.float32)
    thick = mrsr_tf.thicken(fine, factor=2, axis=2, profile="fir")
    for method in ("tricubic", "fourier"):
        np.testing.assert_allclose(
            mrsr_tf.interpolate(thick, factor=2, axis=2, method=method), fine, rtol=1e-5
        )
