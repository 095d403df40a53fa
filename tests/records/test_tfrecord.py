import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from mrsr_tf.errors import InputError
from mrsr_tf.records.tfrecord import (
    bytes_feature,
    decode_integers,
    empty_example,
    encode_integers,
    float_feature,
    framed,
    int64_feature,
    unframed,
)


def test_frames_are_those_of_tensorflow(tmp_path):
    messages = [b"", b"a", bytes(range(256)) * 3]
    (tmp_path / "ours").write_bytes(b"".join(map(framed, messages)))
    assert list(tf.data.TFRecordDataset(str(tmp_path / "ours")).as_numpy_iterator()) == messages
    with tf.io.TFRecordWriter(str(tmp_path / "tensorflow")) as writer:
        for message in messages:
            writer.write(message)
    assert (tmp_path / "tensorflow").read_bytes() == (tmp_path / "ours").read_bytes()


@given(place=st.integers(0, 599), bit=st.integers(0, 7), cut_at=st.integers(0, 599))
def test_a_frame_with_any_bit_changed_or_cut_short_is_refused(place, bit, cut_at):
    frame = bytearray(framed(bytes(range(256)) + bytes(328)))
    frame[place] ^= 1 << bit
    with pytest.raises(InputError, match="expected a whole record, found its"):
        unframed(bytes(frame))
    with pytest.raises(InputError, match="expected a whole record, found its"):
        unframed(framed(bytes(584))[:cut_at])


@pytest.mark.parametrize("size", [1, 100, 127, 128, 16_000, 2**21 - 1, 2**21])
def test_an_example_of_any_size_is_parsed_by_tensorflow(size):
    features = {
        "text": bytes_feature("u1", (size,)),
        "numbers": int64_feature(2),
        "shares": float_feature(3),
    }
    record = empty_example(features)
    record["text"] = np.arange(size)
    record["numbers"], record["shares"] = encode_integers([0, 2**32 - 1]), [0.5, -1, 1e30]
    description = {
        "text": tf.io.FixedLenFeature([], tf.string),
        "numbers": tf.io.FixedLenFeature([2], tf.int64),
        "shares": tf.io.FixedLenFeature([3], tf.float32),
    }
    parsed = tf.io.parse_single_example(record.tobytes(), description)
    assert parsed["text"].numpy() == np.arange(size).astype(np.uint8).tobytes()
    assert parsed["numbers"].numpy().tolist() == [0, 2**32 - 1]
    assert parsed["shares"].numpy().tolist() == [0.5, -1, np.float32(1e30)]


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_integers_are_stored_in_five_bytes_each(values):
    stored = encode_integers(values)
    assert stored.shape == (len(values), 5)
    assert decode_integers(stored).tolist() == values


def test_integers_of_another_length_are_refused():
    stored = encode_integers([[1, 300], [0, 7]])
    stored[1, 0, 4] |= 0x80
    with pytest.raises(InputError, match="integers of 5 bytes each, found other lengths"):
        decode_integers(stored)
    with pytest.raises(InputError, match="found other lengths"):
        decode_integers(np.zeros(5, np.uint8))
