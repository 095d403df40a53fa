"""Which scans are of one person: two visits, or both knees, belong on one side of a split.

Who it is stays here: what is read is compared, and then forgotten.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from mrsr_tf.errors import InputError
from mrsr_tf.io import nifti, skm_tea, zipped_nifti
from mrsr_tf.io.dicom.files import first_header
from mrsr_tf.io.discovery import scan_path

BY_PERSON, BY_SCAN = "person", "scan"
SUBJECT, PERSON = "subject", "person"
KEYS = ("PatientID", "PatientName")
# BIDS has sub-01/ses-1/anat/sub-01_ses-1_qdess.nii.gz at the deepest.
BIDS_PERSON, BIDS_DEPTH = re.compile(r"(?:^|_)(sub-[A-Za-z0-9]+)"), 4


def persons(scans: Sequence[tuple[str, Path]], group_by: str = BY_PERSON) -> list[int]:
    """The number of each scan's person: 0 for that of the first scan, then as they appear.

    Args:
        scans: names and paths, as `find_subjects` gives them.
        group_by: "person" for what the scans say themselves (`named_person`), "scan" for a person
            each, else the path of a CSV table with the columns subject and person.

    Raises:
        InputError: a header cannot be read, or the table cannot or lacks a subject.
    """
    if group_by == BY_SCAN:
        return list(range(len(scans)))
    if group_by == BY_PERSON:
        named = [named_person(path) for _, path in scans]
    else:
        table = _read_table(Path(group_by))
        missing = [name for name, _ in scans if name not in table]
        if missing:
            raise InputError(f"expected a person for each subject, found none for {missing[0]} "
                             f"({len(missing)} in all): {group_by}")  # fmt: skip
        named = [table[name] for name, _ in scans]
    numbers: dict[str | int, int] = {}
    return [
        numbers.setdefault(place if person is None else person, len(numbers))
        for place, person in enumerate(named)
    ]


def named_person(path: str | Path) -> str | None:
    """What names the person of a scan: to be compared with others', never to be kept or shown.

    It is PatientID of a DICOM header, else PatientName (an SKM-TEA file's are those of the DICOM
    beside it), and BIDS's sub-<label> of a NIfTI; None where nothing does.
    """
    scan = scan_path(path)
    if nifti.is_nifti(scan) or zipped_nifti.holds_nifti(scan):
        names = [BIDS_PERSON.search(name) for name in scan.absolute().parts[-BIDS_DEPTH:]]
        return next((found[1] for found in reversed(names) if found), None)
    told_by = skm_tea.dicom_beside(scan) if skm_tea.is_scan(scan) else scan
    header = None if told_by is None else first_header(told_by)
    told = (str(header.get(key) or "").strip() for key in KEYS) if header else ()
    return next(filter(None, told), None)


def _read_table(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
            return {row[SUBJECT].strip(): row[PERSON].strip() for row in rows}
    except (OSError, ValueError, KeyError, AttributeError, csv.Error):
        raise InputError(
            f"expected {BY_PERSON}, {BY_SCAN} or a CSV table of the columns {SUBJECT} and "
            f"{PERSON}, got {path}"
        ) from None
