"""Where an output may go, and the names beside it that it uses until it is whole."""

import os
from collections.abc import Iterable
from pathlib import Path

from mrsr_tf.errors import InputError

PARTIAL, REPLACED = ".partial", ".replaced"
UNFINISHED = (PARTIAL, REPLACED)  # endings of folders that are no output, or no longer one
PARTIAL_FILE = "partial.mrsr_tf."  # how the names of unfinished files start


def check_output(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuses an output that is no name, or that is an input, lies in one or contains one.

    A command calls this before it reads anything. Links are followed, and the names under which an
    output is unfinished or kept aside count, too.

    Raises:
        InputError: the message names output and input.
    """
    text, path = str(path), Path(path)
    if path.name in ("", "..") or path.parts[0] == "~":
        raise InputError(f"expected the name of a file or folder to write, got {text!r}")
    if path.name.endswith(UNFINISHED) or path.name.startswith(PARTIAL_FILE):
        raise InputError(f"expected a name that no unfinished output has, got {text}")
    target = followed(path)
    for source in inputs:
        if any(_overlap(place, source) for place in (target, unfinished(target), aside(target))):
            raise InputError(f"expected an output apart from the input {source}, got {text}")


def unfinished(path: Path) -> Path:
    """The name of a folder while it is filled."""
    return path.with_name(path.name + PARTIAL)


def unfinished_file(path: Path) -> Path:
    """The name of a file while it is written; it has the ending of `path`."""
    return path.with_name(PARTIAL_FILE + path.name)


def aside(path: Path) -> Path:
    """Where a folder is kept while a new one takes its place."""
    return path.with_name(path.name + REPLACED)


def followed(path: str | Path) -> Path:
    """The folder that a link names, so that its replacement goes there; other paths as they are."""
    is_link = Path(path).is_symlink() and Path(path).is_dir()
    return Path(os.path.realpath(path)) if is_link else Path(path)


def is_folder(path: Path) -> bool:
    """Whether there is a folder itself, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def is_occupied(path: Path) -> bool:
    """Whether there is anything but an empty folder at `path`."""
    return any(path.iterdir()) if is_folder(path) else os.path.lexists(path)


def _overlap(path: str | Path, other: str | Path) -> bool:
    """Whether two paths are one, or one of them is within the other."""
    return _contains(_identity(Path(path)), other) or _contains(_identity(Path(other)), path)


def _contains(identity: tuple[int, int] | None, path: str | Path) -> bool:
    """Whether a path, or a folder above it, is what has this identity; nothing has None."""
    place = Path(os.path.realpath(path))
    return identity is not None and identity in map(_identity, (place, *place.parents))


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, which other names of one folder share; None where there is nothing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
