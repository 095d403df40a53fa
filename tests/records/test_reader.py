import json
import subprocess
import sys
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import tensorflow as tf

from mrsr_tf.errors import InputError
from mrsr_tf.records.manifest import count_split, read_manifest, with_checksum
from mrsr_tf.records.reader import (
    steps_per_epoch,
    training_batches,
    validation_batches,
)
from mrsr_tf.records.schema import LEVELS, SCHEMA, empty_record, encode, quantise
from mrsr_tf.records.tfrecord import BEFORE_RECORD_BYTES, CHECKSUM_BYTES, framed

SIZE, ECHOES = 2, 2
# Of each subject; 203 for training, which no batch below divides.
TRAIN, VALIDATION = (90, 1, 112), (37,)


def write_manifest(folder, manifest):
    (folder / "manifest.json").write_text(json.dumps(with_checksum(manifest)))


def write_records(folder):
    """Records whose target says which record it is: its subject and its number, as level steps."""
    subjects = []
    splits = [("train", TRAIN), ("validation", VALIDATION)]
    for split, counts in splits:
        for place, count in enumerate(counts):
            name = f"{split}-{place:05d}-of-{len(counts):05d}.tfrecord"
            image = quantise(np.linspace(-0.1, 1.4, 3**3 * 2, dtype=np.float32).reshape(3, 3, 3, 2))
            records = encode(image, image, np.zeros((count, 3), int), SIZE, len(subjects))
            records["offset"][:, 1], records["scale"][:, 1] = 1000 * len(subjects), 1
            records["target"] = np.arange(count)[:, None, None, None, None]
            frames = b"".join(framed(record.tobytes()) for record in records)
            (folder / name).write_bytes(frames)
            entry = {
                "number": len(subjects),
                "patient": len(subjects),
                "split": split,
                "shard": name,
                "records": count,
            }
            entry |= {"bytes": len(frames), "air": 0, "shape": [9, 9, 9], "records_sha256": ""}
            subjects.append({**entry, "source_sha256": str(len(subjects))})
    manifest = {
        "schema": SCHEMA,
        "contrasts": "dual",
        "patch_size": [SIZE] * 3,
        "stride": [1] * 3,
        "slice_factor": 2,
        "salt": "",
        "counts": {split: count_split(subjects, split) for split, _ in splits},
        "subjects": subjects,
    }
    write_manifest(folder, manifest)


@pytest.fixture
def records(tmp_path):
    write_records(tmp_path)
    return tmp_path


ALL_TRAIN = [1000 * subject + n for subject, count in enumerate(TRAIN) for n in range(count)]
ALL_VALIDATION = [1000 * len(TRAIN) + n for n in range(VALIDATION[0])]


def flat(lists):
    return list(chain.from_iterable(lists))


def names(batch):
    """Which records of a batch count, in their order."""
    _, targets, weights = (np.asarray(part) for part in batch)
    return targets[weights[:, 0, 0, 0] > 0][:, 0, 0, 0, 0].astype(int).tolist()


def epoch(records, batch_size=50, seed=3, epoch=1, **options):
    return list(training_batches(records, batch_size, seed=seed, epoch=epoch, **options))


@pytest.mark.parametrize("replicas", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [1, 50, 203, 500])
def test_an_epoch_is_every_record_once_in_full_batches_and_one_rest(records, batch_size, replicas):
    batches = [names(batch) for batch in epoch(records, batch_size, replicas=replicas)]
    assert Counter(flat(batches)) == Counter(ALL_TRAIN)
    assert [len(b) for b in batches[:-1]] == [batch_size] * (
        203 // batch_size - (203 % batch_size == 0)
    )
    assert len(batches) == steps_per_epoch(read_manifest(records), batch_size)


@pytest.mark.parametrize("replicas", [1, 3, 4])
def test_batches_divide_among_replicas_and_the_weighted_mean_is_that_of_the_records(
    records, replicas
):
    for inputs, targets, weights in epoch(records, replicas=replicas):
        assert len(inputs) % replicas == 0
        assert weights.shape == (len(inputs), 1, 1, 1)
        counts = weights[:, 0, 0, 0] > 0
        real = np.count_nonzero(counts)
        np.testing.assert_allclose(weights[counts], len(inputs) / real, rtol=1e-6)
        weighted = np.mean(targets[:, 0, 0, 0, 0] * weights[:, 0, 0, 0])
        assert weighted == pytest.approx(np.mean(targets[counts][:, 0, 0, 0, 0]), rel=1e-6)


def test_patches_are_float32_in_units_of_the_scale(records):
    inputs, targets, weights = epoch(records)[0]
    assert inputs.dtype == targets.dtype == weights.dtype == tf.float32
    assert inputs.shape == targets.shape == (50, SIZE, SIZE, SIZE, ECHOES)
    grid = np.linspace(-0.1, 1.4, 3**3 * 2).reshape(3, 3, 3, 2)[:2, :2, :2]
    np.testing.assert_allclose(inputs[7], grid, atol=0.51 * 1.5 / LEVELS)
    spec = training_batches(records, 50, seed=0, epoch=0).element_spec
    assert spec[0].shape.as_list() == [None, SIZE, SIZE, SIZE, ECHOES]


def test_the_order_is_decided_by_seed_and_epoch_alone(records):
    tf.random.set_seed(1)
    first = flat(map(names, epoch(records)))
    tf.random.set_seed(2)
    np.random.seed(5)  # noqa: NPY002 (the caller's own seed)
    assert flat(map(names, epoch(records))) == first
    assert flat(map(names, epoch(records, batch_size=7, replicas=3))) == first
    assert flat(map(names, epoch(records, epoch=2))) != first
    assert flat(map(names, epoch(records, seed=4))) != first


def test_batches_that_are_kept_are_not_overwritten_by_later_ones(records):
    kept = epoch(records, batch_size=4)
    copies = [[part.numpy().copy() for part in batch] for batch in epoch(records, batch_size=4)]
    for batch, copy in zip(kept, copies, strict=True):
        for part, expected in zip(batch, copy, strict=True):
            np.testing.assert_array_equal(part, expected)


def test_subjects_are_mixed_within_a_batch(records):
    for batch in epoch(records)[:-1]:
        assert {name // 1000 for name in names(batch)} >= {0, 2}


@pytest.mark.parametrize("skip", [0, 1, 4, 5, 9])
def test_a_resumed_epoch_gives_exactly_the_batches_not_yet_seen(records, skip):
    whole = [names(batch) for batch in epoch(records, replicas=4)]
    rest = [names(batch) for batch in epoch(records, replicas=4, skip_batches=skip)]
    assert rest == whole[skip:]


@pytest.mark.parametrize("replicas", [1, 4])
def test_validation_is_every_record_once_in_the_same_order(records, replicas):
    for _ in range(2):
        batches = list(validation_batches(records, 10, replicas=replicas))
        assert flat(map(names, batches)) == ALL_VALIDATION
        assert len(batches) == 4


def test_the_number_of_batches_is_known_beforehand(records):
    assert training_batches(records, 50, seed=0, epoch=0).cardinality() == 5
    assert steps_per_epoch(read_manifest(records), 50) == 5


def test_an_iterator_can_be_saved_and_restored(records, tmp_path):
    batches = training_batches(records, 50, seed=0, epoch=0)
    iterator = iter(batches)
    next(iterator), next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "state"))
    expected = [names(batch) for batch in iterator]
    again = iter(batches)
    tf.train.Checkpoint(iterator=again).read(path)
    assert [names(batch) for batch in again] == expected


DISTRIBUTED = """
import sys
import tensorflow as tf
from mrsr_tf.records.reader import training_batches

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)
strategy = tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(4)])
batches = training_batches(sys.argv[1], 50, seed=3, epoch=1, replicas=4)
for batch in strategy.experimental_distribute_dataset(batches):
    replicas = [strategy.experimental_local_results(part) for part in batch]
    print([
        [int(t) for t, w in zip(targets[:, 0, 0, 0, 0], weights[:, 0, 0, 0]) if w > 0]
        for _, targets, weights in zip(*replicas)
    ], [len(targets) for targets in replicas[1]], sep=";")
"""


def test_four_replicas_get_equal_shares_and_together_the_same_batches(records):
    script = [sys.executable, "-c", DISTRIBUTED, str(records)]
    result = subprocess.run(script, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    lines = [[json.loads(part) for part in line.split(";")] for line in result.stdout.splitlines()]
    assert [flat(shares) for shares, _ in lines] == [names(b) for b in epoch(records)]
    assert [lengths for _, lengths in lines] == [[13] * 4] * 4 + [[1] * 4]


def test_records_without_a_manifest_are_unfinished(tmp_path):
    with pytest.raises(InputError, match="make_records"):
        read_manifest(tmp_path)
    with pytest.raises(InputError, match=r"found no manifest\.json"):
        training_batches(tmp_path, 50, seed=0, epoch=0)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3", "[" * 9**5])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"no such JSON: .*manifest.json"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(subjects=[3]), r"expected subjects\.0 in the manifest"),
        (lambda m: m.update(schema=99), f"schema {SCHEMA}, found schema 99"),
        (lambda m: m.update(schema=2), r"again with python -m tf_records_tools.make_records"),
        (lambda m: m.pop("slice_factor"), "expected slice_factor in the manifest"),
        (lambda m: m["subjects"][0].pop("records"), "expected subjects.0.records in the manifest"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(records, change, message):
    manifest = read_manifest(records)
    change(manifest)
    write_manifest(records, manifest)
    with pytest.raises(InputError, match=message):
        read_manifest(records)


def shortened(shard):
    shard.write_bytes(shard.read_bytes()[:-1])


def of_another_schema(shard):
    data = bytearray(shard.read_bytes())
    frame = len(data) // 112
    record = data[BEFORE_RECORD_BYTES : frame - CHECKSUM_BYTES]
    record[empty_record(SIZE, ECHOES).dtype.fields["schema"][1]] = 0x80 | 77
    shard.write_bytes(framed(bytes(record)) + data[frame:])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shortened, r"expected 112 records of \d+ bytes together, found \d+ bytes: .*-00002-"),
        (lambda shard: shard.unlink(), "expected 112 records, found no file: .*train-00002-"),
        (lambda shard: shard.write_bytes(b""), "together, found 0 bytes: .*train-00002-"),
        (of_another_schema, "of schema 3 .*, found other bytes: record 0 of .*train-00002-"),
    ],
)
def test_a_damaged_shard_is_refused_before_training_starts(records, damage, message):
    damage(records / "train-00002-of-00003.tfrecord")
    with pytest.raises(InputError, match=message):
        training_batches(records, 50, seed=0, epoch=0)


def test_a_record_damaged_while_training_stops_it_and_is_named(records):
    batches = training_batches(records, 50, seed=0, epoch=0)
    shard = records / "train-00002-of-00003.tfrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(tf.errors.OpError, match=r"checksum wrong: record \d+ of .*-00002-"):
        list(batches)
    shard.write_bytes(data[: len(data) // 2])
    with pytest.raises(tf.errors.OpError, match=r"wrong: record \d+ of .*-00002-"):
        list(batches)


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("replicas", [1, 4])
def test_workers_share_each_batch_equally_and_see_every_record_once(records, shards, replicas):
    def of_worker(index, skip=0):
        return epoch(
            records, replicas=replicas, shards=shards, shard_index=index, skip_batches=skip
        )

    alone = [names(batch) for batch in epoch(records)]
    workers = [of_worker(index) for index in range(shards)]
    for whole, *parts in zip(alone, *workers, strict=True):
        assert Counter(flat(map(names, parts))) == Counter(whole)
        lengths = {len(inputs) for inputs, _, _ in parts}
        assert len(lengths) == 1
        assert lengths.pop() * shards % replicas == 0
        # The mean of the workers' weighted means is that of the records.
        means = [np.mean(targets[:, 0, 0, 0, 0] * w[:, 0, 0, 0]) for _, targets, w in parts]
        assert np.mean(means) == pytest.approx(np.mean(whole), rel=1e-6)
    for index in range(shards):
        rest = [names(batch) for batch in of_worker(index, skip=2)]
        assert rest == [names(batch) for batch in workers[index][2:]]


def test_workers_share_validation_too(records):
    parts = [list(validation_batches(records, 10, shards=2, shard_index=i)) for i in range(2)]
    assert Counter(flat(map(names, flat(parts)))) == Counter(ALL_VALIDATION)


@pytest.mark.parametrize(("shards", "index"), [(2, 2), (2, -1), (0, 0)])
def test_a_worker_that_there_is_not_is_refused(records, shards, index):
    with pytest.raises(InputError, match=f"shard_index from 0 to {shards - 1}, got {index}"):
        training_batches(records, 50, seed=0, epoch=0, shards=shards, shard_index=index)


def test_a_split_without_subjects_is_refused(records):
    manifest = read_manifest(records)
    manifest["subjects"] = manifest["subjects"][:-1]
    write_manifest(records, manifest)
    with pytest.raises(InputError, match="expected validation records, found none"):
        validation_batches(records, 50)


def test_sets_differ_by_their_manifest(records):
    before = read_manifest(records)["sha256"]
    assert len(before) == 64
    manifest = read_manifest(records)
    write_manifest(records, {**manifest, "salt": "other"})
    assert read_manifest(records)["sha256"] != before


def test_a_changed_digit_of_the_manifest_is_found(records):
    path = records / "manifest.json"
    text = path.read_text()
    digits = [place for place, letter in enumerate(text) if letter.isdigit()]
    for place in digits[:: len(digits) // 60]:
        path.write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")
        with pytest.raises(InputError, match=r"manifest\.json|schema"):
            read_manifest(records)
