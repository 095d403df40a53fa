"""DICOM as a format of scans."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mrsr_tf.io.archives import is_zip
from mrsr_tf.io.dicom.derived_header import has_valid_uid
from mrsr_tf.io.dicom.exam import find_dicom_scans
from mrsr_tf.io.dicom.files import first_header
from mrsr_tf.io.dicom.provenance import derived_files, read_derivation, read_patient
from mrsr_tf.io.dicom.read import read_series
from mrsr_tf.io.dicom.write import as_stored, write_series, write_t2_map
from mrsr_tf.io.scan_format import Chosen, Derivation, Format, Scan, T2Format
from mrsr_tf.outputs.replacement import replace
from mrsr_tf.volume import Volume


@dataclass(frozen=True)
class Dicom(Format):
    """DICOM files of one scan: in a folder and below, in a zip archive, or one file."""

    endings, output_ending = (".zip",), ""

    def matches(self, path: Path) -> bool:
        """Always: only reading all files of a folder can tell what they are."""
        return True

    def choose(self, files: Sequence[Path]) -> Chosen:
        """The zip archives; other files are parts of the scan in their folder."""
        return Chosen([file for file in files if file.suffix == ".zip" and is_zip(file)], [])

    def find(self, subject: Path, path: Path, series: str | None = None) -> dict[str, Scan]:
        """The DESS of an exam, or another series that is meant, see `exam`."""
        places = find_dicom_scans(path, series)
        return {
            name: Scan(
                subject if len(places) == 1 else place, place, self, uids, name if uids else ""
            )
            for name, (place, uids) in places.items()
        }

    def read(self, scan: Scan, slice_axis: int = 2) -> Volume:
        """Reads the one scan in all the files, or in those of its series."""
        return read_series(scan.path, scan.series)

    def patient(self, scan: Scan) -> str | None:
        """PatientID, or PatientName if that is empty."""
        return read_patient(scan.path, scan.series)

    def frame_of_reference(self, scan: Scan) -> str | None:
        """FrameOfReferenceUID; None if it is missing or not valid."""
        header = first_header(scan.path, scan.series)
        if header is None or not has_valid_uid(header, "FrameOfReferenceUID"):
            return None
        return str(header.FrameOfReferenceUID)

    def write(
        self, volume: Volume, output: Path, like: Scan, derivation: Derivation, slice_axis: int = 2
    ) -> None:
        """Writes a series per echo into the study of `like`."""
        write_series(volume, output, like=like.path, series_uids=like.series, derivation=derivation)

    def replace(self, output: Path, new: Path) -> None:
        """Replaces the files that this package derived; any others stay."""
        replace(output, new, self.own_files)

    def own_files(self, output: Path) -> list[Path]:
        """Those whose DerivationDescription is by this package."""
        return derived_files(output)

    def as_stored(self, volume: Volume, like: Scan) -> Volume:
        """The volume with intensities rounded to 16 bits."""
        return as_stored(volume, like=like.path, series_uids=like.series)

    def read_derivation(self, output: Path) -> dict[str, Any] | None:
        """The DerivationDescription of the first image."""
        return read_derivation(output)

    def write_t2_map(
        self,
        t2_ms: NDArray[Any],
        volume: Volume,
        folder: Path,
        like: Scan,
        derivation: Derivation,
        t2_format: T2Format = T2Format.MR,
    ) -> None:
        """Writes the map as one series, or two, in the study of `like`."""
        write_t2_map(
            t2_ms,
            volume,
            folder,
            like=like.path,
            series_uids=like.series,
            derivation=derivation,
            t2_format=t2_format,
        )
