"""Networks in two small files, and the networks that come with the package."""

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from random_scans import make_scan

from mrsr_tf.errors import InputError
from mrsr_tf.inference.super_resolution import Network
from mrsr_tf.network import weights_file
from mrsr_tf.network.architecture import build_model
from mrsr_tf.network.model_card import read_card
from mrsr_tf.network.streaming import SuperResolver
from mrsr_tf.network.trained_model import TrainedModel, load_model
from mrsr_tf.volume import Volume

SHIPS = pytest.mark.skipif(
    not weights_file.FOLDER.exists(), reason="a source tree without the shipped weights"
)


def network() -> TrainedModel:
    keras.utils.set_random_seed(0)
    weights = build_model(2, convolutions=3, filters=4, space_to_depth=(2, 2, 1)).get_weights()
    random = np.random.default_rng(0)
    weights[-2] = random.normal(0, 0.1, weights[-2].shape).astype(np.float32)
    resolver = SuperResolver(weights, 2, (2, 2, 1))
    return TrainedModel("here", resolver, {"records": RECORDS}).to_float16()


RECORDS = {
    "slice_factor": 2,
    "contrasts": "dual",
    "spacing_mm": {"min": [0.4, 0.4, 0.7], "max": [0.4, 0.4, 0.7]},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small").mkdir()
    network().export_weights(tmp_path / "small")
    return tmp_path / "small"


def test_written_weights_compute_the_same_when_read(folder):
    np.testing.assert_array_equal(
        Network(load_model(folder))(make_scan()).volume.array,
        Network(network())(make_scan()).volume.array,
    )
    assert load_model(folder).weights_sha256 == network().weights_sha256


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "pickled", "absent"])
def test_damaged_and_foreign_weights_are_refused_by_name(folder, damage):
    path = folder / "weights.npz"
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        middle = len(whole) // 3
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    elif damage == "foreign":
        np.savez(path, *[np.ones_like(w) for w in network().resolver.weights])
    elif damage == "pickled":
        np.savez(path, np.array([print], object))
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"weights|finished training run"):
        load_model(folder)


@pytest.mark.parametrize("card", ["{", "[]", "{}"])
def test_a_card_that_is_none_is_refused(folder, card):
    (folder / "card.json").write_text(card)
    with pytest.raises(InputError, match=r"card.*card\.json"):
        load_model(folder)


def test_another_factor_is_refused(folder):
    with pytest.raises(InputError, match="slice_factor"):
        load_model(folder, slice_factor=3)


@SHIPS
@pytest.mark.parametrize("name", weights_file.SHIPPED)
def test_the_shipped_networks_take_one_echo_or_two_and_keep_their_scale(name):
    model = load_model(name)
    for echoes in (1, 2):
        flat = Volume(np.full((16, 16, 8, echoes), 500, np.float32), make_scan().affine)
        fine = Network(model)(flat).volume.array
        assert fine.shape == (16, 16, 16, echoes)
        np.testing.assert_allclose(fine[4:-4, 4:-4, 4:-4], 500, rtol=0.05)


@SHIPS
def test_the_shipped_cards_state_their_origin():
    folders = [weights_file.shipped_folders(name).values() for name in weights_file.SHIPPED]
    for folder in itertools.chain(*folders):
        card = read_card(folder)
        assert card["licence"] != "not stated"
        assert {"configuration", "records", "versions", "measured"} <= card.keys()


@SHIPS
def test_a_damaged_installation_is_reported(tmp_path, monkeypatch):
    shutil.copytree(weights_file.FOLDER, tmp_path / "pretrained")
    (tmp_path / "pretrained/single/weights.npz").write_bytes(b"")
    monkeypatch.setattr(weights_file, "FOLDER", tmp_path / "pretrained")
    with pytest.raises(InputError, match="single"):
        load_model("pretrained")


@SHIPS
def test_the_shipped_networks_are_found_from_any_directory(tmp_path):
    code = (
        "from mrsr_tf.network import trained_model as network\n"
        "print(network.load_model('pretrained').echoes)"
    )
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "2", result.stderr
