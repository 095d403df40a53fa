"""Networks that version 0.1 saved, whose layers and entries had other names, still load.

saved_before.zip holds a finished run with space-to-depth (2, 2, 1), its export in both formats, and
a scan of noise with the voxels that version 0.1 computed from it.
"""

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder
from mrsr_tf.network.trained_model import load_model
from mrsr_tf.outputs import read_configuration


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved_before")
    with zipfile.ZipFile(Path(__file__).with_name("saved_before.zip")) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize(("kind", "tolerance"), [("run", 1e-5), ("export", 1e-5), ("weights", 1)])
def test_every_saved_form_gives_the_voxels_of_its_day(saved, kind, tolerance):
    """The weights of a weights file are rounded to float16, hence its tolerance."""
    model = load_model(saved / kind)
    assert (model.echoes, model.slice_factor) == (2, 2)
    assert model.resolver.space_to_depth == (2, 2, 1)
    with np.load(saved / "example.npz") as example:
        fine = model.resolver.super_resolve(tf.constant(example["thick"])).numpy()
        np.testing.assert_allclose(fine, example["fine"], rtol=1e-5, atol=tolerance)


def test_an_old_network_is_exported_under_the_new_names(saved, tmp_path):
    load_model(saved / "weights").export(tmp_path)
    card = load_model(tmp_path).card
    assert (card["echoes"], card["space_to_depth"]) == (2, [2, 2, 1])
    assert not {"contrasts", "fold"} & card.keys()


def test_an_old_network_is_saved_again_under_the_new_names(saved, tmp_path):
    network = run_folder.load_network(saved / "run")
    network.save(tmp_path / "network.keras")
    with zipfile.ZipFile(tmp_path / "network.keras") as archive:
        configuration = archive.read("config.json")
    assert b"SpaceToDepth" in configuration
    assert b"Fold" not in configuration
    assert keras.models.load_model(tmp_path / "network.keras").count_params() > 0


def test_an_old_run_is_not_resumed_and_the_message_says_what_to_do(saved):
    configuration = read_configuration(saved / "run")
    configuration["space_to_depth"] = configuration.pop("fold")
    with pytest.raises(InputError, match=r"fold 2x2x1 -> None.*--overwrite starts again"):
        run_folder.check_run(saved / "run", configuration)
