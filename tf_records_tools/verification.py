"""Checks that a set of records agrees with its manifest."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mrsr_tf.errors import InputError
from mrsr_tf.io.scans import find_scans
from mrsr_tf.records.manifest import (
    Manifest,
    SubjectEntry,
    count_echoes,
    count_split,
    read_manifest,
    salted_hash,
    scan_sha256,
)
from mrsr_tf.records.patches import positions
from mrsr_tf.records.schema import PATCHES, decode, empty_record, value_range
from mrsr_tf.records.tfrecord import CHECKSUM_BYTES, FRAMING_BYTES, decode_integers, unframed
from tf_records_tools.patients import BY_PATIENT, BY_SCAN, patient_numbers

Position = tuple[int, ...]


def check_records(
    folder: str | Path, inputs: Sequence[str | Path] = (), series: str | None = None
) -> Manifest:
    """Reads and checks every record.

    Args:
        folder: a set of records.
        inputs: folders of the scans that the records were made of, to check these, too.
        series: which series of exams in DICOM, see `mrsr_tf.io.scans.find_scans`.

    Returns:
        The manifest.

    Raises:
        InputError: a shard or a record is missing, damaged, duplicated or of another kind than the
            manifest says, a patient is on both sides of the split, or a scan is not among those
            that the records were made of. The message names the shard and the record.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    _check_split(manifest, folder)
    total = sum(subject["records"] for subject in manifest["subjects"])
    with tqdm(total=total, unit="record", disable=None, delay=2) as bar:
        for subject in manifest["subjects"]:
            _check_shard(folder / subject["shard"], subject, manifest, bar)
    if inputs:
        _check_sources(manifest, inputs, series)
    return manifest


def _check_split(manifest: Manifest, folder: Path) -> None:
    subjects = manifest["subjects"]
    for key in ("number", "source_sha256", "shard"):
        if len({subject[key] for subject in subjects}) != len(subjects):
            raise InputError(f"expected each subject once, found a {key} twice: {folder}")
    shards = {path.name for path in folder.glob("*.tfrecord")}
    expected = {subject["shard"] for subject in subjects}
    if shards != expected:
        raise InputError(
            f"expected the shards of the manifest in {folder}, found missing "
            f"{sorted(expected - shards)} and more {sorted(shards - expected)}"
        )
    splits: dict[int, str] = {}
    for subject in subjects:
        if splits.setdefault(subject["patient"], subject["split"]) != subject["split"]:
            raise InputError(
                f"expected each patient in one split, found patient {subject['patient']} in both: "
                f"{folder}"
            )
    for split, expected_counts in manifest["counts"].items():
        counts = count_split(subjects, split)
        if counts != expected_counts:
            raise InputError(
                f"expected {expected_counts} for {split}, found {counts} in the manifest: {folder}"
            )


def _check_shard(shard: Path, subject: SubjectEntry, manifest: Manifest, bar: tqdm) -> None:
    grid = positions(subject["shape"], manifest["patch_size"], manifest["stride"])
    empty = empty_record(manifest["patch_size"], count_echoes(manifest))
    remaining, checksums = set(map(tuple, grid.tolist())), hashlib.sha256()
    count = 0
    try:
        for frame in _frames(shard, empty.nbytes + FRAMING_BYTES):
            remaining.remove(_checked_position(decode(unframed(frame), empty), subject, remaining))
            checksums.update(frame[-CHECKSUM_BYTES:])
            count += 1
            bar.update()
    except InputError as error:
        raise InputError(f"{error}: record {count} of {shard}") from None
    if (count, len(remaining)) != (subject["records"], subject["air"]):
        raise InputError(
            f"expected {subject['records']} records and {subject['air']} patches of air left out, "
            f"found {count} and {len(remaining)}: {shard}"
        )
    if salted_hash(manifest["salt"], checksums.hexdigest()) != subject["records_sha256"]:
        raise InputError(f"expected the records of the manifest, found others: {shard}")


def _frames(shard: Path, size: int) -> Iterator[bytes]:
    with shard.open("rb") as file:
        while frame := file.read(size):
            yield frame


def _checked_position(record: np.void, subject: SubjectEntry, remaining: set[Position]) -> Position:
    """The position of a record, whose subject, intensity range and position are as expected."""
    (number,) = decode_integers(record["subject"])
    if number != subject["number"]:
        raise InputError(f"expected subject {subject['number']}, found subject {number}")
    expected_ranges = subject["input_range"], subject["target_range"]
    for name, expected, *levels in zip(
        PATCHES, expected_ranges, record["offset"], record["scale"], strict=True
    ):
        extremes = value_range(*levels)
        if not (np.isfinite(extremes).all() and extremes == expected):
            raise InputError(f"expected intensities of {name} from {expected}, found {extremes}")
    position = tuple(decode_integers(record["position"]).tolist())
    if position not in remaining:
        raise InputError(f"expected each patch of the grid once, found another at {position}")
    return position


def _check_sources(manifest: Manifest, inputs: Sequence[str | Path], series: str | None) -> None:
    scans = [named for folder in inputs for named in find_scans(folder, series).items()]
    remaining = {subject["source_sha256"]: subject for subject in manifest["subjects"]}
    by_patient = manifest.get("group_by") == BY_PATIENT
    patients = patient_numbers(scans, BY_PATIENT if by_patient else BY_SCAN)
    numbers: dict[int, int] = {}
    pairs = list(zip(scans, patients, strict=True))
    for (_, scan), patient in tqdm(pairs, "scans", unit="scan", disable=None, delay=2):
        source = salted_hash(manifest["salt"], scan_sha256(scan.read(manifest["slice_axis"])))
        if source not in remaining:
            raise InputError(
                f"expected a scan that the records were made of, found another: {scan}"
            )
        number = remaining.pop(source)["patient"]
        if numbers.setdefault(patient, number) != number:
            raise InputError(f"expected one patient number for one patient, found two: {scan}")
    if remaining:
        raise InputError(
            f"expected all {len(manifest['subjects'])} scans that the records were made of, found "
            f"{len(remaining)} missing in {', '.join(map(str, inputs))}"
        )
