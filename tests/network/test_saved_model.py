"""An exported folder, as used without this package."""

import csv
import json
import runpy
import shutil
import subprocess
import sys

import numpy as np
import pytest
from small_runs import MANIFEST, make_run

from mrsr_tf.errors import InputError
from mrsr_tf.inference.super_resolution import Network
from mrsr_tf.network.trained_model import load_model
from mrsr_tf.volume import Volume

# Isolated from working directory and environment, and without this package.
ALONE = """
import runpy, sys
sys.modules["mrsr_tf"] = None
try:
    import mrsr_tf
except ImportError:
    runpy.run_path(sys.argv[1], run_name="__main__")
"""
SERVE = """
import runpy
import numpy as np
import tensorflow as tf
serve = tf.saved_model.load("EXPORTED").signatures["serving_default"]
for number in range(2):
    volume = tf.constant(np.load(f"EXPORTED/../thick_{number}.npy")[None])
    np.save(f"EXPORTED/../fine_{number}.npy", serve(volume=volume)["super_resolved"].numpy()[0])
runpy.run_path("EXPORTED/check.py", run_name="__main__")
"""


def alone(script) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", ALONE, str(script)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    run_dir = make_run(tmp_path_factory.mktemp("runs") / "box")
    thickening = {"profile": "box", "first_slice": 0.5}
    spacing = {"min": [0.3, 0.3, 0.7], "max": [0.4, 0.4, 0.8]}
    manifest = {**MANIFEST, "thickening": thickening, "spacing_mm": spacing}
    (run_dir / "manifest.json").write_text(json.dumps(manifest))
    return load_model(run_dir)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "network"
    model.export(path, licence="CC-BY-4.0")
    return path


def test_tensorflow_alone_gives_the_voxels_of_infer_and_the_check_says_ok(model, folder):
    random = np.random.default_rng(0)
    shapes = (20, 17, 3, 2), (5, 6, 1, 2)
    thick = [random.uniform(0, 900, shape).astype(np.float32) for shape in shapes]
    for number, array in enumerate(thick):
        np.save(folder.parent / f"thick_{number}.npy", array)
    script = folder.parent / "serve.py"
    script.write_text(SERVE.replace("EXPORTED", str(folder)))
    result = alone(script)
    assert (result.returncode, result.stdout[:4]) == (0, "ok: "), result.stderr
    for number, array in enumerate(thick):
        expected = Network(model)(Volume(array, np.eye(4))).volume.array
        served = np.load(folder.parent / f"fine_{number}.npy")
        np.testing.assert_allclose(served, expected, atol=1e-4 * 900)


@pytest.mark.parametrize(
    ("damage", "message"), [("card", "the weights"), ("example", "voxels differ")]
)
def test_the_check_reports_what_is_wrong(folder, tmp_path, damage, message):
    copy = shutil.copytree(folder, tmp_path / "copy")
    if damage == "card":
        card = json.loads((copy / "card.json").read_text())
        (copy / "card.json").write_text(json.dumps({**card, "weights_sha256": "0"}))
    else:
        with np.load(copy / "example.npz") as example:
            volume, fine = example["volume"], example["super_resolved"]
        np.savez(copy / "example.npz", volume=volume, super_resolved=fine + 1)
    assert message in runpy.run_path(str(copy / "check.py"))["main"]()


def test_the_card_has_what_a_user_must_know(model, folder):
    card = json.loads((folder / "card.json").read_text())
    assert (card["slice_factor"], card["first_slice"], card["echoes"]) == (2, 0.5, 2)
    assert card["training_spacing_mm"] == {"min": [0.3, 0.3, 0.7], "max": [0.4, 0.4, 0.8]}
    assert (card["licence"], card["weights_sha256"]) == ("CC-BY-4.0", model.weights_sha256)
    assert card["records"]["thickening"]["profile"] == "box"


def evaluation(path, weights_sha256):
    path.mkdir()
    configuration = {"experiment": "image_quality", "model": {"weights_sha256": weights_sha256}}
    (path / "configuration.json").write_text(json.dumps(configuration))
    with (path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["subject", "method", "echo", "psnr_db"])
        writer.writerows([["a", "mrsr", 1, 36], ["a", "tci", 1, 30], ["b", "mrsr", 1, 40]])
    return path


def test_the_card_summarizes_evaluations_of_this_network_only(model, tmp_path):
    ours = evaluation(tmp_path / "ours", model.weights_sha256)
    model.export(tmp_path / "exported", results=[ours])
    card = json.loads((tmp_path / "exported" / "card.json").read_text())
    (measured,) = card["measured"]
    psnr = {"mean": 38, "sd": pytest.approx(8**0.5), "subjects": 2}
    assert measured == {"experiment": "image_quality", "echo 1": {"psnr_db": psnr}}
    with pytest.raises(InputError, match="found another's"):
        model.export(tmp_path / "no", results=[evaluation(tmp_path / "theirs", "0")])
