"""Which scans are of one patient: two visits, or both knees, belong on one side of a split.

What names a patient is only compared, never stored.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from mrsr_tf.errors import InputError
from mrsr_tf.io.scans import Scan

BY_PATIENT, BY_SCAN, BY_TABLE = "patient", "scan", "table"


def patient_numbers(scans: Sequence[tuple[str, Scan]], group_by: str = BY_PATIENT) -> list[int]:
    """The number of each scan's patient, from 0 in order of appearance.

    Args:
        scans: names and scans, as `find_scans` returns them.
        group_by: "patient" for the patients that the scans name themselves (`Scan.patient`), "scan"
            for a different patient in each scan, else the path of a CSV table with the columns
            subject and patient.

    Raises:
        InputError: a header or the table cannot be read, or the table lacks a subject.
    """
    if group_by == BY_SCAN:
        return list(range(len(scans)))
    if group_by == BY_PATIENT:
        patients = [scan.patient() for _, scan in scans]
    else:
        table = _read_table(Path(group_by))
        missing = [name for name, _ in scans if name not in table]
        if missing:
            raise InputError(f"expected a patient for each subject, found none for {missing[0]} "
                             f"({len(missing)} in all): {group_by}")  # fmt: skip
        patients = [table[name] for name, _ in scans]
    numbers: dict[str | int, int] = {}
    return [
        numbers.setdefault(index if patient is None else patient, len(numbers))
        for index, patient in enumerate(patients)
    ]


def _read_table(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
            return {row["subject"].strip(): row["patient"].strip() for row in rows}
    except (OSError, ValueError, KeyError, AttributeError, csv.Error):
        raise InputError(
            f"expected {BY_PATIENT}, {BY_SCAN} or a CSV table of the columns subject and patient, "
            f"got {path}"
        ) from None
