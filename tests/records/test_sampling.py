import numpy as np
import pytest

from mrsr_tf.records.reader import tissue_shares, training_batches
from mrsr_tf.records.sampling import expected_counts, sample_epoch, tissue_share
from mrsr_tf.records.schema import encode, quantise


def chance(seed=0):
    return np.random.default_rng(seed)


SHARES = np.array([0.0, 0.9, 0.1, 0.0, 1.0, 0.5, 0.0, 0.02])


@pytest.mark.parametrize("foreground", [0.0, 0.5, 1.0])
def test_an_epoch_draws_each_record_its_average_rounded_up_or_down(foreground):
    expected = expected_counts(SHARES, foreground)
    draws = [sample_epoch(expected, chance(seed)) for seed in range(2000)]
    epochs = [np.bincount(numbers, minlength=8) for numbers in draws]
    for counts in epochs:
        assert counts.sum() == 8
        assert (np.floor(expected) <= counts).all()
        assert (counts <= np.ceil(expected)).all()
    np.testing.assert_allclose(np.mean(epochs, axis=0), expected, atol=0.04)


def test_draws_are_alike_in_one_part_and_in_proportion_to_tissue_in_the_other():
    counts = expected_counts(SHARES, 0.5)
    np.testing.assert_allclose(counts, 0.5 + 0.5 * SHARES / 0.315)
    np.testing.assert_array_equal(expected_counts(SHARES, 0), 1)
    np.testing.assert_array_equal(expected_counts(np.zeros(3), 0.5), 1)


@pytest.mark.parametrize("records", [1, 3, 1000, 168_750])
def test_as_many_are_drawn_as_there_are_whatever_the_rounding(records):
    counts = expected_counts(chance().uniform(0, 1, records) ** 3, 0.7)
    for seed in range(20):
        assert len(sample_epoch(counts, chance(seed))) == records


def test_tissue_is_where_an_echo_of_the_target_reaches_a_twentieth_of_the_scale():
    targets = chance().uniform(-0.02, 0.1, (6, 6, 6, 2)).astype(np.float32)
    levels = quantise(targets)
    (record,) = encode(levels, levels, np.zeros((1, 3), int), 6, subject=0)
    assert tissue_share(record) == pytest.approx(np.mean(targets.max(axis=3) >= 0.05), abs=1e-9)
    dark = quantise(np.zeros((6, 6, 6, 2), np.float32))
    assert tissue_share(encode(dark, dark, np.zeros((1, 3), int), 6, subject=0)[0]) == 0


def test_an_epoch_by_tissue_is_restarted_and_shared_like_any_other(small_records):
    records = small_records("dual")
    shares = tissue_shares(records)
    counts = expected_counts(np.arange(len(shares)) * shares, 0.8)

    def epoch(**options):
        batches = training_batches(records, 10, seed=3, epoch=1, expected_counts=counts, **options)
        return [[float(t.numpy().sum()) for t, w in zip(targets, weight, strict=True) if w > 0]
                for _, targets, weight in batches]  # fmt: skip

    whole = epoch()
    assert [len(batch) for batch in whole] == [10, 10, 10, 6]
    assert len({patch for batch in whole for patch in batch}) < len(shares)
    assert epoch(skip_batches=2) == whole[2:]
    workers = [epoch(replicas=2, shards=2, shard_index=worker) for worker in (0, 1)]
    for one, other, together in zip(*workers, whole, strict=True):
        assert sorted(one + other) == sorted(together)
