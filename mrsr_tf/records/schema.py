"""The one record schema: a patch of the network's input, and the patch of the truth.

A record's layout is a NumPy type: what `encode` fills is what `parse` reads, and a shard is one
record after the other within TFRecord's framing:

    shard    frame 0 | frame 1 | ...
    frame    length, its checksum, record, its checksum   TFRecord's, checksums of CRC-32C
    record   header | input | truth                       `record_dtype`

So records are of one size and found by their number alone, which gives the reader an exact shuffle
of all of them and a free restart in the middle of an epoch. With compression they differ in size,
and `frame_offsets` hops from length to length to find them.

Intensities are in units of the subject's scale (`volume.intensity_scale`), kept as uint16 levels:
intensity = offset + step * level, one offset and step for all of a subject's input and one for
its truth, from the darkest voxel to the brightest. Nothing is clipped; the error is half a step.
Compression loses nothing: zlib over all levels' low bytes, then all high ones, which are alike.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.records.patches import cut, triple

SCHEMA = 2
MAGIC = b"MRSR"
LEVELS = 65535
COMPRESSIONS = ("none", "zlib")
Buffer = bytes | NDArray[np.uint8]

FIELDS = [
    ("magic", "S4"),
    ("schema", "<u2"),
    ("echoes", "<u2"),
    ("patch_size", "<u2", (3,)),
    ("compression", "<u2"),  # place in COMPRESSIONS
    ("subject", "<u4"),  # its number within the records, which says nothing about who it is
    ("position", "<u4", (3,)),
    ("input_offset", "<f4"),
    ("input_step", "<f4"),
    ("truth_offset", "<f4"),
    ("truth_step", "<f4"),
]
HEADER = np.dtype(FIELDS)
HEADER_BYTES = HEADER.itemsize
LENGTH_BYTES, CHECKSUM_BYTES = 8, 4
BEFORE_RECORD_BYTES = LENGTH_BYTES + CHECKSUM_BYTES
FRAMING_BYTES = BEFORE_RECORD_BYTES + CHECKSUM_BYTES


@dataclass(frozen=True, eq=False)
class Levels:
    """An image as uint16: intensity = offset + step * array."""

    array: NDArray[np.uint16]
    offset: np.float32
    step: np.float32


def quantise(image: NDArray[np.float32]) -> Levels:
    """The image in 65,536 levels from its lowest value to its highest.

    Args:
        image: any shape, finite; it may be negative and exceed 1.

    Returns:
        Levels that differ from the image by at most half a step (and float32's rounding).
    """
    offset = image.min()
    step = np.float32((image.max() - offset) / LEVELS) or np.float32(1)  # 1: image is constant
    levels = image - offset
    levels /= step
    return Levels(np.rint(levels, out=levels).astype(np.uint16), offset, step)


def record_dtype(patch_size: int | Sequence[int], echoes: int) -> np.dtype:
    """The bytes of a record of patches (*patch_size, echoes)."""
    shape = (*triple(patch_size, "patch size"), echoes)
    return np.dtype([*FIELDS, ("input", "<u2", shape), ("truth", "<u2", shape)])


def encode(
    given: Levels,
    truth: Levels,
    positions: NDArray[np.integer],
    patch_size: int | Sequence[int],
    subject: int,
) -> NDArray[np.void]:
    """Makes the records of one subject's patches.

    Args:
        given: the network's input, (rows, cols, slices, echoes).
        truth: what the network shall give, of the same shape.
        positions: (n, 3), first voxels of the patches.
        patch_size: in voxels; one for all axes or one for each.
        subject: its number within the records.

    Returns:
        (n,) of `record_dtype`; `serialise` makes of each what a shard holds.
    """
    size, echoes = triple(patch_size, "patch size"), given.array.shape[3]
    records = np.zeros(len(positions), record_dtype(size, echoes))
    records["magic"], records["schema"] = MAGIC, SCHEMA
    records["echoes"], records["patch_size"] = echoes, size
    records["subject"], records["position"] = subject, positions
    for name, levels in (("input", given), ("truth", truth)):
        records[f"{name}_offset"], records[f"{name}_step"] = levels.offset, levels.step
        records[name] = cut(levels.array, positions, size)
    return records


def parse(record: np.void, given: NDArray[np.float32], truth: NDArray[np.float32]) -> None:
    """Writes a record's patches into two arrays of shape (*patch_size, echoes).

    The intensities are in units of the subject's scale, ready for the network.
    """
    for name, patch in (("input", given), ("truth", truth)):
        patch[...] = record[name]  # half the time of a multiplication that converts on the way
        patch *= record[f"{name}_step"]
        patch += record[f"{name}_offset"]


def serialise(record: np.void, compression: str = "none") -> bytes:
    """A record's bytes, without TFRecord's framing."""
    whole = record.tobytes()
    if compression == "none":
        return whole
    header = np.frombuffer(whole, HEADER, count=1).copy()
    header["compression"] = COMPRESSIONS.index(compression)
    planes = np.frombuffer(whole, np.uint8, offset=HEADER_BYTES).reshape(-1, 2).T
    return header.tobytes() + zlib.compress(planes.tobytes(), level=1)


def decode(serialized: Buffer, expected: np.dtype) -> np.void:
    """A record from its bytes, checked.

    Args:
        serialized: the record, without TFRecord's framing; bytes or uint8.
        expected: the `record_dtype` it should be of.

    Raises:
        InputError: it is no record, or of another schema, patch size or number of echoes.
    """
    data = np.frombuffer(serialized, np.uint8)
    header = check_header(data[:HEADER_BYTES].tobytes(), expected)
    if header["compression"]:
        data = np.concatenate([data[:HEADER_BYTES], _decompressed(data[HEADER_BYTES:])])
    if data.size != expected.itemsize:
        raise InputError(f"expected a record of {expected.itemsize} bytes, found {data.size}")
    return data.view(expected)[0]


def _decompressed(body: NDArray[np.uint8]) -> NDArray[np.uint8]:
    try:
        planes = np.frombuffer(zlib.decompress(body.data), np.uint8)
        return planes.reshape(2, -1).T.reshape(-1)
    except (zlib.error, ValueError):
        raise InputError("expected compressed patches, found other bytes") from None


def framed(serialized: bytes) -> bytes:
    """A record as it lies in a shard: TFRecord's framing around it."""
    length = len(serialized).to_bytes(LENGTH_BYTES, "little")
    return b"".join((length, _checksum(length), serialized, _checksum(serialized)))


def unframed(frame: Buffer) -> NDArray[np.uint8]:
    """The record in a frame, not copied.

    Raises:
        InputError: the frame is not whole, or one of its checksums is wrong.
    """
    data = np.frombuffer(frame, np.uint8)
    serialized = data[BEFORE_RECORD_BYTES:-CHECKSUM_BYTES]
    if serialized.size != frame_bytes(data[:BEFORE_RECORD_BYTES].tobytes()) - FRAMING_BYTES:
        raise InputError("expected a whole record, found its end missing")
    if _checksum(serialized) != data[-CHECKSUM_BYTES:].tobytes():
        raise InputError("expected a whole record, found its checksum wrong")
    return serialized


def frame_bytes(beginning: bytes) -> int:
    """How long the frame is that begins with these bytes.

    Raises:
        InputError: no frame begins so.
    """
    length = beginning[:LENGTH_BYTES]
    if _checksum(length) != beginning[LENGTH_BYTES:BEFORE_RECORD_BYTES]:
        raise InputError("expected a whole record, found its length's checksum wrong")
    return int.from_bytes(length, "little") + FRAMING_BYTES


def frame_offsets(shard: Path) -> NDArray[np.int64]:
    """Where in a shard each frame begins, and last the shard's size.

    Raises:
        InputError: a frame is not whole; the message says which.
    """
    offsets, size = [0], shard.stat().st_size
    with shard.open("rb", buffering=0) as file:
        while offsets[-1] < size:
            file.seek(offsets[-1])
            try:
                offsets.append(offsets[-1] + frame_bytes(file.read(BEFORE_RECORD_BYTES)))
            except InputError as error:
                raise InputError(f"{error}: record {len(offsets) - 1} of {shard}") from None
    if offsets[-1] > size:
        raise InputError(
            f"expected a whole record, found its end missing: record {len(offsets) - 2} of {shard}"
        )
    return np.array(offsets)


def _checksum(data: Buffer) -> bytes:
    """TFRecord's: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) + 0xA282EAD8
    return (rotated & 0xFFFFFFFF).to_bytes(CHECKSUM_BYTES, "little")


def check_header(beginning: bytes, expected: np.dtype) -> np.void:
    """The header that these bytes begin with.

    Raises:
        InputError: it is not one of a record of type `expected`.
    """
    if len(beginning) < HEADER_BYTES or not beginning.startswith(MAGIC):
        raise InputError("expected a record of MRSR-TF, found other bytes")
    header = np.frombuffer(beginning, HEADER, count=1)[0]
    if header["schema"] != SCHEMA:
        raise InputError(
            f"expected a record of schema {SCHEMA}, found one of schema {header['schema']}, which "
            "another version made"
        )
    shape = (*header["patch_size"].tolist(), int(header["echoes"]))
    if shape != expected["input"].shape:
        raise InputError(f"expected patches {expected['input'].shape}, found {shape}")
    if header["compression"] >= len(COMPRESSIONS):
        raise InputError(f"expected compression by zlib or none, found {header['compression']}")
    return header
