"""Exams in DICOM for tests: several series, in the layouts in which archives export them."""

import hashlib
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dicom_studies import write_study
from pydicom.uid import generate_uid
from random_scans import make_array

LAYOUTS = ("folders", "flat", "nested", "zip", "flat zip")


@dataclass(frozen=True)
class SeriesOfExam:
    """A series, or two for a DESS of one series per echo.

    Attributes:
        number, description: of the series; a second one has the next number.
        echo_times_ms, tr_ms: None leaves them out.
        split: whether each echo is a series.
        derived: whether it was computed from another series.
    """

    number: int
    description: str
    echo_times_ms: tuple[float, ...] = (7.0,)
    tr_ms: float | None = 23.0
    split: bool = False
    derived: bool = False

    @property
    def array(self) -> np.ndarray:
        """The stored values: (rows, cols, slices, echoes)."""
        return make_array((4, 3, 4), echoes=len(self.echo_times_ms), seed=self.number)


LOCALIZER = SeriesOfExam(1, "3-pl T2* FGRE", (1.6,), 5.0)
PD = SeriesOfExam(2, "Sag PD FS", (30.0,), 3000.0)
T1 = SeriesOfExam(3, "Cor T1", (12.0,), 600.0)
DESS = SeriesOfExam(5, "Sag 3D WE", (7.0, 39.0))
DESS_OF_TWO_SERIES = SeriesOfExam(5, "Sag 3D WE", (7.0, 39.0), split=True)
REPEAT = SeriesOfExam(8, "Sag 3D WE", (7.0, 39.0))


def write_exam(
    path: Path, series: Sequence[SeriesOfExam], layout: str = "folders", *, one_frame: bool = True
) -> Path:
    """Writes an exam; `path` is a folder, or the archive for the layouts of zip.

    The series of an exam share the study and, if `one_frame`, the frame of reference.
    """
    folder = path.with_suffix("") if "zip" in layout else path
    study, frame = generate_uid(None), generate_uid(None)
    for item in series:
        _write_series(folder, item, layout, study, frame if one_frame else generate_uid(None))
    if "zip" not in layout:
        return path
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            archive.write(file, file.relative_to(folder))
    shutil.rmtree(folder)
    return path


def _write_series(folder: Path, item: SeriesOfExam, layout: str, study: str, frame: str) -> None:
    def change(header, index, echo):
        header.StudyInstanceUID, header.FrameOfReferenceUID = study, frame
        header.SeriesDescription = item.description
        header.SeriesNumber = item.number + (echo if item.split else 0)
        header.ImageType = ["DERIVED" if item.derived else "ORIGINAL", "PRIMARY", "OTHER"]
        header.EchoTime, header.RepetitionTime = f"{item.echo_times_ms[echo]:g}", item.tr_ms

    name = f"{item.number:03d}_{{slice}}_{{echo}}"
    if layout in ("folders", "zip"):
        name = (
            f"{item.number:03d}_series{{echo}}/{name}"
            if item.split
            else f"{item.number:03d}/{name}"
        )
    elif layout == "nested":
        name = f"{item.number:03d}/a/{{echo}}/{name}"
    write_study(folder, item.array, one_series=not item.split, name=name, change=change)


def digest_tree(path: Path) -> str:
    """A hash of the names and contents of all files at a path."""
    digest = hashlib.sha256()
    for file in [path, *sorted(path.rglob("*"))]:
        digest.update(str(file.relative_to(path)).encode())
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()
