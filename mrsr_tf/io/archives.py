"""Files in a folder or in a zip archive, which is read in place and never unpacked."""

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mrsr_tf.errors import InputError
from mrsr_tf.io.damage import listed, refuse_damaged

File = Path | zipfile.Path

# Far above any scan, far below the size of a decompression bomb.
MOST_FILES = 100_000
LARGEST_BYTES = 16 * 2**30
LARGEST_RATIO, HARMLESS_BYTES = 200, 2**28


def is_zip(path: Path) -> bool:
    """Whether the file is a zip archive, by its content."""
    return path.is_file() and zipfile.is_zipfile(path)


def files_at(path: Path) -> list[File]:
    """All files of a folder and below, or of a zip archive, sorted by name; or the file itself.

    Symbolic links are followed, and a file with several names is there once. Hidden folders are
    left out.

    Raises:
        InputError: the archive cannot be read, needs a password, or is larger than any scan; a
            link is broken or leads to a folder above it; a file or folder may not be read.
    """
    if is_zip(path):
        return list(_in_archive(path))
    return [path] if path.is_file() else list(_in_folder(path))


@contextmanager
def opened(file: File) -> Iterator[BinaryIO]:
    """The file, open for reading; seekable."""
    if isinstance(file, Path):
        with file.open("rb") as stream:
            yield stream
    else:
        yield io.BytesIO(file.read_bytes())


def _in_folder(folder: Path) -> list[Path]:
    """The files in a folder and below, sorted; each once, whatever links lead to it."""
    files: dict[tuple[int, int], Path] = {}
    lost: list[Path] = []
    for file in _names_below(folder, lost):
        try:
            status = file.stat()
        except OSError:  # a broken link
            lost.append(file)
            continue
        if stat.S_ISREG(status.st_mode):
            files.setdefault((status.st_dev, status.st_ino), file)
    lost += [file for file in files.values() if not os.access(file, os.R_OK)]
    if lost:
        raise InputError(
            f"expected files that can be read, got {len(lost)} broken links or unreadable files "
            f"beside {len(files)} others: {listed(lost)}"
        )
    return sorted(files.values())


def _names_below(folder: Path, lost: list[Path]) -> Iterator[Path]:
    """All that is no folder, through links; adds folders that cannot be read to `lost`."""
    visited = {folder.resolve()}

    def on_error(error: OSError) -> None:
        lost.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=on_error, followlinks=True):
        folders[:] = [name for name in sorted(folders) if _is_new(Path(place, name), visited)]
        yield from (Path(place, name) for name in sorted(names))


def _is_new(folder: Path, visited: set[Path]) -> bool:
    """Whether to read a folder, which is then visited; raises for a link that leads upwards."""
    target = folder.resolve()
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(target):
        raise InputError(f"expected links to other folders, got one to a folder above it: {folder}")
    if folder.name.startswith(".") or target in visited:
        return False
    visited.add(target)
    return True


def _in_archive(path: Path) -> list[zipfile.Path]:
    with refuse_damaged(path, "a readable zip archive"):
        archive = zipfile.ZipFile(path)
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if any(entry.flag_bits & 1 for entry in entries):
        raise InputError(f"expected a zip archive without a password, got one with it: {path}")
    _check_size(path, entries)
    return [zipfile.Path(archive, name) for name in sorted({entry.filename for entry in entries})]


def _check_size(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Raises for a decompression bomb; zipfile reads no entry beyond its recorded size."""
    unpacked = sum(entry.file_size for entry in entries)
    is_bomb = unpacked > HARMLESS_BYTES and unpacked > LARGEST_RATIO * path.stat().st_size
    if len(entries) > MOST_FILES or unpacked > LARGEST_BYTES or is_bomb:
        raise InputError(
            f"expected the zip archive of one scan, got {len(entries)} files of "
            f"{unpacked / 2**30:.1f} GiB in {path.stat().st_size / 2**20:.1f} MiB: {path}"
        )
