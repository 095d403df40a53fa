"""The choice of an upsampler by its name and options."""

import pytest
from small_runs import make_run

from mrsr_tf.errors import InputError
from mrsr_tf.inference.methods import choose_upsampler
from mrsr_tf.network.trained_model import load_model


@pytest.mark.parametrize(("slice_factor", "expected"), [(None, 2), (3, 3)])
@pytest.mark.parametrize("method", ["tci", "fi"])
def test_an_interpolation_has_factor_two_unless_another_is_asked_for(
    method, slice_factor, expected
):
    upsampler = choose_upsampler(method, slice_factor=slice_factor)
    assert (upsampler.name, upsampler.factor) == (method, expected)


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("consistent", [False, True])
def test_options_are_stated_in_the_derivation(ensemble, consistent):
    upsampler = choose_upsampler("tci", ensemble=ensemble, consistent=consistent)
    assert upsampler.derivation == {
        "method": "tci",
        "slice_factor": 2,
        "ensemble": 8 if ensemble else 1,
        "consistent": consistent,
    }


def test_the_network_is_given_by_its_folder_or_as_a_loaded_model(tmp_path):
    folder = make_run(tmp_path / "dual")
    from_folder = choose_upsampler("mrsr", model=folder, precision="bfloat16")
    from_model = choose_upsampler("mrsr", model=load_model(folder), precision="bfloat16")
    assert from_folder.derivation == from_model.derivation
    assert from_folder.derivation["precision"] == "bfloat16"
    assert from_folder.factor == 2
    with pytest.raises(InputError, match="expected --slice_factor=2"):
        choose_upsampler("mrsr", model=folder, slice_factor=3)
