"""The interface of a format of scans; `formats.FORMATS` lists all formats."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from mrsr_tf.volume import Volume

Derivation = Mapping[str, Any]  # how a scan was derived, as plain JSON values


class Format(Protocol):
    """How scans of a format are recognised, read and identified, and derived scans written.

    All methods but `matches` expect a path that matches.

    Attributes:
        endings: how the names of its files end, if they have endings.
        output_ending: how the names of derived scans end; "" if they are folders.
    """

    endings: ClassVar[tuple[str, ...]]
    output_ending: ClassVar[str]

    def matches(self, path: Path) -> bool:
        """Whether the scan at `path` is of this format."""

    def is_scan_file(self, path: Path) -> bool:
        """Whether a file that matches is a scan by itself, and not only a part of one."""
        return True

    def read(self, path: Path, slice_axis: int = 2) -> Volume:
        """Reads the scan, or raises an `InputError` that names the file.

        `slice_axis` is the axis of a NIfTI image that counts slices; the other formats record it.
        """

    def identity(self, path: Path) -> str:
        """16 hexadecimal digits that identify the scan without saying whose it is."""

    def patient(self, path: Path) -> str | None:
        """What names the patient, to be compared and never to be stored or shown; may be None."""

    def write(
        self, volume: Volume, output: Path, like: Path, derivation: Derivation, slice_axis: int = 2
    ) -> None:
        """Writes a scan derived from `like`, replacing what is at `output` once it is whole.

        The identity of `like` is added to the derivation as "source".

        Raises:
            InputError: the header of `like` does not suit the volume.
        """

    def read_derivation(self, output: Path) -> dict[str, Any] | None:
        """The derivation that `write` stored; None for a scan that this package did not write."""

    def write_t2_map(
        self, t2_ms: NDArray[Any], volume: Volume, folder: Path, like: Path, derivation: Derivation
    ) -> None:
        """Writes the T2 map of `volume` into the study of `like`, if the format has studies."""
        return
