"""The record schema: a patch of the network's input and the target patch at the same place.

A record is a `tf.train.Example` with these features, in this order, framed as TFRecord:

    schema     int64     number of this schema
    shape      int64     of the patches: rows, columns, slices, echoes
    subject    int64     its number within the records, which identifies nobody
    position   int64     first voxel of the patches: row, column, slice
    offset     float32   of the input and of the target
    scale      float32   of the input and of the target: intensity = offset + scale * level
    input      bytes     levels, little-endian uint16; the echo varies fastest
    target     bytes     levels, likewise

All records of a set have one size, so the number of a record is enough to find it. This gives the
reader an exact shuffle of all records and a free restart in the middle of an epoch. A record's
layout is a NumPy type, see `empty_record`.

Intensities are in units of the subject's intensity scale (`volume.intensity_scale`). All inputs of
a subject share one offset and scale, which span its darkest to its brightest voxel; so do all its
targets. Nothing is clipped, and the error is at most half a level.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.records.patches import cut, triple
from mrsr_tf.records.tfrecord import (
    Buffer,
    bytes_feature,
    empty_example,
    encode_integers,
    float_feature,
    int64_feature,
)

SCHEMA = 3
LEVELS = 65535
PATCHES = ("input", "target")  # in the order of their offsets and scales
VARIABLE = {"subject", "position", "offset", "scale", *PATCHES}


@dataclass(frozen=True, eq=False)
class Levels:
    """An image stored as uint16: intensity = offset + scale * array."""

    array: NDArray[np.uint16]
    offset: np.float32
    scale: np.float32


def quantise(image: NDArray[np.float32]) -> Levels:
    """Stores an image in 65,536 levels from its lowest value to its highest.

    Args:
        image: any shape, finite; values may be negative or exceed 1.

    Returns:
        Levels that differ from the image by at most half a level (and the rounding of float32).
    """
    offset = image.min()
    scale = np.float32((image.max() - offset) / LEVELS) or np.float32(1)  # 1: a constant image
    levels = image - offset
    levels /= scale
    return Levels(np.rint(levels, out=levels).astype(np.uint16), offset, scale)


def dequantise(record: np.void, inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> None:
    """Writes the two patches of a record into two arrays of shape (*patch_size, echoes).

    The intensities are in units of the subject's intensity scale, ready for the network.
    """
    for place, patch in enumerate((inputs, targets)):
        # Twice as fast as a multiplication that converts on the way.
        patch[...] = record[PATCHES[place]]
        patch *= record["scale"][place]
        patch += record["offset"][place]


def value_range(offset: np.float32, scale: np.float32) -> list[float]:
    """The intensities of the lowest and the highest level, in units of the intensity scale."""
    return [float(offset), float(offset) + LEVELS * float(scale)]


def empty_record(patch_size: int | Sequence[int], echoes: int) -> np.void:
    """A record of patches (*patch_size, echoes) with all that is the same in every record.

    Its dtype is the layout of a record, with a field for each feature. Integers are stored as
    `tfrecord.encode_integers` returns them.
    """
    shape = (*triple(patch_size, "patch size"), echoes)
    record = empty_example(
        {
            "schema": int64_feature(1),
            "shape": int64_feature(len(shape)),
            "subject": int64_feature(1),
            "position": int64_feature(3),
            "offset": float_feature(len(PATCHES)),
            "scale": float_feature(len(PATCHES)),
            **dict.fromkeys(PATCHES, bytes_feature("<u2", shape)),
        }
    )
    record["schema"], record["shape"] = encode_integers([SCHEMA]), encode_integers(shape)
    return record


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
        (n,) of the dtype of `empty_record`.
    """
    size = triple(patch_size, "patch size")
    records = np.full(len(positions), empty_record(size, inputs.array.shape[3]))
    records["subject"], records["position"] = encode_integers([subject]), encode_integers(positions)
    records["offset"] = inputs.offset, targets.offset
    records["scale"] = inputs.scale, targets.scale
    records["input"], records["target"] = (
        cut(levels.array, positions, size) for levels in (inputs, targets)
    )
    return records


def decode(serialized: Buffer, empty: np.void) -> np.void:
    """Reads a record from its bytes and checks that it is the same message as `empty`.

    Args:
        serialized: the record without the framing of TFRecord; bytes or uint8.
        empty: the `empty_record` of its patch size and echoes.

    Raises:
        InputError: it is no record, or has another schema, patch size or number of echoes.
    """
    data = np.frombuffer(serialized, np.uint8)
    if data.size != empty.nbytes:
        raise InputError(f"expected a record of {empty.nbytes} bytes, found {data.size}")
    places = _constant_places(empty.dtype)
    if data[places].tobytes() != np.frombuffer(empty, np.uint8)[places].tobytes():
        raise InputError(
            f"expected a tf.train.Example of schema {SCHEMA} and patches {empty['input'].shape}, "
            "found other bytes"
        )
    return data.view(empty.dtype)[0]


@functools.cache
def _constant_places(layout: np.dtype) -> NDArray[np.intp]:
    """The places of the bytes that all records of this layout share."""
    constant = np.ones(layout.itemsize, bool)
    for name in VARIABLE:
        constant.view(layout)[name] = 0
    return np.flatnonzero(constant)
