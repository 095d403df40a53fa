"""Whether a set of records is what its manifest says."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from mrsr_tf.dataset import ECHOES, check_shard, read_manifest
from mrsr_tf.errors import InputError
from mrsr_tf.patches import positions
from mrsr_tf.records import decode, record_dtype


def check_records(folder: str | Path) -> Mapping[str, Any]:
    """Reads every record.

    Returns:
        The manifest.

    Raises:
        InputError: a shard or a record is missing, damaged, doubled or of another kind than the
            manifest says, or a subject is on both sides of the split; it names shard and record.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    _check_split(manifest, folder)
    record = record_dtype(manifest["patch_size"], ECHOES[manifest["contrasts"]])
    total = sum(subject["records"] for subject in manifest["subjects"])
    with tqdm(total=total, unit="record", disable=None, delay=2) as bar:
        for subject in manifest["subjects"]:
            check_shard(folder / subject["shard"], subject["records"], record)
            places = positions(subject["shape"], manifest["patch_size"], manifest["stride"])
            _check_subject(folder / subject["shard"], subject["number"], places, record, bar)
    return manifest


def _check_split(manifest: Mapping[str, Any], folder: Path) -> None:
    subjects = manifest["subjects"]
    for key in ("number", "source_sha256", "shard"):
        values = [subject[key] for subject in subjects]
        if len(set(values)) != len(values):
            raise InputError(f"expected each subject once, found a {key} twice: {folder}")
    found = {path.name for path in folder.glob("*.tfrecord")}
    expected = {subject["shard"] for subject in subjects}
    if found != expected:
        raise InputError(
            f"expected the shards of the manifest in {folder}, found missing "
            f"{sorted(expected - found)} and more {sorted(found - expected)}"
        )
    for split, counts in manifest["counts"].items():
        records = [subject["records"] for subject in subjects if subject["split"] == split]
        if counts != {"subjects": len(records), "records": sum(records)}:
            raise InputError(
                f"expected {counts} for {split}, found {len(records)} subjects of {sum(records)} "
                f"records in the manifest: {folder}"
            )


def _check_subject(
    shard: Path, number: int, places: NDArray[np.int64], dtype: np.dtype, bar: tqdm
) -> None:
    left = set(map(tuple, places.tolist()))
    count = 0
    for count, serialized in enumerate(_serialized(shard), start=1):
        try:
            left.remove(_checked_place(decode(serialized, dtype), number, left))
        except InputError as error:
            raise InputError(f"{error}: record {count - 1} of {shard}") from None
        bar.update()
    if left:
        raise InputError(f"expected {len(places)} records, found {count}: {shard}")


def _serialized(shard: Path) -> Iterator[bytes]:
    """The records, each with its checksum verified."""
    count = 0
    try:
        for serialized in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator():
            yield serialized
            count += 1
    except tf.errors.OpError:
        raise InputError(
            f"expected a whole record, found its checksum wrong or its end missing: record {count} "
            f"of {shard}"
        ) from None


def _checked_place(record: np.void, number: int, left: set[tuple[int, ...]]) -> tuple[int, ...]:
    if record["subject"] != number:
        raise InputError(f"expected subject {number}, found subject {record['subject']}")
    for name in ("input", "truth"):
        step, offset = record[f"{name}_step"], record[f"{name}_offset"]
        if not (np.isfinite([step, offset]).all() and step > 0):
            raise InputError(f"expected finite intensities, found steps of {step} from {offset}")
    place = tuple(record["position"].tolist())
    if place not in left:
        raise InputError(f"expected each patch of the grid once, found another at {place}")
    return place
