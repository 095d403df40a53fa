"""The registry of formats, and `Scan`: a path whose format is known.

A new format is one class that implements `scan_format.Format`, and one entry in `FORMATS`.
"""

from dataclasses import dataclass
from pathlib import Path

from absl import logging

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom import Dicom
from mrsr_tf.io.nifti import Nifti
from mrsr_tf.io.scan_format import Format
from mrsr_tf.io.skm_tea import SkmTea
from mrsr_tf.io.zipped_nifti import ZippedNifti
from mrsr_tf.mri.dess import is_dess_timing
from mrsr_tf.mri.zero_filling import ADVICE, interpolated_slices
from mrsr_tf.volume import Volume

# The first that matches reads the scan. DICOM is last: it matches any path.
FORMATS: tuple[Format, ...] = (Nifti(), ZippedNifti(), SkmTea(), Dicom())


def format_of(path: Path) -> Format:
    """The format of the scan, or of the derived scan, at `path`."""
    return next(scan_format for scan_format in FORMATS if scan_format.matches(path))


@dataclass(frozen=True)
class Scan:
    """A scan on disk; as a string it is the subject's path, by which messages name it.

    Attributes:
        subject: the subject's folder, in which labels and true maps may lie beside the scan; or
            the file.
        path: the scan itself.
        format: its format.
    """

    subject: Path
    path: Path
    format: Format

    def __str__(self) -> str:
        return str(self.subject)

    def absolute(self) -> "Scan":
        """The same scan by its absolute path, for other processes."""
        return Scan(self.subject.absolute(), self.path.absolute(), self.format)

    def read(self, slice_axis: int = 2) -> Volume:
        """Reads the scan; warns of interpolated slices and of echo times that are not a DESS's.

        Raises:
            InputError: as `Format.read`, or an echo is all zeros.
        """
        volume = self.format.read(self.path, slice_axis)
        for echo in range(volume.echoes):
            if not volume.array[..., echo].any():
                raise InputError(f"expected an image, got only zeros as echo {echo + 1} of {self}")
        self._warn_of_echo_times(volume)
        reason = interpolated_slices(volume)
        if reason:
            logging.warning("%s: %s; %s", self, reason, ADVICE)
        return volume

    def identity(self) -> str:
        """16 hexadecimal digits that identify the scan without saying whose it is."""
        return self.format.identity(self.path)

    def patient(self) -> str | None:
        """What names the patient, to be compared and never to be stored or shown."""
        return self.format.patient(self.path)

    def _warn_of_echo_times(self, volume: Volume) -> None:
        times, tr_ms = volume.echo_times_ms, volume.repetition_time_ms
        if times is None or tr_ms is None or len(times) != 2 or is_dess_timing(times, tr_ms):
            return
        logging.warning(
            "expected the second echo of a DESS at 2 TR - TE1 = %g ms, got %g ms (TE1 %g, TR %g "
            "ms) in %s: its T2 map would be wrong",
            2 * tr_ms - times[0], times[1], times[0], tr_ms, self,
        )  # fmt: skip
