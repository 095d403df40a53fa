"""The interface of a format of scans. `formats.FORMATS` lists those that there are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.volume import Volume


class Format(ABC):
    """A format of scans on disk: how they are recognised, read and identified.

    A scan derived from one of this format is written in the format's own way, too. All methods
    but `matches` and `is_output_name` expect paths for which these return true.

    Attributes:
        name: of the format, for messages.
        output_kind: in words, what the path of a derived scan has to be.
    """

    name: ClassVar[str]
    output_kind: ClassVar[str]

    @abstractmethod
    def matches(self, path: Path) -> bool:
        """Whether the scan at `path` is of this format."""

    def is_scan_file(self, path: Path) -> bool:
        """Whether a file that matches is a scan by itself, and not only a part of one."""
        return True

    @abstractmethod
    def read(self, path: Path, slice_axis: int = 2) -> Volume:
        """Reads the scan.

        Args:
            path: a file or folder.
            slice_axis: which axis of a NIfTI image counts slices; the other formats record it.

        Raises:
            InputError: it cannot be read as one scan; the message names the file.
        """

    @abstractmethod
    def identity(self, path: Path) -> str:
        """16 hexadecimal digits that identify the scan without saying whose it is."""

    @abstractmethod
    def patient(self, path: Path) -> str | None:
        """What names the patient, to be compared and never to be stored or shown.

        None where nothing does.
        """

    @abstractmethod
    def output_name(self, name: str) -> str:
        """The name of the file or folder for a derived scan of the subject `name`."""

    @abstractmethod
    def is_output_name(self, path: Path) -> bool:
        """Whether a derived scan can be written under this name."""

    @abstractmethod
    def write(
        self,
        volume: Volume,
        output: Path,
        *,
        like: Path,
        derivation: Mapping[str, Any],
        slice_axis: int = 2,
    ) -> None:
        """Writes a derived scan, which replaces what is at `output` once it is whole.

        Args:
            volume: the derived scan.
            output: a path for which `is_output_name` is true.
            like: the scan that it was derived from.
            derivation: how it was derived, as plain JSON values; the identity of `like` is added.
            slice_axis: which axis of a NIfTI image shall count slices.

        Raises:
            InputError: the header of `like` does not suit the volume.
        """

    @abstractmethod
    def read_derivation(self, output: Path) -> dict[str, Any] | None:
        """The derivation that `write` stored; None for a scan that this package did not write."""

    @abstractmethod
    def write_t2_map(
        self,
        t2_ms: NDArray[np.floating],
        volume: Volume,
        folder: Path,
        *,
        like: Path,
        derivation: Mapping[str, Any],
    ) -> None:
        """Writes a T2 map as a series of the same study; does nothing if the format has no studies.

        Args:
            t2_ms: (rows, cols, slices) in ms, NaN where invalid.
            volume: the scan that it was computed from.
            folder: the folder to write into.
            like: the path of that scan.
            derivation: how it was computed.
        """
