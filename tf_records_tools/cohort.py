"""A cohort: splits the subjects, makes a shard of each, and describes them in the manifest."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mrsr_tf import __version__
from mrsr_tf.cli import counted
from mrsr_tf.errors import AlreadyDone, Failures, InputError
from mrsr_tf.io.archives import files_at
from mrsr_tf.io.scans import Scan, find_scans
from mrsr_tf.mri.slices import FIR_ORDER, Profile, first_slice
from mrsr_tf.outputs import check_output, output_folder, write_json
from mrsr_tf.parallel import map_in_sequence
from mrsr_tf.records.manifest import (
    MANIFEST,
    SPLITS,
    Manifest,
    SubjectEntry,
    Thickening,
    count_split,
    read_manifest,
    salted_hash,
    with_checksum,
)
from mrsr_tf.records.schema import SCHEMA
from mrsr_tf.volume import SCALE_PERCENTILE
from tf_records_tools.patients import BY_PATIENT, BY_SCAN, BY_TABLE, patient_numbers
from tf_records_tools.shard import Settings, Subject, make_shard, summarize_scan

Work = Callable[[Subject], None]
# Does the work on every subject, in any order, and raises the work's own InputError. The other
# arguments are the title of the progress bar and the bytes of memory that a worker needs.
Run = Callable[[Work, Sequence[Subject], str, int], None]
# Peak memory of a worker per byte that it reads, measured on scans of 416x416x160x2.
SUMMARY_MEMORY, SHARD_MEMORY = 12, 8


def make_records(
    inputs: Sequence[str | Path],
    output: str | Path,
    settings: Settings,
    *,
    validation_subjects: int | None = None,
    group_by: str = BY_PATIENT,
    series: str | None = None,
    run: Run = map_in_sequence,
    report: Callable[[str], object] = lambda message: None,
    overwrite: bool = False,
) -> Manifest:
    """Makes the records of all subjects in `inputs`.

    All scans are read before anything is written, so that an unsuitable one is refused at once,
    and again when their records are made. The same call continues an interrupted one. It keeps a
    shard only if the scan has not changed.

    Args:
        inputs: folders that hold a folder or a file per subject.
        output: the folder to make.
        settings: what determines a subject's records.
        validation_subjects: number of patients for validation; None for a quarter.
        group_by: which scans are of one patient, see `tf_records_tools.patients`.
        series: which series of exams in DICOM, see `mrsr_tf.io.scans.find_scans`.
        run: does the work on all subjects; the records do not depend on it.
        report: called with each line about the amount of work.
        overwrite: whether to remove an existing output and start anew.

    Raises:
        AlreadyDone: the output is finished.
        InputError: a scan cannot be read or does not suit the settings, a subject comes twice,
            there are too few of them, or the disk is too small.
    """
    tables = [] if group_by in (BY_PATIENT, BY_SCAN) else [group_by]
    check_output(output, [*inputs, *tables])
    scans = find_subjects(inputs, series)
    if not scans:
        raise InputError(f"expected a folder or a file per subject, found none in {inputs}")
    first_slice(settings.profile, settings.slice_factor)  # refuses an unknown profile
    patient_of_scan = patient_numbers(scans, group_by)
    patients = shuffle_patients(patient_of_scan, settings.seed)
    shards = shard_names([len(indices) for indices in patients], validation_subjects)
    report(f"{counted(len(scans), 'scan')} of {counted(len(patients), 'patient')}")
    scan_bytes = {str(scan): _count_bytes(scan.path) for _, scan in scans}
    configuration = {
        "schema": SCHEMA,
        **asdict(settings),
        "group_by": group_by if group_by in (BY_PATIENT, BY_SCAN) else BY_TABLE,
        "patients": len(patients),
        "patient_of_scan": hashlib.sha256(str(patient_of_scan).encode()).hexdigest()[:16],
        "subjects": len(scans),
        "validation_subjects": sum(name.startswith("validation") for name in shards),
    }
    order = [(patient, scans[i][1]) for patient, indices in enumerate(patients) for i in indices]
    records = output_folder(
        output,
        configuration,
        command="tf_records_tools.make_records",
        overwrite=overwrite,
        resume=True,
    )
    with _same_scans(output, scans, settings), records as folder:
        subjects = [
            Subject(number, patient, scan.absolute(), folder.absolute() / shard, settings)
            for number, ((patient, scan), shard) in enumerate(zip(order, shards, strict=True))
        ]
        # Of what a killed call left, only the shards and their descriptions are kept.
        _clear(folder, "*.summary.json", "partial.*", MANIFEST)
        try:
            _make_shards(folder, subjects, run, report, max(scan_bytes.values()))
            manifest = build_manifest(settings, subjects, configuration["group_by"])
        finally:
            _clear(folder, "*.summary.json", "partial.*")
        write_json(folder / MANIFEST, manifest)
        _clear(folder, "*.info.json")
    return manifest


def find_subjects(
    inputs: Sequence[str | Path], series: str | None = None
) -> list[tuple[str, Scan]]:
    """The names and scans of all subjects.

    Subjects without a usable scan are refused all at once: a training set must not lack a subject
    that was meant, and the split depends on how many there are.

    Raises:
        InputError: there are such subjects, or none at all.
    """
    failures = Failures()
    scans = [
        named for folder in inputs for named in find_scans(folder, series, failures.add).items()
    ]
    total = len(scans) + len(failures.subjects)
    failures.check(total, "subject", "nothing was made, as the split depends on all subjects")
    return scans


def shuffle_patients(patient_of_scan: Sequence[int], seed: int) -> list[list[int]]:
    """The indices of each patient's scans, in an order of patients that the input does not show."""
    shuffled = np.random.default_rng(seed).permutation(len(set(patient_of_scan)))
    indices: dict[int, list[int]] = {patient: [] for patient in shuffled.tolist()}
    for index, patient in enumerate(patient_of_scan):
        indices[patient].append(index)
    return list(indices.values())


def shard_names(
    scans_per_patient: Sequence[int], validation_subjects: int | None = None
) -> list[str]:
    """The name of each scan's shard; the scans of the last patients are for validation.

    Args:
        scans_per_patient: number of scans of each patient.
        validation_subjects: number of patients for validation; None for a quarter.

    Raises:
        InputError: no patient is left for training.
    """
    patients, scans = len(scans_per_patient), sum(scans_per_patient)
    validation = validation_subjects
    if validation is None:
        validation = 0 if scans == 1 else max(1, round(patients / 4))
    if not 0 <= validation < patients:
        advice = f" ({scans} scans; if all only share an anonymiser's PatientID, use "
        advice += "--group_by=scan for a patient in each scan or --group_by=TABLE.csv)"
        raise InputError(
            f"expected fewer validation subjects than the {patients} there are, got "
            f"{validation}{'' if scans == patients else advice}"
        )
    trained = sum(scans_per_patient[: patients - validation])
    return [
        f"{split}-{number:05d}-of-{total:05d}.tfrecord"
        for split, total in zip(SPLITS, (trained, scans - trained), strict=True)
        for number in range(total)
    ]


def build_manifest(settings: Settings, subjects: Sequence[Subject], group_by: str) -> Manifest:
    """The description of the records, without anything that identifies a patient.

    Scans are named by salted hashes. The salt is derived from all scans together: a cohort has the
    same hashes in every set made of it, and a scan cannot be recognized in another cohort. A hash
    covers all voxels of the scan, so only those who have the scans can compute it.

    Raises:
        InputError: a scan has changed since the first pass.
    """
    unfinished = [subject.shard.name for subject in subjects if not subject.is_finished]
    if unfinished:
        raise InputError(
            f"expected scans that stay as they are while records are made of them, found another "
            f"for {', '.join(unfinished)}: the same call makes these again"
        )
    hashes = sorted(subject.summary.scan_sha256 for subject in subjects)
    salt = hashlib.sha256("".join(hashes).encode()).hexdigest()[:32]
    entries = [_manifest_entry(subject, salt) for subject in subjects]
    spacing = np.array([entry["spacing_mm"] for entry in entries])
    manifest: Manifest = {
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
        "thickening": _describe_thickening(settings),
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
    return with_checksum(manifest)


def _describe_thickening(settings: Settings) -> Thickening:
    first = first_slice(settings.profile, settings.slice_factor)
    thickening: Thickening = {"profile": settings.profile, "first_slice": first}
    return thickening | {"order": FIR_ORDER} if settings.profile == Profile.FIR else thickening


def _manifest_entry(subject: Subject, salt: str) -> SubjectEntry:
    info = subject.info
    for key in ("records_sha256", "source_sha256", "source_identity"):
        info[key] = salted_hash(salt, info[key])
    return {
        "number": subject.number,
        "patient": subject.patient,
        "split": subject.shard.name.split("-")[0],
        "shard": subject.shard.name,
        **info,
    }


def _make_shards(
    folder: Path,
    subjects: Sequence[Subject],
    run: Run,
    report: Callable[[str], object],
    largest_scan: int,
) -> None:
    run(summarize_scan, subjects, "scans read", SUMMARY_MEMORY * largest_scan)
    _check_distinct(subjects)
    unfinished = [subject for subject in subjects if not subject.is_finished]
    needed = sum(subject.summary.shard_bytes for subject in unfinished)
    records = sum(subject.summary.records for subject in unfinished)
    free = shutil.disk_usage(folder).free
    report(
        f"{len(unfinished)} of {counted(len(subjects), 'subject')} to make: {records} patches, "
        f"{needed / 1e9:.2f} GB, {free / 1e9:.2f} GB free"
    )
    if needed > free:
        raise InputError(
            f"expected {needed / 1e9:.2f} GB of free disk for {records} records, found "
            f"{free / 1e9:.2f} GB in {folder}"
        )
    largest = max(subject.summary.array_bytes for subject in subjects)
    run(make_shard, unfinished, "subjects done", SHARD_MEMORY * largest)


def _check_distinct(subjects: Sequence[Subject]) -> None:
    scans: dict[str, Scan] = {}
    for subject in subjects:
        first = scans.setdefault(subject.summary.scan_sha256, subject.scan)
        if first is not subject.scan:
            raise InputError(f"expected each scan once, got one twice: {first}, {subject.scan}")


@contextmanager
def _same_scans(
    records: str | Path, scans: Sequence[tuple[str, Scan]], settings: Settings
) -> Iterator[None]:
    """Raises `InputError` instead of `AlreadyDone` if finished records are of other scans."""
    try:
        yield
    except AlreadyDone:
        manifest = read_manifest(records)
        sources = {subject.get("source_identity") for subject in manifest["subjects"]}
        for _, scan in scans:
            identity = scan.read(settings.slice_axis).identity
            if salted_hash(manifest["salt"], identity) not in sources:
                raise InputError(
                    f"expected the scans that {records} was made of, got another: {scan} "
                    "(--overwrite starts again)"
                ) from None
        raise


def _clear(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


def _count_bytes(path: Path) -> int:
    files = files_at(path) if path.is_dir() else [path]
    return sum(Path(str(file)).stat().st_size for file in files)
