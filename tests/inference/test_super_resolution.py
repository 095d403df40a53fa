"""The way of a network: what its card decides, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from random_scans import make_scan
from small_runs import make_run

from mrsr_tf.errors import InputError
from mrsr_tf.inference import super_resolution
from mrsr_tf.inference.upsampling import resolved
from mrsr_tf.mri.slices import thicken
from mrsr_tf.network.trained_model import load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(make_run(tmp_path_factory.mktemp("runs") / "dual"))


def test_ensemble_and_consistency_of_a_network(model):
    made = resolved(make_scan(), super_resolution.network(model, ensemble=True, consistent=True))
    np.testing.assert_allclose(thicken(made.fine.array), make_scan().array, atol=0.02)
    assert made.residual_of_scale < 1e-6
    assert made.uncertainty.array.shape == (10, 9, 8, 2)
    assert made.uncertainty.array.mean() > 1
    assert made.t2_uncertainty_ms.shape == (10, 9, 8)


def test_alone_it_is_super_resolve(model):
    way = super_resolution.network(model)
    made, alone = resolved(make_scan(), way), super_resolution.super_resolve(make_scan(), model)
    np.testing.assert_array_equal(made.fine.array, alone.array)
    np.testing.assert_array_equal(made.fine.affine, alone.affine)
    assert way.derivation == {
        "method": "mrsr",
        "slice_factor": 2,
        "weights_sha256": model.weights_sha256,
        "precision": "float32",
        "ensemble": 1,
        "consistent": False,
    }


def test_the_profile_is_the_one_trained_on(model):
    assert super_resolution.network(model).profile == "fir"
    records = {"slice_factor": 2, "thickening": {"profile": "kspace", "first_slice": 0.0}}
    other = replace(model, card={"records": records})
    assert super_resolution.network(other).profile == "kspace"


def test_other_echoes_are_refused(model):
    for make in (
        lambda: super_resolution.super_resolve(make_scan(echoes=1), model),
        lambda: resolved(make_scan(echoes=1), super_resolution.network(model)),
    ):
        with pytest.raises(InputError, match="expected a scan of 2 echoes"):
            make()
