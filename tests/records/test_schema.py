import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mrsr_tf.errors import InputError
from mrsr_tf.records.patches import positions
from mrsr_tf.records.schema import (
    SCHEMA,
    decode,
    dequantise,
    encode,
    framed,
    quantise,
    record_dtype,
    unframed,
)

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
def test_levels_differ_by_at_most_half_a_step_and_nothing_is_clipped(image):
    levels = quantise(image)
    back = levels.offset + levels.step * levels.array.astype(np.float64)
    # 0.505: float32 resolves only some thousandths of a step at the brightest voxel.
    assert np.abs(back - image).max() <= 0.505 * levels.step
    assert levels.array.dtype == np.uint16


def test_the_extremes_are_kept():
    image = np.array([-0.25, 0, 7.5], np.float32)
    levels = quantise(image)
    assert levels.array[[0, 2]].tolist() == [0, 65535]
    assert levels.step == pytest.approx(7.75 / 65535)


def test_a_constant_image_is_kept():
    levels = quantise(np.full((3, 3), 0.7, np.float32))
    assert (levels.offset + levels.step * levels.array == np.float32(0.7)).all()


@pytest.mark.parametrize("echoes", [1, 2])
def test_a_record_gives_back_both_patches_and_where_they_were(echoes):
    inputs, targets = pair(echoes)
    places = positions(inputs.shape[:3], 4, 3)
    records = encode(quantise(inputs), quantise(targets), places, 4, subject=17)
    for record, (r, c, s) in zip(records, places, strict=True):
        record = decode(record.tobytes(), record_dtype(4, echoes))
        for patch, image, name in zip(
            parsed(record), (inputs, targets), ("input", "target"), strict=True
        ):
            assert patch.dtype == np.float32
            expected = image[r : r + 4, c : c + 4, s : s + 4]
            np.testing.assert_allclose(patch, expected, atol=0.51 * record[f"{name}_step"])
        assert record["position"].tolist() == [r, c, s]
        assert record["subject"] == 17


def test_patches_may_differ_by_axis():
    inputs, targets = pair()
    records = encode(quantise(inputs), quantise(targets), np.zeros((1, 3), int), (4, 3, 2), 0)
    assert parsed(records[0])[0].shape == (4, 3, 2, 2)


def test_frames_are_those_of_tfrecord(tmp_path):
    inputs, targets = pair()
    records = encode(quantise(inputs), quantise(targets), positions((9, 8, 7), 4, 3), 4, 0)
    serialised = [record.tobytes() for record in records]
    (tmp_path / "shard").write_bytes(b"".join(map(framed, serialised)))
    found = tf.data.TFRecordDataset(str(tmp_path / "shard")).as_numpy_iterator()
    assert list(found) == serialised
    with tf.io.TFRecordWriter(str(tmp_path / "other")) as writer:
        for record in serialised:
            writer.write(record)
    assert (tmp_path / "other").read_bytes() == (tmp_path / "shard").read_bytes()


@given(place=st.integers(0, 599), bit=st.integers(0, 7), cut_at=st.integers(0, 599))
def test_a_frame_with_any_bit_changed_or_cut_short_is_refused(place, bit, cut_at):
    frame = bytearray(framed(bytes(range(256)) + bytes(328)))
    frame[place] ^= 1 << bit
    with pytest.raises(InputError, match="expected a whole record, found its"):
        unframed(bytes(frame))
    with pytest.raises(InputError, match="expected a whole record, found its"):
        unframed(framed(bytes(584))[:cut_at])


def record_bytes(**header):
    inputs, targets = pair()
    records = encode(quantise(inputs), quantise(targets), np.zeros((1, 3), int), 4, 0)
    for name, value in header.items():
        records[name] = value
    return records[0].tobytes()


@pytest.mark.parametrize(
    ("serialized", "message"),
    [
        (record_bytes(schema=SCHEMA + 1), f"schema {SCHEMA}, found one of schema {SCHEMA + 1}"),
        (record_bytes(patch_size=8), r"expected patches \(4, 4, 4, 2\), found \(8, 8, 8, 2\)"),
        (record_bytes(echoes=1), r"expected patches \(4, 4, 4, 2\), found \(4, 4, 4, 1\)"),
        (record_bytes(magic=b"XXXX"), "found other bytes"),
        (record_bytes(reserved=1), "uncompressed records, found compressed ones .make them again"),
        (b"", "found other bytes"),
        (record_bytes()[:20], "found other bytes"),
        (record_bytes()[:-1], "expected a record of 560 bytes, found 559"),
        (record_bytes() + b"\0", "found 561"),
    ],
)
def test_bytes_of_another_kind_are_refused(serialized, message):
    with pytest.raises(InputError, match=message):
        decode(serialized, record_dtype(4, 2))
