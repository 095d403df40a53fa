"""Records survive a kill at any moment, and damage to any byte is refused in one sentence."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from random_scans import make_scan

from mrsr_tf.errors import InputError
from mrsr_tf.io.nifti import write_nifti
from mrsr_tf.records.reader import training_batches
from tf_records_tools.cohort import make_records
from tf_records_tools.shard import Settings
from tf_records_tools.verification import check_records

SETTINGS = Settings("dual", patch_size=16, stride=4)


def write_scans(folder, subjects, shape):
    for seed in range(subjects):
        scan = make_scan(shape, spacing_mm=(0.4, 0.4, 0.7), seed=seed)
        write_nifti(scan, folder / f"scan_{seed}.nii")
    return folder


def command(scans, records):
    return [
        sys.executable, "-m", "tf_records_tools.make_records", f"--input={scans}",
        f"--output={records}", "--contrasts=dual", "--patch_size=16", "--stride=4", "--workers=2",
    ]  # fmt: skip


def killed_at(files, scans, records):
    """What is left when the command is killed soon after it has made so many files."""
    partial = records.with_name("records.partial")
    process = subprocess.Popen(command(scans, records), stdout=subprocess.DEVNULL)
    while process.poll() is None and len(list(partial.glob("*"))) < files:
        time.sleep(0.001)
    time.sleep(np.random.default_rng(files).uniform(0, 0.05))
    process.kill()
    process.wait()
    return {path.name for path in partial.glob("*")}


@pytest.mark.slow
def test_killing_the_writer_at_any_moment_leaves_a_set_or_what_the_same_call_completes(tmp_path):
    scans, settings = write_scans(tmp_path / "scans", 6, (48, 48, 48)), SETTINGS
    make_records([scans], tmp_path / "whole", settings)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    amid_shards = 0
    for files in (0, 1, 5, 8, 9, 11, 12, 14, 16, 18):  # six are of the first pass
        records = tmp_path / str(files) / "records"
        left = killed_at(files, scans, records)
        amid_shards += any(name.startswith("partial.") for name in left)
        if not records.exists():
            assert "manifest.json" not in left
            # At once, while workers of the killed call may still be ending.
            make_records([scans], records, settings)
        check_records(records, [scans])
        assert {path.name: path.read_bytes() for path in records.iterdir()} == expected
        shutil.rmtree(records)
    assert amid_shards >= 4


def mutated(data, random):
    """Bytes changed, cut out, put in, swapped or cut off, a few at a time."""
    data = bytearray(data)
    for _ in range(random.integers(1, 4)):
        at, length = int(random.integers(len(data) or 1)), int(random.integers(1, 40))
        match random.integers(5):
            case 0:
                data[at : at + 1] = bytes([random.integers(256)])
            case 1:
                data[at : at + length] = random.bytes(length)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = random.bytes(length)
            case 4:
                del data[at:]
    return bytes(data)


def read_all(records):
    """All that training reads."""
    batches = list(training_batches(records, 16, seed=0, epoch=0))
    return np.concatenate([np.concatenate(batch[:2]).ravel() for batch in batches])


def error_message(read, records):
    """The message of the error by which records are refused, or None."""
    try:
        read(records)
    except InputError as error:
        return str(error)
    except tf.errors.OpError as error:  # the reader's own, through TensorFlow
        return error.message.partition("InputError: ")[2].splitlines()[0]
    return None


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    scans = write_scans(folder / "scans", 2, (8, 8, 8))
    settings = Settings("dual", patch_size=4, stride=4)
    make_records([scans], folder / "records", settings)
    return folder / "records"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.json", "train-00000-of-00001.tfrecord"])
def test_damage_is_refused_in_one_sentence_or_changes_nothing(small_set, tmp_path, name):
    records = tmp_path / "records"
    shutil.copytree(small_set, records)
    whole, patches = (records / name).read_bytes(), read_all(records)
    random = np.random.default_rng(len(whole))
    for _ in range(250):
        damaged = mutated(whole, random)
        (records / name).write_bytes(damaged)
        message = error_message(check_records, records)
        if message is None:  # white space of the manifest
            assert damaged == whole or json.loads(damaged) == json.loads(whole)
        else:
            assert message.startswith("expected ")
            assert "\n" not in message
            assert str(records) in message
        message = error_message(read_all, records)
        assert message is None or message.startswith("expected ")
        if message is None:  # no wrong patch without an error
            np.testing.assert_array_equal(read_all(records), patches)
