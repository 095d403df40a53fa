import numpy as np
import tensorflow as tf

from mrsr_tf.records.augmentation import augment

RECORDS, BATCH = 23, 8
OPTIONS = {"flips": True, "gain": 0.25, "seed": 4, "first_step": 0, "batch_size": BATCH}


def batches():
    chance = np.random.default_rng(0)
    given = chance.uniform(0.1, 1, (RECORDS, 6, 5, 4, 2)).astype(np.float32)
    weight = np.ones((RECORDS, 1, 1, 1), np.float32)
    return tf.data.Dataset.from_tensor_slices((given, 2 * given, weight)).batch(BATCH)


def joined(dataset):
    return [np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True)]


def test_input_and_truth_and_both_echoes_change_alike():
    (given, truth, _), (before, _, _) = joined(augment(batches(), **OPTIONS)), joined(batches())
    np.testing.assert_allclose(truth, 2 * given, rtol=1e-6)
    for patch, original in zip(given, before, strict=True):
        ratio = np.sort((original[..., 1] / original[..., 0]).ravel())
        np.testing.assert_allclose(np.sort((patch[..., 1] / patch[..., 0]).ravel()), ratio, 1e-4)
    factors = given.mean((1, 2, 3, 4)) / before.mean((1, 2, 3, 4))
    assert 0.8 <= factors.min() < 0.95
    assert 1.05 < factors.max() <= 1.25


def test_slices_keep_their_order_and_rows_and_columns_are_mirrored_in_half():
    given, _, _ = joined(augment(batches(), **OPTIONS | {"gain": 0.0}))
    before, _, _ = joined(batches())
    seen = set()
    for patch, original in zip(given, before, strict=True):
        ways = {
            (rows, cols): original[:: -1 if rows else 1, :: -1 if cols else 1]
            for rows in (False, True)
            for cols in (False, True)
        }
        ((way, _),) = [item for item in ways.items() if np.array_equal(item[1], patch)]
        seen.add(way)
    assert len(seen) == 4


def test_a_resumed_epoch_and_a_worker_see_what_one_process_sees():
    whole = list(augment(batches(), **OPTIONS).as_numpy_iterator())
    resumed = augment(batches().skip(1), **OPTIONS | {"first_step": 1})
    np.testing.assert_array_equal(next(iter(resumed.as_numpy_iterator()))[0], whole[1][0])
    odd = batches().map(lambda *batch: tuple(x[1::2] for x in batch))
    worker = augment(odd, **OPTIONS, workers=2, worker=1)
    np.testing.assert_array_equal(next(iter(worker.as_numpy_iterator()))[0], whole[0][0][1::2])


def test_off_it_changes_nothing():
    untouched = batches()
    assert augment(untouched, **OPTIONS | {"flips": False, "gain": 0.0}) is untouched
