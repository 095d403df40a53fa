"""A cohort: subjects are split, each becomes a shard, and the manifest says how."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mrsr_tf import __version__
from mrsr_tf.cli import counted
from mrsr_tf.errors import InputError
from mrsr_tf.io.scans import Scan, find_scans
from mrsr_tf.mri.slices import FIR_ORDER, first_slice
from mrsr_tf.outputs import output_folder, write_json
from mrsr_tf.parallel import map_in_sequence
from mrsr_tf.records.manifest import (
    MANIFEST,
    SPLITS,
    Manifest,
    SubjectEntry,
    count_split,
    salted_hash,
    with_checksum,
)
from mrsr_tf.records.schema import SCHEMA
from mrsr_tf.volume import SCALE_PERCENTILE
from tf_records_tools.patients import BY_PERSON, BY_SCAN, patient_numbers
from tf_records_tools.shard import Settings, Subject, make_shard, survey_scan

Work = Callable[[Subject], None]
# Does the work on every subject, in any order; given are also what the progress bar calls them and
# how many bytes of memory a worker needs. Raises the work's own InputError.
Run = Callable[[Work, Sequence[Subject], str, int], None]
# Peak memory of a worker, by the bytes of what it reads: measured on scans of 416x416x160x2.
SURVEY_MEMORY, SHARD_MEMORY = 12, 8
DUMMY = (
    "where all only share an anonymiser's PatientID, --group_by=scan takes each for a person and "
    "--group_by=TABLE.csv says who is who"
)


def make_records(
    inputs: Sequence[str | Path],
    output: str | Path,
    settings: Settings,
    *,
    validation_subjects: int | None = None,
    group_by: str = BY_PERSON,
    run: Run = map_in_sequence,
    tell: Callable[[str], object] = lambda message: None,
    overwrite: bool = False,
) -> Manifest:
    """Makes the records of all subjects found in `inputs`.

    All scans are read before anything is written, so that one that will not do is found at once,
    and again when it is their turn. An interrupted call goes on with the subjects that it had not
    finished; a shard is kept only if the scan is still the one it was made from.

    Args:
        inputs: folders that hold a folder or a file per subject.
        output: the folder to make.
        settings: what decides a subject's records.
        validation_subjects: how many persons are for validation only; None for a quarter.
        group_by: who is one person, see `tf_records_tools.patients`.
        run: does the work on all subjects; the records are the same whatever does it.
        tell: is told how much there is to do.
        overwrite: remove what stands at `output` and start anew.

    Returns:
        The manifest.

    Raises:
        AlreadyDone: the records are there.
        InputError: a scan cannot be read or does not suit the settings, a subject comes twice,
            there are too few of them, or the disk is too small.
    """
    found = [named for folder in inputs for named in find_scans(folder).items()]
    if not found:
        raise InputError(f"expected a folder or a file per subject, found none in {inputs}")
    first_slice(settings.profile, settings.slice_factor)
    of_person = grouped(patient_numbers(found, group_by), settings.seed)
    shards = split([len(places) for places in of_person], validation_subjects)
    tell(f"{counted(len(found), 'scan')} of {counted(len(of_person), 'person')}")
    bytes_of = {str(scan): _bytes(scan.path) for _, scan in found}
    configuration = {
        "schema": SCHEMA,
        **asdict(settings),
        "group_by": group_by if group_by in (BY_PERSON, BY_SCAN) else "table",
        "patients": len(of_person),
        "subjects": len(found),
        "validation_subjects": sum(name.startswith("validation") for name in shards),
        "source_bytes": sum(bytes_of.values()),
    }
    order = [(person, place) for person, places in enumerate(of_person) for place in places]
    with output_folder(output, configuration, overwrite=overwrite, resume=True) as folder:
        subjects = [
            Subject(number, person, found[place][1].absolute(), folder.absolute() / shard, settings)
            for number, ((person, place), shard) in enumerate(zip(order, shards, strict=True))
        ]
        # What a killed call left of its own is not believed, but for shards and their facts.
        _clear(folder, "*.survey.json", "partial.*", MANIFEST)
        try:
            _make_shards(folder, subjects, run, tell, max(bytes_of.values()))
            made = manifest(settings, subjects, configuration["group_by"])
        finally:
            _clear(folder, "*.survey.json", "partial.*")
        write_json(folder / MANIFEST, made)
        _clear(folder, "*.facts.json")
    return made


def grouped(person_of: Sequence[int], seed: int) -> list[list[int]]:
    """Each person's places among the scans; a person's number says nothing of the input's order."""
    shuffled = np.random.default_rng(seed).permutation(len(set(person_of)))
    places: dict[int, list[int]] = {number: [] for number in shuffled.tolist()}
    for place, person in enumerate(person_of):
        places[person].append(place)
    return list(places.values())


def split(scans_of: Sequence[int], validation_subjects: int | None = None) -> list[str]:
    """The shards' names, one for each scan: training first, then the last persons' for validation.

    Args:
        scans_of: how many scans each person has.
        validation_subjects: how many persons; None for a quarter.

    Raises:
        InputError: nobody is left for training.
    """
    there, every = len(scans_of), sum(scans_of)
    validation = validation_subjects
    if validation is None:
        validation = 0 if every == 1 else max(1, round(there / 4))
    if not 0 <= validation < there:
        scans_each = "" if every == there else f" ({every} scans; {DUMMY})"
        raise InputError(
            f"expected fewer validation subjects than the {there} there are, got "
            f"{validation}{scans_each}"
        )
    trained = sum(scans_of[: there - validation])
    return [
        f"{name}-{number:05d}-of-{total:05d}.tfrecord"
        for name, total in (("train", trained), ("validation", every - trained))
        for number in range(total)
    ]


def manifest(settings: Settings, subjects: Sequence[Subject], group_by: str) -> Manifest:
    """Everything that made the records, and nothing of who is in them.

    Scans are named by salted hashes. The salt is made of all scans together: the same cohort has
    the same hashes in every set made of it, and no scan is recognised from cohort to cohort. Nor
    can a hash be guessed: it is of all the voxels of a scan, and only who has them can make it.

    Raises:
        InputError: not all shards are made of the scans as they were found.
    """
    unfinished = [subject.shard.name for subject in subjects if not subject.is_made]
    if unfinished:
        raise InputError(
            f"expected scans that stay as they are while records are made of them, found another "
            f"for {', '.join(unfinished)}: the same call makes these anew"
        )
    salt = salt_of([subject.facts["scan_sha256"] for subject in subjects])
    entries = [_manifest_entry(subject, salt) for subject in subjects]
    spacing = np.array([entry["spacing_mm"] for entry in entries])
    made: Manifest = {
        "schema": SCHEMA,
        "mrsr_tf_version": __version__,
        "contrasts": settings.contrasts,
        "patch_size": [settings.patch_size] * 3,
        "stride": [settings.stride] * 3,
        "slice_factor": settings.slice_factor,
        "profile": settings.profile,
        "air_below": settings.air_below,
        "allow_interpolated": settings.allow_interpolated,
        "seed": settings.seed,
        "slice_axis": settings.slice_axis,
        "thickening": _thickening(settings),
        "interpolation": "tricubic",
        "scale": f"percentile {SCALE_PERCENTILE} of the thick, interpolated volume, all echoes",
        "single_of_two_echoes": "root of the sum of squares",
        "storage": "uint16 levels between a subject's extremes, input and target each",
        "spacing_mm": {"min": spacing.min(0).tolist(), "max": spacing.max(0).tolist()},
        "group_by": group_by,
        "counts": {split: count_split(entries, split) for split in SPLITS},
        "salt": salt,
        "subjects": entries,
        "sha256": "",
    }
    return with_checksum(made)


def salt_of(scans_sha256: Sequence[str]) -> str:
    """What the hashes of a cohort's scans are salted with."""
    return hashlib.sha256("".join(sorted(scans_sha256)).encode()).hexdigest()[:32]


def _thickening(settings: Settings) -> dict[str, Any]:
    order = {"order": FIR_ORDER} if settings.profile == "fir" else {}
    first = first_slice(settings.profile, settings.slice_factor)
    return {"profile": settings.profile, **order, "first_slice": first}


def _make_shards(
    folder: Path,
    subjects: Sequence[Subject],
    run: Run,
    tell: Callable[[str], object],
    largest_scan: int,
) -> None:
    run(survey_scan, subjects, "scans read", SURVEY_MEMORY * largest_scan)
    _check_each_once(subjects)
    left = [subject for subject in subjects if not subject.is_made]
    _check_room(folder, subjects, left, tell)
    largest = max(subject.survey["array_bytes"] for subject in subjects)
    run(make_shard, left, "subjects done", SHARD_MEMORY * largest)


def _manifest_entry(subject: Subject, salt: str) -> SubjectEntry:
    info = subject.facts
    source = salted_hash(salt, info.pop("scan_sha256"))
    info["records_sha256"] = salted_hash(salt, info["records_sha256"])
    entry: Any = {
        "number": subject.number,
        "patient": subject.patient,
        "split": subject.shard.name.split("-")[0],
        "shard": subject.shard.name,
        **info,
        "source_sha256": source,
    }
    return entry


def _check_each_once(subjects: Sequence[Subject]) -> None:
    seen: dict[str, Scan] = {}
    for subject in subjects:
        first = seen.setdefault(subject.survey["scan_sha256"], subject.scan)
        if first is not subject.scan:
            raise InputError(f"expected each scan once, got one twice: {first}, {subject.scan}")


def _check_room(
    folder: Path,
    subjects: Sequence[Subject],
    left: Sequence[Subject],
    tell: Callable[[str], object],
) -> None:
    """Tells how much there is to write; `InputError` where the disk has no room for it."""
    needed = sum(subject.survey["shard_bytes"] for subject in left)
    records = sum(subject.survey["records"] for subject in left)
    free = shutil.disk_usage(folder).free
    tell(
        f"{len(left)} of {counted(len(subjects), 'subject')} to make: {records} patches, "
        f"{needed / 1e9:.2f} GB, {free / 1e9:.2f} GB free"
    )
    if needed > free:
        raise InputError(
            f"expected {needed / 1e9:.2f} GB of free disk for {records} records, found "
            f"{free / 1e9:.2f} GB in {folder}"
        )


def _clear(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
