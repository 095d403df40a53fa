"""A scan on disk, and the interface of its format; `formats.FORMATS` lists all formats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.mri.dess import is_dess_timing
from mrsr_tf.mri.zero_filling import ADVICE, interpolated_slices
from mrsr_tf.volume import LARGEST_SCALE, SMALLEST_SCALE, Volume

Derivation = Mapping[str, Any]  # how a scan was derived, as plain JSON values


class T2Format(StrEnum):
    """What a T2 map is in a study: MR images, a Parametric Map, or both."""

    MR = "mr"
    PM = "pm"
    BOTH = "both"

    @property
    def kinds(self) -> tuple["T2Format", ...]:
        """The single kinds of objects."""
        return (T2Format.MR, T2Format.PM) if self is T2Format.BOTH else (self,)


class Chosen(NamedTuple):
    """The scans among the files of a folder.

    Attributes:
        scans: the path of each; its first file if it has several.
        left_out: names of files that are of the format but no scans that are meant.
    """

    scans: list[Path]
    left_out: list[str]


@dataclass(frozen=True)
class Scan:
    """A scan on disk; as a string it is the subject's path, by which messages name it.

    Attributes:
        subject: the subject's folder, in which labels and true maps may lie beside the scan; or
            the file.
        path: the scan itself.
        format: its format.
        series: the SeriesInstanceUIDs of those DICOM images at `path` that are the scan; empty if
            all are.
        label: distinguishes it in messages from other scans of the subject; "" without any.
    """

    subject: Path
    path: Path
    format: "Format"
    series: tuple[str, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return f"{self.subject} ({self.label})" if self.label else str(self.subject)

    def absolute(self) -> "Scan":
        """The same scan by its absolute path, for other processes."""
        return replace(self, subject=self.subject.absolute(), path=self.path.absolute())

    def read(self, slice_axis: int = 2) -> Volume:
        """Reads the scan; warns of interpolated slices and of echo times that are not a DESS's.

        Raises:
            InputError: as `Format.read`, or an echo is all zeros or has intensities that float32
                cannot compute with.
        """
        volume = self.format.read(self, slice_axis)
        self._check_intensities(volume)
        self._warn_of_echo_times(volume)
        reason = interpolated_slices(volume)
        if reason:
            logging.warning("%s: %s; %s", self, reason, ADVICE)
        return volume

    def patient(self) -> str | None:
        """What names the patient, to be compared and never to be stored or shown."""
        return self.format.patient(self)

    def _check_intensities(self, volume: Volume) -> None:
        for number, echo in enumerate(np.moveaxis(volume.array, 3, 0), 1):
            largest = max(float(echo.max()), -float(echo.min()))
            if not largest:
                raise InputError(f"expected an image, got only zeros as echo {number} of {self}")
            if not SMALLEST_SCALE <= largest <= LARGEST_SCALE:
                raise InputError(
                    f"expected a largest intensity between {SMALLEST_SCALE:g} and "
                    f"{LARGEST_SCALE:g}, got {largest:g} in echo {number} of {self}"
                )

    def _warn_of_echo_times(self, volume: Volume) -> None:
        times, tr_ms = volume.echo_times_ms, volume.repetition_time_ms
        if times is None or tr_ms is None or is_dess_timing(times, tr_ms):
            return
        if len(times) == 2:
            logging.warning(
                "expected the second echo of a DESS at 2 TR - TE1 = %g ms, got %g ms (TE1 %g, TR "
                "%g ms) in %s: its T2 map would be wrong",
                2 * tr_ms - times[0], times[1], times[0], tr_ms, self,
            )  # fmt: skip
        elif times[0] > tr_ms:  # which only the second echo of a DESS is
            logging.warning(
                "%s is the second echo of a DESS, by its echo time of %g ms and TR of %g ms, and "
                "is read without the first", self, times[0], tr_ms,
            )  # fmt: skip


class Format(Protocol):
    """How scans of a format are recognised and read, and derived scans written.

    All methods but `matches` expect a scan or a path that matches.

    Attributes:
        endings: how the names of its files end, if they have endings.
        output_ending: how the names of derived scans end; "" if they are folders.
    """

    endings: ClassVar[tuple[str, ...]]
    output_ending: ClassVar[str]

    def matches(self, path: Path) -> bool:
        """Whether the scan at `path` is of this format."""

    def choose(self, files: Sequence[Path]) -> Chosen:
        """The scans among the files of a folder that match."""
        return Chosen(list(files), [])

    def are_repeats(self, files: Sequence[Path]) -> bool:
        """Whether several files that `choose` returned are known to be a DESS each, repeated."""
        return False

    def name(self, path: Path) -> str:
        """The name of the scan in a file, without ending."""
        matching = (ending for ending in self.endings if path.name.lower().endswith(ending))
        return path.name[: len(path.name) - len(next(matching, ""))]

    def find(self, subject: Path, path: Path, series: str | None = None) -> dict[str, Scan]:
        """The scans at `path` by what distinguishes them; "" for the only one.

        `series` is the number or the description of the DICOM series that is meant.

        Raises:
            InputError: there is no scan, or no such series.
        """
        if series is not None:
            raise InputError(f"expected DICOM of which to take series {series!r}, got {path}")
        return {"": Scan(subject, path, self)}

    def read(self, scan: Scan, slice_axis: int = 2) -> Volume:
        """Reads the scan, or raises an `InputError` that names the file.

        `slice_axis` is the axis of a NIfTI image that counts slices; the other formats record it.
        """

    def patient(self, scan: Scan) -> str | None:
        """What names the patient, to be compared and never to be stored or shown; may be None."""

    def frame_of_reference(self, scan: Scan) -> str | None:
        """What only scans share whose positions are comparable; None if the format has nothing."""
        return None

    def write(
        self, volume: Volume, output: Path, like: Scan, derivation: Derivation, slice_axis: int = 2
    ) -> None:
        """Writes a scan derived from `like` to `output`, where nothing is.

        The derivation holds the `Volume.identity` of `like` as "source"; without it, `like` is
        read to add it.

        Raises:
            InputError: the header of `like` does not suit the volume.
        """

    def replace(self, output: Path, new: Path) -> None:
        """Gives the derived scan `new` the name `output`, in place of a derived scan there."""

    def own_files(self, output: Path) -> list[Path]:
        """The files of a derived scan in the folder `output`, relative to it."""
        return []

    def check_output(self, output: Path) -> None:
        """Checks that writing to `output` changes nothing beside it that is not ours.

        Raises:
            InputError: it would change a file of another image.
        """
        return

    def as_stored(self, volume: Volume, like: Scan) -> Volume:
        """The volume as it reads back after `write`, which may round intensities."""
        return volume

    def read_derivation(self, output: Path) -> dict[str, Any] | None:
        """The derivation that `write` stored; None for a scan that this package did not write."""

    def write_t2_map(
        self,
        t2_ms: NDArray[Any],
        volume: Volume,
        folder: Path,
        like: Scan,
        derivation: Derivation,
        t2_format: T2Format = T2Format.MR,
    ) -> None:
        """Writes the T2 map of `volume` into the study of `like`; warns if it cannot be in one."""
        if t2_format is not T2Format.MR:
            logging.warning(
                "expected DICOM for a Parametric Map, which is part of a study, got %s", like
            )
