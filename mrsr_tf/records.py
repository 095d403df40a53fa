"""The one record schema: a patch of the network's input, and the patch of the truth.

A record is a fixed number of bytes, and its layout is a NumPy type: what `encode` fills is what
`parse` reads, and a shard of n records is an array of n of them within TFRecord's framing:

    shard    frame 0 | frame 1 | ...                      `frame_dtype`
    frame    length, its checksum, record, its checksum   TFRecord's
    record   header | input | truth                       `record_dtype`

So any record is found by its number alone, which gives the reader an exact shuffle of all records
and a free restart in the middle of an epoch.

Intensities are in units of the subject's scale (`volume.intensity_scale`), kept as uint16 levels:
intensity = offset + step * level, one offset and step for all of a subject's input and one for
its truth, from the darkest voxel to the brightest. Nothing is clipped; the error is half a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.patches import cut, triple

SCHEMA = 1
MAGIC = b"MRSR"
LEVELS = 65535

HEADER = [
    ("magic", "S4"),
    ("schema", "<u2"),
    ("echoes", "<u2"),
    ("patch_size", "<u2", (3,)),
    ("padding", "<u2"),  # keeps what follows on multiples of four bytes
    ("subject", "<u4"),  # its number within the records, which says nothing about who it is
    ("position", "<u4", (3,)),
    ("input_offset", "<f4"),
    ("input_step", "<f4"),
    ("truth_offset", "<f4"),
    ("truth_step", "<f4"),
]
BEFORE_RECORD = [("length", "<u8"), ("length_crc", "<u4")]
AFTER_RECORD = [("record_crc", "<u4")]


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
    return np.dtype([*HEADER, ("input", "<u2", shape), ("truth", "<u2", shape)])


def frame_dtype(record: np.dtype) -> np.dtype:
    """The bytes of a record as it lies in a shard."""
    return np.dtype([*BEFORE_RECORD, ("record", record), *AFTER_RECORD])


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
        (n,) of `record_dtype`; `tobytes()` of each is what a shard holds.
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
        np.multiply(record[name], record[f"{name}_step"], out=patch, dtype=np.float32)
        patch += record[f"{name}_offset"]


def decode(serialized: bytes, expected: np.dtype) -> np.void:
    """A record from its bytes, checked.

    Args:
        serialized: the record, without TFRecord's framing.
        expected: the `record_dtype` it should be of.

    Raises:
        InputError: it is no record, or of another schema, patch size or number of echoes.
    """
    check_header(serialized, expected)
    if len(serialized) != expected.itemsize:
        raise InputError(f"expected a record of {expected.itemsize} bytes, found {len(serialized)}")
    return np.frombuffer(serialized, expected)[0]


def check_header(beginning: bytes, expected: np.dtype) -> None:
    """Raises `InputError` unless a record of type `expected` can begin with these bytes."""
    header = np.dtype(HEADER)
    if len(beginning) < header.itemsize or not beginning.startswith(MAGIC):
        raise InputError("expected a record of MRSR-TF, found other bytes")
    found = np.frombuffer(beginning, header, count=1)[0]
    if found["schema"] != SCHEMA:
        raise InputError(
            f"expected a record of schema {SCHEMA}, found one of schema {found['schema']}, which "
            "another version made"
        )
    shape = (*found["patch_size"].tolist(), int(found["echoes"]))
    if shape != expected["input"].shape:
        raise InputError(f"expected patches {expected['input'].shape}, found {shape}")
