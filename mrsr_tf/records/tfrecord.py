"""TFRecord frames and `tf.train.Example` messages of a fixed size, without TensorFlow.

A file of TFRecords is a sequence of frames. Here each holds a `tf.train.Example`: a protocol buffer
that maps names to lists of bytes, float32 or int64.

    frame     length | its checksum | message | its checksum       checksums of CRC-32C
    message   features { feature { key: "input" value { bytes_list { value: ... } } } ... }

A protocol buffer stores an integer in as few bytes as hold it. These messages always use
`INTEGER_BYTES`: the first ones are marked as continued, and the last ones may be zero, which every
parser reads. So all messages with the same features have the same size, with each value at the same
place, and their layout is a NumPy type.
"""

from collections.abc import Mapping
from typing import NamedTuple

import google_crc32c
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsr_tf.errors import InputError

LENGTH_BYTES, CHECKSUM_BYTES = 8, 4
BEFORE_RECORD_BYTES = LENGTH_BYTES + CHECKSUM_BYTES
FRAMING_BYTES = BEFORE_RECORD_BYTES + CHECKSUM_BYTES
INTEGER_BYTES = 5  # of seven bits each: any uint32
_CONTINUED = np.array([0x80] * (INTEGER_BYTES - 1) + [0], np.uint8)
_SHIFTS = 7 * np.arange(INTEGER_BYTES)
Buffer = bytes | NDArray[np.uint8]


class Feature(NamedTuple):
    """The values of a feature: their list's number in `tf.train.Feature` and their NumPy type."""

    list_number: int
    dtype: str
    shape: tuple[int, ...]


def bytes_feature(dtype: str, shape: tuple[int, ...]) -> Feature:
    """One byte string, which holds an array."""
    return Feature(1, dtype, shape)


def float_feature(count: int) -> Feature:
    """A list of float32."""
    return Feature(2, "<f4", (count,))


def int64_feature(count: int) -> Feature:
    """A list of integers from 0 to 2**32 - 1; see `encode_integers`."""
    return Feature(3, "u1", (count, INTEGER_BYTES))


def empty_example(features: Mapping[str, Feature]) -> np.void:
    """A `tf.train.Example` whose values have yet to be set.

    Returns:
        The serialised message as a structured scalar. Its fields are the features, in their order,
        and before each the bytes that introduce it, as `before_NAME`.
    """
    fields: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = []
    entries = b""
    for name, feature in features.items():
        size = np.dtype((feature.dtype, feature.shape)).itemsize
        value = _field(2, _field(feature.list_number, _field(1, bytes(size))))
        entry = _field(1, _field(1, name.encode()) + value)
        fields += [(f"before_{name}", f"V{len(entry) - size}"), (name, *feature[1:])]
        entries += entry
    message = _field(1, entries)
    beginning = ("before_features", f"V{len(message) - len(entries)}")
    return np.frombuffer(bytearray(message), np.dtype([beginning, *fields]))[0]


def encode_integers(values: ArrayLike) -> NDArray[np.uint8]:
    """Integers as a message stores them: seven bits a byte, the lowest first.

    Args:
        values: of any shape, from 0 to 2**32 - 1.

    Returns:
        (..., INTEGER_BYTES); all but the last byte have the bit that says that more bytes follow.
    """
    groups = np.asarray(values, np.int64)[..., None] >> _SHIFTS & 0x7F
    return groups.astype(np.uint8) | _CONTINUED


def decode_integers(stored: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The integers of (..., INTEGER_BYTES) stored bytes.

    Raises:
        InputError: they do not end where they should.
    """
    if (stored & 0x80 != _CONTINUED).any():
        raise InputError(f"expected integers of {INTEGER_BYTES} bytes each, found other lengths")
    return ((stored & 0x7F).astype(np.int64) << _SHIFTS).sum(-1)


def framed(message: bytes) -> bytes:
    """A message in its frame."""
    length = len(message).to_bytes(LENGTH_BYTES, "little")
    return b"".join((length, _checksum(length), message, _checksum(message)))


def unframed(frame: Buffer) -> NDArray[np.uint8]:
    """The message in a frame, not copied.

    Raises:
        InputError: the frame is not whole, or one of its checksums is wrong.
    """
    data = np.frombuffer(frame, np.uint8)
    length = data[:LENGTH_BYTES].tobytes()
    if _checksum(length) != data[LENGTH_BYTES:BEFORE_RECORD_BYTES].tobytes():
        raise InputError("expected a whole record, found its length's checksum wrong")
    message = data[BEFORE_RECORD_BYTES:-CHECKSUM_BYTES]
    if message.size != int.from_bytes(length, "little"):
        raise InputError("expected a whole record, found its length wrong")
    if _checksum(message) != data[-CHECKSUM_BYTES:].tobytes():
        raise InputError("expected a whole record, found its checksum wrong")
    return message


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer: its number and type, the length of its content, the content."""
    length, rest = bytearray(), len(content)
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([number << 3 | 2, *length, rest]) + content


def _checksum(data: Buffer) -> bytes:
    """TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) + 0xA282EAD8
    return (rotated & 0xFFFFFFFF).to_bytes(CHECKSUM_BYTES, "little")
