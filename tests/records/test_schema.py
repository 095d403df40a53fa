import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mrsr_tf.errors import InputError
from mrsr_tf.records.patches import positions
from mrsr_tf.records.schema import SCHEMA, decode, dequantise, empty_record, encode, quantise
from mrsr_tf.records.tfrecord import decode_integers, encode_integers

RNG = np.random.default_rng(0)


def pair(echoes=2):
    """An input and a target in units of the scale: some negative, some above 1."""
    return (RNG.normal(0.3, 0.6, (9, 8, 7, echoes)).astype(np.float32) for _ in range(2))


def parsed(record):
    patches = [np.empty(record["input"].shape, np.float32) for _ in range(2)]
    dequantise(record, *patches)
    return patches


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(max_dims=3),
        elements=st.integers(-(2**16), 2**18).map(lambda n: n / 2**12),  # -16 to 64
    )
)
def test_levels_differ_by_at_most_half_a_level_and_nothing_is_clipped(image):
    levels = quantise(image)
    back = levels.offset + levels.scale * levels.array.astype(np.float64)
    # 0.505: float32 resolves only some thousandths of a level at the brightest voxel.
    assert np.abs(back - image).max() <= 0.505 * levels.scale
    assert levels.array.dtype == np.uint16


def test_the_extremes_are_kept():
    image = np.array([-0.25, 0, 7.5], np.float32)
    levels = quantise(image)
    assert levels.array[[0, 2]].tolist() == [0, 65535]
    assert levels.scale == pytest.approx(7.75 / 65535)


def test_a_constant_image_is_kept():
    levels = quantise(np.full((3, 3), 0.7, np.float32))
    assert (levels.offset + levels.scale * levels.array == np.float32(0.7)).all()


@pytest.mark.parametrize("echoes", [1, 2])
def test_a_record_gives_back_both_patches_and_where_they_were(echoes):
    images = list(pair(echoes))
    places = positions(images[0].shape[:3], 4, 3)
    records = encode(*map(quantise, images), places, 4, subject=17)
    for record, (r, c, s) in zip(records, places, strict=True):
        record = decode(record.tobytes(), empty_record(4, echoes))
        for patch, image, scale in zip(parsed(record), images, record["scale"], strict=True):
            assert patch.dtype == np.float32
            expected = image[r : r + 4, c : c + 4, s : s + 4]
            np.testing.assert_allclose(patch, expected, atol=0.51 * scale)
        assert decode_integers(record["position"]).tolist() == [r, c, s]
        assert decode_integers(record["subject"]) == [17]


def test_patches_may_differ_by_axis():
    inputs, targets = pair()
    records = encode(quantise(inputs), quantise(targets), np.zeros((1, 3), int), (4, 3, 2), 0)
    assert parsed(records[0])[0].shape == (4, 3, 2, 2)


def example(record):
    """The features of a record, by protobuf itself."""
    features = tf.train.Example.FromString(record.tobytes()).features.feature
    lists = {name: getattr(value, value.WhichOneof("kind")) for name, value in features.items()}
    return {name: list(values.value) for name, values in lists.items()}


@pytest.mark.parametrize("subject", [0, 127, 128, 2**32 - 1])
@pytest.mark.parametrize("patch_size", [1, (2, 3, 1), 4])
def test_a_record_is_an_example_with_the_features_of_the_schema(patch_size, subject):
    inputs, targets = map(quantise, pair())
    (record,) = encode(inputs, targets, np.array([[5, 4, 3]]), patch_size, subject)
    shape = (*np.broadcast_to(patch_size, 3).tolist(), 2)
    rows, cols, slices = (slice(a, a + n) for a, n in zip((5, 4, 3), shape, strict=False))
    assert example(record) == {
        "schema": [SCHEMA],
        "shape": list(shape),
        "subject": [subject],
        "position": [5, 4, 3],
        "offset": [inputs.offset, targets.offset],
        "scale": [inputs.scale, targets.scale],
        "input": [inputs.array[rows, cols, slices].astype("<u2").tobytes()],
        "target": [targets.array[rows, cols, slices].astype("<u2").tobytes()],
    }


def test_all_records_of_a_patch_size_have_one_size():
    inputs, targets = map(quantise, pair())
    sizes = {
        len(encode(inputs, targets, np.array([place]), 2, subject)[0].tobytes())
        for place in ([0, 0, 0], [7, 6, 5])
        for subject in (0, 200, 70_000, 2**32 - 1)
    }
    assert sizes == {empty_record(2, 2).nbytes}


def record_bytes(patch_size=4, echoes=2, **values):
    inputs, targets = map(quantise, pair(echoes))
    records = encode(inputs, targets, np.zeros((1, 3), int), patch_size, 0)
    for name, value in values.items():
        records[name] = value
    return records[0].tobytes()


@pytest.mark.parametrize(
    ("serialized", "message"),
    [
        (record_bytes(schema=encode_integers([2])), f"schema {SCHEMA} .*, found other bytes"),
        (record_bytes((8, 4, 2)), r"patches \(4, 4, 4, 2\), found other bytes"),
        (record_bytes((8, 4, 4), 1), r"patches \(4, 4, 4, 2\), found other bytes"),
        (record_bytes(before_input=np.void(b"XXXX")), "found other bytes"),
        (record_bytes(5, 1), "bytes, found"),
        (b"", f"expected a record of {empty_record(4, 2).nbytes} bytes, found 0"),
        (record_bytes()[:-1], f"found {empty_record(4, 2).nbytes - 1}"),
        (record_bytes() + b"\0", f"found {empty_record(4, 2).nbytes + 1}"),
    ],
)
def test_bytes_of_another_kind_are_refused(serialized, message):
    with pytest.raises(InputError, match=message):
        decode(serialized, empty_record(4, 2))
