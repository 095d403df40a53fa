"""The network as an upsampler: what its card determines, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from random_scans import make_scan
from small_runs import make_run

from mrsr_tf.errors import InputError
from mrsr_tf.inference.super_resolution import Network
from mrsr_tf.inference.upsampling import wrap
from mrsr_tf.mri.slices import thicken
from mrsr_tf.network.trained_model import load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(make_run(tmp_path_factory.mktemp("runs") / "dual"))


def test_ensemble_and_consistency_of_a_network(model):
    result = wrap(Network(model), ensemble=True, consistent=True)(make_scan())
    np.testing.assert_allclose(thicken(result.volume.array), make_scan().array, atol=0.02)
    assert result.uncertainty.array.shape == (10, 9, 8, 2)
    assert result.uncertainty.array.mean() > 1
    assert result.t2_uncertainty_ms.shape == (10, 9, 8)


def test_the_result_is_that_of_the_models_resolver(model):
    upsampler = Network(model)
    expected = model.resolver.super_resolve(make_scan().array).numpy()
    np.testing.assert_array_equal(upsampler(make_scan()).volume.array, expected)
    assert upsampler.derivation == {
        "method": "mrsr",
        "slice_factor": 2,
        "weights_sha256": model.weights_sha256,
        "precision": "float32",
        "ensemble": 1,
        "consistent": False,
    }


def test_the_profile_is_that_of_the_training_records(model):
    assert Network(model).profile == "fir"
    records = {"slice_factor": 2, "thickening": {"profile": "kspace", "first_slice": 0.0}}
    other = replace(model, card={"records": records})
    assert Network(other).profile == "kspace"


def test_other_echoes_are_refused(model):
    with pytest.raises(InputError, match="expected a scan of 2 echoes"):
        Network(model)(make_scan(echoes=1))
