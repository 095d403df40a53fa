"""The manifest of training records: what they hold and how they were made, with a checksum.

Several sets of records can train one network, for example sets of several slice factors: the
network sees interpolated slices and knows no factor. `read_sets` then joins their manifests.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, TypeVar, final, get_origin, get_type_hints

import numpy as np

from mrsr_tf.errors import InputError
from mrsr_tf.mri.slices import DEFAULT_FACTOR
from mrsr_tf.records.contrasts import Contrasts
from mrsr_tf.records.schema import SCHEMA
from mrsr_tf.volume import Volume

MANIFEST = "manifest.json"
SPLITS = ("train", "validation")
Records = str | Path | Sequence[str | Path]


class SplitCounts(TypedDict):
    """How much is in the training or the validation part."""

    subjects: int
    patients: int
    records: int
    air: int


class SubjectEntry(TypedDict):
    """One scan of the records: its shard, and how it was acquired. Nothing says who it is of.

    Attributes:
        number: of the subject within the records.
        patient: number of the patient; several subjects may be scans of one.
        split: "train" or "validation".
        shard: name of the file.
        records: number of records in the shard.
        air: number of patches that were left out as air.
        bytes: size of the shard.
        shape: (rows, cols, slices) of the scan.
        records_sha256: salted hash of the checksums of all records.
        source_sha256: salted hash of the scan's intensities.
        intensity_scale: what the intensities were divided by.
        input_range: lowest and highest input, in units of the scale.
        target_range: lowest and highest target, in units of the scale.
        echoes_in_scan: 1 or 2; a single-contrast record of a scan of two combines both.
        spacing_mm: distance between rows, columns and fine slices.
        echo_times_ms: one per echo; None where unknown.
        repetition_time_ms: None where unknown.
        flip_angle_deg: None where unknown.
    """

    number: int
    patient: int
    split: str
    shard: str
    records: int
    air: int
    bytes: int
    shape: list[int]
    records_sha256: str
    source_sha256: str
    intensity_scale: NotRequired[float]
    input_range: NotRequired[list[float]]
    target_range: NotRequired[list[float]]
    echoes_in_scan: NotRequired[int]
    spacing_mm: NotRequired[list[float]]
    echo_times_ms: NotRequired[list[float] | None]
    repetition_time_ms: NotRequired[float | None]
    flip_angle_deg: NotRequired[float | None]


@final
class Manifest(TypedDict):
    """What `make_records` writes about one set of records: plain JSON values.

    Attributes:
        schema: of the records.
        contrasts: "single" or "dual", see `Contrasts`.
        patch_size: in voxels, along rows, columns and slices.
        stride: in voxels, likewise.
        slice_factor: fine slices per thick one.
        counts: by split.
        salt: of the hashes.
        subjects: all scans, by number.
        sha256: checksum of all the rest.
        thickening: "profile", "first_slice" and what else describes how slices became thick.
        spacing_mm: "min" and "max" over all subjects.
        slice_axis: of NIfTI files.
        group_by: what told which scans are of one patient: "patient", "scan" or "table".
    """

    schema: int
    contrasts: str
    patch_size: list[int]
    stride: list[int]
    slice_factor: int
    counts: dict[str, SplitCounts]
    salt: str
    subjects: list[SubjectEntry]
    sha256: str
    mrsr_tf_version: NotRequired[str]
    profile: NotRequired[str]
    air_below: NotRequired[float]
    allow_interpolated: NotRequired[bool]
    seed: NotRequired[int]
    slice_axis: NotRequired[int]
    thickening: NotRequired[dict[str, Any]]
    interpolation: NotRequired[str]
    scale: NotRequired[str]
    single_of_two_echoes: NotRequired[str]
    storage: NotRequired[str]
    spacing_mm: NotRequired[dict[str, list[float]]]
    group_by: NotRequired[str]


@final
class JointManifest(TypedDict):
    """The manifest of several sets that train one network.

    Attributes:
        contrasts: of all sets.
        patch_size: of all sets.
        slice_factor: of the network unless another one is asked for.
        counts: by split, summed over the sets.
        sets: the manifest of each.
        sha256: checksum of all the rest.
    """

    contrasts: str
    patch_size: list[int]
    slice_factor: int
    counts: dict[str, SplitCounts]
    sets: list[Manifest]
    sha256: str


TrainingManifest = Manifest | JointManifest
AnyManifest = TypeVar("AnyManifest", Manifest, JointManifest)


def with_checksum(manifest: AnyManifest) -> AnyManifest:
    """The manifest with the checksum of all the rest of it."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    rest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return rest  # type: ignore[return-value]


def read_manifest(records_dir: str | Path) -> Manifest:
    """Reads what `make_records` says about the records it made.

    Raises:
        InputError: there is no manifest, it cannot be read, it is of another schema, or it was
            changed since it was written.
    """
    path = Path(records_dir) / MANIFEST
    if not path.is_file():
        raise InputError(
            f"expected finished records, found no {MANIFEST} in {records_dir}: make_records "
            "writes it last, and the same call of it again finishes what was interrupted"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        misfits = _misfits(manifest, Manifest)
        for subject in manifest.get("subjects", []):
            misfits |= _misfits(subject, SubjectEntry)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        raise InputError(f"expected the manifest of records, found no such JSON: {path}") from None
    if manifest.get("schema") != SCHEMA:
        raise InputError(
            f"expected records of schema {SCHEMA}, found schema {manifest.get('schema')}: {path} "
            "(make them anew with this version)"
        )
    if misfits:
        raise InputError(
            f"expected {', '.join(sorted(misfits))} in the manifest: {path} (make the records anew "
            "with this version)"
        )
    if with_checksum(manifest)["sha256"] != manifest["sha256"]:
        raise InputError(
            f"expected the manifest as make_records wrote it, found it changed since: {path}"
        )
    return manifest


def read_sets(records: Records) -> TrainingManifest:
    """Reads the manifests of all sets of records that train one network, and joins them.

    Args:
        records: what `make_records` wrote: one folder or several.

    Returns:
        The manifest of the one set, or the joint one of several.

    Raises:
        InputError: a manifest cannot be read, or the sets cannot train one network: they differ in
            contrasts or patch size, one comes twice, or a subject is in the training part of one
            and the validation part of another.
    """
    folders = record_folders(records)
    manifests = [read_manifest(folder) for folder in folders]
    first = manifests[0]
    if len(manifests) == 1:
        return first
    for folder, manifest in zip(folders, manifests, strict=True):
        for key, value, expected in (
            ("contrasts", manifest["contrasts"], first["contrasts"]),
            ("patch_size", manifest["patch_size"], first["patch_size"]),
        ):
            if value != expected:
                raise InputError(
                    f"expected all records of {key} {expected}, found {value}: {folder}"
                )
    _check_splits(manifests)
    joint: JointManifest = {
        "contrasts": first["contrasts"],
        "patch_size": first["patch_size"],
        "slice_factor": _by_preference(manifests)[0],
        "counts": {split: _sum([m["counts"][split] for m in manifests]) for split in SPLITS},
        "sets": manifests,
        "sha256": "",
    }
    return with_checksum(joint)


def record_folders(records: Records) -> list[Path]:
    """The folders of one set or of several."""
    folders = [records] if isinstance(records, str | Path) else records
    return [Path(folder) for folder in folders]


def each_set(manifest: TrainingManifest) -> list[Manifest]:
    """The manifests of all sets that `read_sets` joined."""
    if "sets" in manifest:
        return manifest["sets"]
    return [manifest]


def slice_factors(manifest: TrainingManifest) -> list[int]:
    """The slice factors trained on, once each; the first is for when none is asked for."""
    return _by_preference(each_set(manifest))


def count_echoes(manifest: TrainingManifest) -> int:
    """How many echoes each record has: 1 or 2."""
    return Contrasts(manifest["contrasts"]).echoes


def count_split(subjects: Iterable[SubjectEntry], split: str) -> SplitCounts:
    """How much the subjects of one split hold together."""
    chosen = [subject for subject in subjects if subject["split"] == split]
    return {
        "subjects": len(chosen),
        "patients": len({subject["patient"] for subject in chosen}),
        "records": sum(subject["records"] for subject in chosen),
        "air": sum(subject["air"] for subject in chosen),
    }


def find_split(volume: Volume, manifests: Iterable[Manifest]) -> str | None:
    """Tells whether records were made of a scan.

    Args:
        volume: the scan as it was read; resliced or turned, it is another one.
        manifests: of the records.

    Returns:
        "train" or "validation"; None if no records were made of it. A scan that one set trains on
        and another validates on counts as trained on.
    """
    scan, splits = scan_sha256(volume), set()
    for manifest in manifests:
        source = salted_hash(manifest.get("salt", ""), scan)
        splits |= {
            subject["split"]
            for subject in manifest.get("subjects", ())
            if subject.get("source_sha256") == source
        }
    return min(splits, default=None)


def scan_sha256(volume: Volume) -> str:
    """A hash of the scan's intensities, which is stored only after salting."""
    digest = hashlib.sha256(str(volume.array.shape).encode())
    digest.update(np.ascontiguousarray(volume.array).data)
    return digest.hexdigest()


def salted_hash(salt: str, sha256: str) -> str:
    """A hash that can be compared within one set of records only."""
    return hashlib.sha256(f"{salt} {sha256}".encode()).hexdigest()


def _misfits(entry: dict[str, Any], fields: type[Any]) -> set[str]:
    """The required fields of a `TypedDict` that an entry lacks or has of another type."""
    kinds = get_type_hints(fields)
    return {
        key
        for key in fields.__required_keys__
        if not isinstance(entry.get(key), get_origin(kinds[key]) or kinds[key])
    }


def _by_preference(manifests: Iterable[Manifest]) -> list[int]:
    factors = dict.fromkeys(manifest["slice_factor"] for manifest in manifests)
    return sorted(factors, key=lambda factor: factor != DEFAULT_FACTOR)


def _check_splits(manifests: Sequence[Manifest]) -> None:
    if len({manifest["sha256"] for manifest in manifests}) < len(manifests):
        raise InputError("expected each set of records once, got one of them twice")
    trained, validated = (
        {s["source_sha256"] for m in manifests for s in m["subjects"] if s["split"] == split}
        for split in SPLITS
    )
    if trained & validated:
        raise InputError(
            "expected no subject in the training records of one set and the validation records of "
            f"another, found {len(trained & validated)}: make all sets of the same scans with the "
            "same --seed and --validation_subjects"
        )


def _sum(counts: Sequence[SplitCounts]) -> SplitCounts:
    total: dict[str, int] = {key: sum(count[key] for count in counts) for key in counts[0]}  # type: ignore[literal-required]
    return total  # type: ignore[return-value]
