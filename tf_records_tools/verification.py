"""Whether a set of records is what its manifest says."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mrsr_tf.errors import InputError
from mrsr_tf.io import scans
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
from mrsr_tf.records.schema import (
    CHECKSUM_BYTES,
    FRAMING_BYTES,
    LEVELS,
    decode,
    record_dtype,
    unframed,
)
from tf_records_tools.patients import BY_PERSON, BY_SCAN, patient_numbers


def check_records(folder: str | Path, inputs: Sequence[str | Path] = ()) -> Manifest:
    """Reads every record.

    Args:
        folder: what `make_records` made.
        inputs: folders of the scans that the records were made of, if these are to be checked too.

    Returns:
        The manifest.

    Raises:
        InputError: a shard or a record is missing, damaged, doubled or of another kind than the
            manifest says, a person is on both sides of the split, or a scan is not among those
            that the records were made of; it names shard and record.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    _check_split(manifest, folder)
    total = sum(subject["records"] for subject in manifest["subjects"])
    with tqdm(total=total, unit="record", disable=None, delay=2) as bar:
        for subject in manifest["subjects"]:
            _check_subject(folder / subject["shard"], subject, manifest, bar)
    if inputs:
        _check_sources(manifest, inputs)
    return manifest


def _check_split(manifest: Manifest, folder: Path) -> None:
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
    sides: dict[int, str] = {}
    for subject in subjects:
        if sides.setdefault(subject["patient"], subject["split"]) != subject["split"]:
            raise InputError(
                f"expected each patient in one split, found patient {subject['patient']} in both: "
                f"{folder}"
            )
    for split, counts in manifest["counts"].items():
        found_counts = count_split(subjects, split)
        if counts != found_counts:
            raise InputError(
                f"expected {counts} for {split}, found {found_counts} in the manifest: {folder}"
            )


def _check_subject(shard: Path, subject: SubjectEntry, manifest: Manifest, bar: tqdm) -> None:
    places = positions(subject["shape"], manifest["patch_size"], manifest["stride"])
    dtype = record_dtype(manifest["patch_size"], count_echoes(manifest))
    left, checksums = set(map(tuple, places.tolist())), hashlib.sha256()
    count = 0
    try:
        for frame in _frames(shard, dtype):
            left.remove(_checked_place(decode(unframed(frame), dtype), subject, left))
            checksums.update(frame[-CHECKSUM_BYTES:])
            count += 1
            bar.update()
    except InputError as error:
        raise InputError(f"{error}: record {count} of {shard}") from None
    if (count, len(left)) != (subject["records"], subject["air"]):
        raise InputError(
            f"expected {subject['records']} records and {subject['air']} patches of air left out, "
            f"found {count} and {len(left)}: {shard}"
        )
    if salted_hash(manifest["salt"], checksums.hexdigest()) != subject["records_sha256"]:
        raise InputError(f"expected the records that the manifest tells, found others: {shard}")


def _frames(shard: Path, record: np.dtype) -> Iterator[bytes]:
    with shard.open("rb") as file:
        while frame := file.read(record.itemsize + FRAMING_BYTES):
            yield frame


def _checked_place(
    record: np.void, subject: SubjectEntry, left: set[tuple[int, ...]]
) -> tuple[int, ...]:
    if record["subject"] != subject["number"]:
        raise InputError(f"expected subject {subject['number']}, found subject {record['subject']}")
    for name, expected in (("input", subject["input_range"]), ("target", subject["target_range"])):
        lowest = float(record[f"{name}_offset"])
        found = lowest, lowest + LEVELS * float(record[f"{name}_step"])
        if not (np.isfinite(found).all() and list(found) == expected):
            raise InputError(f"expected intensities of {name} from {expected}, found {found}")
    place = tuple(record["position"].tolist())
    if place not in left:
        raise InputError(f"expected each patch of the grid once, found another at {place}")
    return place


def _check_sources(manifest: Manifest, inputs: Sequence[str | Path]) -> None:
    found = [named for folder in inputs for named in scans.find_scans(folder).items()]
    left = {subject["source_sha256"]: subject for subject in manifest["subjects"]}
    whose = patient_numbers(found, BY_PERSON if manifest.get("group_by") == BY_PERSON else BY_SCAN)
    number_of: dict[int, int] = {}
    for (_, scan), person in tqdm(
        list(zip(found, whose, strict=True)), "scans", unit="scan", disable=None, delay=2
    ):
        volume = scan.read(manifest["slice_axis"])
        source = salted_hash(manifest["salt"], scan_sha256(volume))
        if source not in left:
            raise InputError(
                f"expected a scan that the records were made of, found another: {scan}"
            )
        number = left.pop(source)["patient"]
        if number_of.setdefault(person, number) != number:
            raise InputError(f"expected scans of one person to be told as one, found two: {scan}")
    if left:
        raise InputError(
            f"expected all {len(manifest['subjects'])} scans that the records were made of, found "
            f"{len(left)} missing in {', '.join(map(str, inputs))}"
        )
