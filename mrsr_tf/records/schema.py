"""The record schema: a patch of the network's input and the target patch at the same place.

The layout of a record is a NumPy type, and a shard holds one record after the other within the
framing of TFRecord files:

    shard    frame 0 | frame 1 | ...
    frame    length, its checksum, record, its checksum   TFRecord's, checksums of CRC-32C
    record   header | input | target                      `record_dtype`

All records of a set have one size, so the number of a record is enough to find it. This gives the
reader an exact shuffle of all records and a free restart in the middle of an epoch.

Intensities are in units of the subject's scale (`volume.intensity_scale`) and stored as uint16
levels: intensity = offset + step * level. All inputs of a subject share one offset and step, which
span its darkest to its brightest voxel; so do all its targets. Nothing is clipped, and the error
is at most half a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.records.patches import cut, triple

SCHEMA = 2
MAGIC = b"MRSR"
LEVELS = 65535
Buffer = bytes | NDArray[np.uint8]

FIELDS = [
    ("magic", "S4"),
    ("schema", "<u2"),
    ("echoes", "<u2"),
    ("patch_size", "<u2", (3,)),
    ("reserved", "<u2"),  # zero; an earlier version marked compressed records here
    ("subject", "<u4"),  # its number within the records, which identifies nobody
    ("position", "<u4", (3,)),
    ("input_offset", "<f4"),
    ("input_step", "<f4"),
    ("target_offset", "<f4"),
    ("target_step", "<f4"),
]
HEADER = np.dtype(FIELDS)
LENGTH_BYTES, CHECKSUM_BYTES = 8, 4
BEFORE_RECORD_BYTES = LENGTH_BYTES + CHECKSUM_BYTES
FRAMING_BYTES = BEFORE_RECORD_BYTES + CHECKSUM_BYTES


@dataclass(frozen=True, eq=False)
class Levels:
    """An image stored as uint16: intensity = offset + step * array."""

    array: NDArray[np.uint16]
    offset: np.float32
    step: np.float32


def quantise(image: NDArray[np.float32]) -> Levels:
    """Stores an image in 65,536 levels from its lowest value to its highest.

    Args:
        image: any shape, finite; values may be negative or exceed 1.

    Returns:
        Levels that differ from the image by at most half a step (and the rounding of float32).
    """
    offset = image.min()
    step = np.float32((image.max() - offset) / LEVELS) or np.float32(1)  # 1: a constant image
    levels = image - offset
    levels /= step
    return Levels(np.rint(levels, out=levels).astype(np.uint16), offset, step)


def dequantise(record: np.void, inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> None:
    """Writes the two patches of a record into two arrays of shape (*patch_size, echoes).

    The intensities are in units of the subject's scale, ready for the network.
    """
    for name, patch in (("input", inputs), ("target", targets)):
        patch[...] = record[name]  # twice as fast as a multiplication that converts on the way
        patch *= record[f"{name}_step"]
        patch += record[f"{name}_offset"]


def value_range(offset: np.float32, step: np.float32) -> list[float]:
    """The intensities of the lowest and the highest level, in units of the subject's scale."""
    return [float(offset), float(offset) + LEVELS * float(step)]


def record_dtype(patch_size: int | Sequence[int], echoes: int) -> np.dtype:
    """The NumPy type of a record of patches (*patch_size, echoes)."""
    shape = (*triple(patch_size, "patch size"), echoes)
    return np.dtype([*FIELDS, ("input", "<u2", shape), ("target", "<u2", shape)])


def encode(
    inputs: Levels,
    targets: Levels,
    positions: NDArray[np.integer],
    patch_size: int | Sequence[int],
    subject: int,
) -> NDArray[np.void]:
    """Makes the records of one subject's patches.

    Args:
        inputs: input of the network, (rows, cols, slices, echoes).
        targets: what the network should return, of the same shape.
        positions: (n, 3), first voxels of the patches.
        patch_size: in voxels; one number for all axes or one for each.
        subject: number of the subject within the records.

    Returns:
        (n,) of `record_dtype`.
    """
    size, echoes = triple(patch_size, "patch size"), inputs.array.shape[3]
    records = np.zeros(len(positions), record_dtype(size, echoes))
    records["magic"], records["schema"] = MAGIC, SCHEMA
    records["echoes"], records["patch_size"] = echoes, size
    records["subject"], records["position"] = subject, positions
    for name, levels in (("input", inputs), ("target", targets)):
        records[f"{name}_offset"], records[f"{name}_step"] = levels.offset, levels.step
        records[name] = cut(levels.array, positions, size)
    return records


def decode(serialized: Buffer, expected: np.dtype) -> np.void:
    """Reads a record from its bytes and checks it.

    Args:
        serialized: the record without the framing of TFRecord; bytes or uint8.
        expected: the `record_dtype` that it should have.

    Raises:
        InputError: it is no record, or has another schema, patch size or number of echoes.
    """
    data = np.frombuffer(serialized, np.uint8)
    check_header(data[: HEADER.itemsize].tobytes(), expected)
    if data.size != expected.itemsize:
        raise InputError(f"expected a record of {expected.itemsize} bytes, found {data.size}")
    return data.view(expected)[0]


def check_header(beginning: bytes, expected: np.dtype) -> None:
    """Checks that these bytes begin with the header of a record of type `expected`.

    Raises:
        InputError: they do not.
    """
    if len(beginning) < HEADER.itemsize or not beginning.startswith(MAGIC):
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
    if header["reserved"]:
        raise InputError(
            "expected uncompressed records, found compressed ones (make them again with this "
            "version)"
        )


def framed(serialized: bytes) -> bytes:
    """A record as it lies in a shard: within the framing of TFRecord."""
    length = len(serialized).to_bytes(LENGTH_BYTES, "little")
    return b"".join((length, _checksum(length), serialized, _checksum(serialized)))


def unframed(frame: Buffer) -> NDArray[np.uint8]:
    """The record in a frame, not copied.

    Raises:
        InputError: the frame is not whole, or one of its checksums is wrong.
    """
    data = np.frombuffer(frame, np.uint8)
    length = data[:LENGTH_BYTES].tobytes()
    if _checksum(length) != data[LENGTH_BYTES:BEFORE_RECORD_BYTES].tobytes():
        raise InputError("expected a whole record, found its length's checksum wrong")
    serialized = data[BEFORE_RECORD_BYTES:-CHECKSUM_BYTES]
    if serialized.size != int.from_bytes(length, "little"):
        raise InputError("expected a whole record, found its end missing")
    if _checksum(serialized) != data[-CHECKSUM_BYTES:].tobytes():
        raise InputError("expected a whole record, found its checksum wrong")
    return serialized


def _checksum(data: Buffer) -> bytes:
    """TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) + 0xA282EAD8
    return (rotated & 0xFFFFFFFF).to_bytes(CHECKSUM_BYTES, "little")
