"""Where files lie: in a folder, or in a zip archive, which is read in place and never unpacked."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mrsr_tf.errors import InputError

File = Path | zipfile.Path

# Far above any scan, far below what a crafted archive swells to.
MOST_FILES = 100_000
LARGEST_BYTES = 16 * 2**30
LARGEST_RATIO, HARMLESS_BYTES = 200, 2**28


def is_zip(path: Path) -> bool:
    """Whether the path is a zip archive, by what it holds."""
    return path.is_file() and zipfile.is_zipfile(path)


def files_at(path: Path) -> list[File]:
    """All files of a folder and below or of a zip archive, in order of their names; or the file.

    Raises:
        InputError: the archive cannot be read, needs a password, or is larger than any scan.
    """
    if is_zip(path):
        return list(_in_archive(path))
    return [path] if path.is_file() else [*sorted(p for p in path.rglob("*") if p.is_file())]


@contextmanager
def opened(file: File) -> Iterator[BinaryIO]:
    """The file open for reading, at any place."""
    if isinstance(file, Path):
        with file.open("rb") as stream:
            yield stream
    else:
        yield io.BytesIO(file.read_bytes())


def _in_archive(path: Path) -> list[zipfile.Path]:
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises several types of its own
        raise InputError(
            f"expected a readable zip archive, got a {type(error).__name__} in reading {path}"
        ) from error
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if any(entry.flag_bits & 1 for entry in entries):
        raise InputError(f"expected a zip archive without a password, got one with it: {path}")
    _check_size(path, entries)
    return [zipfile.Path(archive, name) for name in sorted({entry.filename for entry in entries})]


def _check_size(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Raises for an archive that is made to swell; zipfile reads no entry beyond its told size."""
    unpacked = sum(entry.file_size for entry in entries)
    swollen = unpacked > HARMLESS_BYTES and unpacked > LARGEST_RATIO * path.stat().st_size
    if len(entries) > MOST_FILES or unpacked > LARGEST_BYTES or swollen:
        raise InputError(
            f"expected the zip archive of one scan, got {len(entries)} files of "
            f"{unpacked / 2**30:.1f} GiB in {path.stat().st_size / 2**20:.1f} MiB: {path}"
        )
