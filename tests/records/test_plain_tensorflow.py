"""Records are read by TensorFlow alone, with the lines of docs/records.md."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrsr_tf.io.scans import read_scan
from mrsr_tf.records.manifest import read_manifest, salted_hash, scan_sha256
from tf_records_tools.training_pair import training_image, training_pair

DOCS = Path(__file__).parents[2] / "docs" / "records.md"
BEFORE = """
import sys
sys.modules.update(dict.fromkeys(["mrsr_tf", "tf_records_tools", "eval", "phantom"]))  # no import
"""
AFTER = """
import numpy as np

parsed = [
    (record["subject"], record["position"], *read_pair(serialized))
    for serialized in tf.data.TFRecordDataset(shards)
    for record in [tf.io.parse_single_example(serialized, feature_description)]
]
np.savez("CONTRASTS.npz", *map(np.stack, zip(*parsed)))
"""


@pytest.fixture(scope="module")
def parsed(small_records, tmp_path_factory):
    """By contrasts, the training records as the lines of the docs parse them, in one process."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "records").symlink_to(small_records("dual").parent)
    small_records("single")
    (lines,) = re.findall(r"```python\n(import tensorflow.+?)```", DOCS.read_text(), re.DOTALL)
    script = lines + AFTER.replace("CONTRASTS", "dual")
    script = BEFORE + script + script.replace("dual", "single")
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return {
        contrasts: list(np.load(folder / f"{contrasts}.npz").values())
        for contrasts in ("dual", "single")
    }


@pytest.mark.parametrize(("contrasts", "echoes"), [("dual", 2), ("single", 1)])
def test_tensorflow_alone_reads_patches_positions_and_intensities(
    small_records, parsed, contrasts, echoes
):
    folder = small_records(contrasts)
    manifest = read_manifest(folder)
    subjects = {entry["source_sha256"]: entry for entry in manifest["subjects"]}
    images = {}
    for path in (folder.parent / "scans").glob("*.nii.gz"):
        volume = read_scan(path)
        entry = subjects[salted_hash(manifest["salt"], scan_sha256(volume))]
        images[entry["number"]] = training_pair(training_image(volume, contrasts), 2)[:2], entry
    numbers, positions, *patches = parsed[contrasts]
    assert len(numbers) == manifest["counts"]["train"]["records"]
    assert patches[0].shape[1:] == patches[1].shape[1:] == (12, 12, 12, echoes)
    for number, position, *pair in zip(numbers.tolist(), positions, *patches, strict=True):
        place = tuple(slice(start, start + 12) for start in position)
        pair_of_images, entry = images[number]
        for patch, image, name in zip(pair, pair_of_images, ("input", "target"), strict=True):
            level = np.ptp(entry[f"{name}_range"]) / 65535
            assert np.abs(patch - image[place]).max() <= 0.505 * level
