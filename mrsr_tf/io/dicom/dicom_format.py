"""DICOM as a format of scans."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mrsr_tf.io.archives import is_zip
from mrsr_tf.io.dicom.files import first_header
from mrsr_tf.io.dicom.provenance import read_derivation, source_digest
from mrsr_tf.io.dicom.read import read_series
from mrsr_tf.io.dicom.write import write_series, write_t2_map
from mrsr_tf.io.scan_format import Derivation, Format
from mrsr_tf.outputs import exclusive_lock
from mrsr_tf.volume import Volume


@dataclass(frozen=True)
class Dicom(Format):
    """DICOM files of one scan: in a folder and below, in a zip archive, or one file."""

    endings, output_ending = (".zip",), ""

    def matches(self, path: Path) -> bool:
        """Always: only reading all files of a folder can tell what they are."""
        return True

    def is_scan_file(self, path: Path) -> bool:
        """Whether it is a zip archive; files are parts of the scan in their folder."""
        return path.suffix == ".zip" and is_zip(path)

    def read(self, path: Path, slice_axis: int = 2) -> Volume:
        """Reads the one scan in all the files."""
        return read_series(path)

    def identity(self, path: Path) -> str:
        """A hash of the SOPInstanceUIDs."""
        return source_digest(path)

    def patient(self, path: Path) -> str | None:
        """PatientID, or PatientName if that is empty."""
        header = first_header(path)
        names = (header.get("PatientID"), header.get("PatientName")) if header else ()
        return next(filter(None, (str(name or "").strip() for name in names)), None)

    def write(
        self, volume: Volume, output: Path, like: Path, derivation: Derivation, slice_axis: int = 2
    ) -> None:
        """Writes a series per echo into the study of `like`."""
        partial = output.with_name(output.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(partial):
            for remnant in partial.iterdir():  # of an interrupted call
                remnant.unlink()
            try:
                write_series(volume, partial, like=like, derivation=derivation)
                shutil.rmtree(output, ignore_errors=True)
                partial.rename(output)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def read_derivation(self, output: Path) -> dict[str, Any] | None:
        """The DerivationDescription of the first image."""
        return read_derivation(output)

    def write_t2_map(
        self, t2_ms: NDArray[Any], volume: Volume, folder: Path, like: Path, derivation: Derivation
    ) -> None:
        """Writes the map as a series in the study of `like`."""
        write_t2_map(t2_ms, volume, folder, like=like, derivation=derivation)
