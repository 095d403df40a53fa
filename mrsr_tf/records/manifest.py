"""The manifest of training records: their content and settings, with a checksum.

Several sets of records can train one network, for example with several slice factors, because the
network sees interpolated slices and does not depend on the factor. `read_sets` joins their
manifests.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NotRequired, TypedDict, TypeVar, final

import numpy as np

from mrsr_tf.errors import InputError
from mrsr_tf.mri.slices import DEFAULT_FACTOR, Profile
from mrsr_tf.records.contrasts import Contrasts
from mrsr_tf.records.schema import SCHEMA
from mrsr_tf.records.typed_json import misfits
from mrsr_tf.volume import Volume

MANIFEST = "manifest.json"
SPLITS = ("train", "validation")
Records = str | Path | Sequence[str | Path]
PerAxis = Annotated[list[float], 3]  # of rows, columns and slices
Range = Annotated[list[float], 2]  # lowest and highest


class SpacingRange(TypedDict):
    """The smallest and the largest spacing in mm along each axis."""

    min: PerAxis
    max: PerAxis


class Thickening(TypedDict, total=False):
    """How thick slices were made: `order` of the filter, `first_slice` as `slices.first_slice`."""

    profile: Profile
    order: int
    first_slice: float


class SplitCounts(TypedDict):
    """The size of the training or the validation part; `air` counts the patches left out."""

    subjects: int
    patients: int
    records: int
    air: int


class ShardInfo(TypedDict):
    """One scan and its shard, without anything that identifies the patient.

    The ranges are those of the records, in units of `intensity_scale`, by which the scan was
    divided; `clipped` counts its hot voxels, which were clipped before. The hashes are
    salted in the manifest: `records_sha256` covers the checksums of all records, `source_sha256`
    the intensities of the scan, and `source_identity` is its `Volume.identity`.
    """

    records: int
    air: int
    bytes: int
    records_sha256: str
    shape: list[int]
    intensity_scale: NotRequired[float]
    input_range: NotRequired[Range]
    target_range: NotRequired[Range]
    clipped: NotRequired[int]
    echoes_in_scan: NotRequired[int]
    spacing_mm: NotRequired[PerAxis]
    echo_times_ms: NotRequired[list[float] | None]
    repetition_time_ms: NotRequired[float | None]
    flip_angle_deg: NotRequired[float | None]
    source_sha256: str
    source_identity: NotRequired[str]


class SubjectEntry(ShardInfo):
    """A shard's place in the set: several subjects may be scans of one patient."""

    number: int
    patient: int
    split: str
    shard: str


@final
class Manifest(TypedDict):
    """The description of one set of records: plain JSON values.

    `contrasts` is one of `Contrasts`; `patch_size` and `stride` are in voxels along rows, columns
    and slices; `slice_factor` is the number of fine slices per thick one; `sha256` is the checksum
    of all the rest; `spacing_mm` holds "min" and "max" over all subjects.
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
    thickening: NotRequired[Thickening]
    interpolation: NotRequired[str]
    scale: NotRequired[str]
    single_of_two_echoes: NotRequired[str]
    storage: NotRequired[str]
    spacing_mm: NotRequired[SpacingRange]
    group_by: NotRequired[str]


@final
class JointManifest(TypedDict):
    """The manifest of several sets that train one network.

    `slice_factor` is that of the network unless another one is asked for; `counts` are summed over
    the sets.
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
    """Returns the manifest with the checksum of everything else in it."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    rest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return rest  # type: ignore[return-value]


def read_manifest(records_dir: str | Path) -> Manifest:
    """Reads the manifest of one set of records.

    Raises:
        InputError: there is no manifest, it cannot be read, it has another schema, or it has
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
        wrong = misfits(manifest, Manifest)
        schema, sha256 = manifest.get("schema"), with_checksum(manifest)["sha256"]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        raise InputError(f"expected the manifest of records, found no such JSON: {path}") from None
    if schema != SCHEMA:
        raise InputError(
            f"expected records of schema {SCHEMA}, found schema {schema}: {path} "
            "(make them again with python -m tf_records_tools.make_records)"
        )
    if wrong:
        raise InputError(
            f"expected {', '.join(sorted(wrong)[:5])} in the manifest: {path} (make the records "
            "again with python -m tf_records_tools.make_records)"
        )
    if sha256 != manifest["sha256"]:
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
    shared: tuple[Literal["contrasts", "patch_size"], ...] = ("contrasts", "patch_size")
    for folder, manifest in zip(folders, manifests, strict=True):
        for key in shared:
            if manifest[key] != first[key]:
                raise InputError(
                    f"expected all records of {key} {first[key]}, found {manifest[key]}: {folder}"
                )
    _check_splits(manifests)
    joint: JointManifest = {
        "contrasts": first["contrasts"],
        "patch_size": first["patch_size"],
        "slice_factor": _distinct_factors(manifests)[0],
        "counts": {split: _sum([m["counts"][split] for m in manifests]) for split in SPLITS},
        "sets": manifests,
        "sha256": "",
    }
    return with_checksum(joint)


def record_folders(records: Records) -> list[Path]:
    """The folders of one set or of several."""
    return [Path(records)] if isinstance(records, str | Path) else [Path(part) for part in records]


def each_set(manifest: TrainingManifest) -> list[Manifest]:
    """The manifests of all sets that `read_sets` joined."""
    if "sets" in manifest:
        return manifest["sets"]
    return [manifest]


def slice_factors(manifest: TrainingManifest) -> list[int]:
    """The distinct slice factors of the sets, the default factor first."""
    return _distinct_factors(each_set(manifest))


def count_echoes(manifest: TrainingManifest) -> int:
    """The number of echoes of each record: 1 or 2."""
    return Contrasts(manifest["contrasts"]).echoes


def count_split(subjects: Iterable[SubjectEntry], split: str) -> SplitCounts:
    """The size of one split."""
    part = [subject for subject in subjects if subject["split"] == split]
    return {
        "subjects": len(part),
        "patients": len({subject["patient"] for subject in part}),
        "records": sum(subject["records"] for subject in part),
        "air": sum(subject["air"] for subject in part),
    }


def find_split(volume: Volume, manifests: Iterable[Manifest]) -> str | None:
    """The split in which a scan is; None if no records were made of it.

    Args:
        volume: the scan as it was read; a resliced or turned one is not recognized.
        manifests: of the records.

    Returns:
        "train", also if another set validates on the scan, "validation" or None.
    """
    scan = scan_sha256(volume)
    splits = {
        subject["split"]
        for manifest in manifests
        for subject in manifest.get("subjects", ())
        if subject.get("source_sha256") == salted_hash(manifest.get("salt", ""), scan)
    }
    return min(splits, default=None)


def scan_sha256(volume: Volume) -> str:
    """A hash of the scan's intensities; it is stored only after salting."""
    digest = hashlib.sha256(str(volume.array.shape).encode())
    digest.update(np.ascontiguousarray(volume.array).data)
    return digest.hexdigest()


def salted_hash(salt: str, sha256: str) -> str:
    """A hash that can be compared within one set of records only."""
    return hashlib.sha256(f"{salt} {sha256}".encode()).hexdigest()


def _distinct_factors(manifests: Iterable[Manifest]) -> list[int]:
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
