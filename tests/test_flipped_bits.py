"""A flipped bit in a network, an image file or a flagfile is refused or harmless."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hdf5_scans import write_hdf5_scan
from random_scans import make_array
from small_runs import make_run

from mrsr_tf.errors import InputError
from mrsr_tf.io import scans
from mrsr_tf.network import model_card, run_folder, saved_model, weights_file
from mrsr_tf.network.trained_model import load_model

# Which files decide what a network computes, and how many bits of each are tried.
FILES = {
    "run": {run_folder.TRAINED: 10, run_folder.MANIFEST: 6},
    "export": {
        saved_model.GRAPH: 6,
        "variables/variables.index": 4,
        "variables/variables.data-00000-of-00001": 4,
        model_card.CARD: 10,
    },
    "weights": {weights_file.WEIGHTS: 40, model_card.CARD: 20},
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, Path]:
    """A network as a run and as a SavedModel, and one that comes with the package."""
    folder = tmp_path_factory.mktemp("networks")
    places = {kind: folder / kind for kind in FILES}
    load_model(make_run(places["run"])).export(places["export"])
    shutil.copytree(weights_file.FOLDER / "dual", places["weights"])
    return places


def flipped(whole: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(whole)
    changed[random.integers(len(whole))] ^= 1 << random.integers(8)
    return bytes(changed)


def properties(folder: Path) -> tuple:
    model = load_model(folder)
    return model.weights_sha256, model.slice_factor, model.echoes, model.resolver.space_to_depth


@pytest.mark.parametrize("kind", FILES)
def test_a_network_with_a_flipped_bit_is_refused_or_computes_the_same(networks, kind):
    random, expected, refused = np.random.default_rng(3), properties(networks[kind]), 0
    for name, times in FILES[kind].items():
        path = networks[kind] / name
        whole = path.read_bytes()
        for _ in range(times):
            path.write_bytes(flipped(whole, random))
            try:
                assert properties(networks[kind]) == expected, name
            except InputError:
                refused += 1
        path.write_bytes(whole)
    assert refused > sum(FILES[kind].values()) / 4


def test_an_hdf5_file_with_a_flipped_bit_is_refused_or_of_the_same_shape(tmp_path):
    path, random, refused = write_hdf5_scan(tmp_path, make_array()), np.random.default_rng(3), 0
    whole = path.read_bytes()
    for _ in range(150):
        path.write_bytes(flipped(whole, random))
        try:
            assert scans.read_scan(path).array.shape == make_array().shape
        except InputError:
            refused += 1
    assert 0 < refused < 150


@pytest.mark.parametrize("damage", [b"\xff", b"\0", b"-", b"\n"])
def test_a_damaged_flagfile_is_reported_in_one_line(tmp_path, damage):
    flagfile = tmp_path / "flags"
    whole = f"--output={tmp_path}/records\n--contrasts=dual\n--input={tmp_path}/none\n".encode()
    flagfile.write_bytes(whole.replace(b"a", damage, 1))
    result = subprocess.run(
        [sys.executable, "-m", "tf_records_tools.make_records", f"--flagfile={flagfile}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode in (1, 2)
    assert result.stderr.startswith("error: expected")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "records").exists()
