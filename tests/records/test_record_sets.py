import json

import numpy as np
import pytest

from mrsr_tf.errors import InputError
from mrsr_tf.records.manifest import read_manifest, read_sets, slice_factors, with_checksum
from mrsr_tf.records.reader import training_batches, validation_batches


@pytest.fixture
def two_factors(small_records):
    return [small_records("dual", slice_factor=3), small_records("dual")]


def truths(batches):
    return sorted(float(truth.numpy().sum()) for _, truth, _ in batches.unbatch())


def test_one_set_is_spoken_for_by_its_own_manifest(small_records):
    records = small_records("dual")
    assert read_sets(records) == read_sets([records]) == read_manifest(records)
    assert slice_factors(read_sets(records)) == [2]


def test_sets_of_two_factors_are_for_factor_2_by_default(two_factors):
    manifest = read_sets(two_factors)
    assert slice_factors(manifest) == [2, 3]
    assert manifest["slice_factor"] == 2
    assert manifest["counts"]["train"]["records"] == 2 * 36
    assert manifest["sets"] == [read_manifest(folder) for folder in two_factors]
    assert with_checksum(manifest) == manifest


def test_an_epoch_holds_each_record_of_all_sets_once_mixed(two_factors):
    joint = training_batches(two_factors, 18, seed=0, epoch=0)
    each = [truths(training_batches(one, 18, seed=0, epoch=0)) for one in two_factors]
    assert truths(joint) == pytest.approx(sorted([*each[0], *each[1]]))
    first = {float(truth.numpy().sum()) for truth in next(iter(joint))[1]}
    assert all(first & set(of_one) for of_one in each)
    each = [truths(validation_batches(one, 18)) for one in two_factors]
    assert truths(validation_batches(two_factors, 18)) == pytest.approx(
        sorted([*each[0], *each[1]])
    )


def test_factors_differ_in_the_input_alone(two_factors):
    (three, truth, _), (two, same, _) = (
        next(iter(validation_batches(one, 18))) for one in two_factors
    )
    order = np.argsort(truth.numpy().sum((1, 2, 3, 4)))
    other = np.argsort(same.numpy().sum((1, 2, 3, 4)))
    errors = [
        float(np.mean((given.numpy() - fine.numpy())[places] ** 2))
        for given, fine, places in ((three, truth, order), (two, same, other))
    ]
    assert errors[0] > 1.2 * errors[1]


def test_sets_that_cannot_train_one_network_are_refused(small_records, tmp_path):
    dual, single = small_records("dual"), small_records("single")
    with pytest.raises(InputError, match="of contrasts dual, found single"):
        read_sets([dual, single])
    with pytest.raises(InputError, match="got one of them twice"):
        read_sets([dual, dual])
    manifest = read_manifest(dual)
    swapped = {"train": "validation", "validation": "train"}
    subjects = [{**s, "split": swapped[s["split"]]} for s in manifest["subjects"]]
    (tmp_path / "manifest.json").write_text(
        json.dumps(with_checksum({**manifest, "subjects": subjects}))
    )
    with pytest.raises(InputError, match=r"expected no subject in the training .* found 3"):
        read_sets([dual, tmp_path])
