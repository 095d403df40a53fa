"""Replaces a folder by a new one so that at any moment one of the two is whole.

The old folder is renamed to NAME.replaced, the new one takes its name, and only then the old one's
own files are removed, which a function names relative to the folder. Any other file in it is
somebody else's and moves into the new folder. What a killed process leaves of this is completed or
undone by `recover`.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from absl import logging

from mrsr_tf.errors import InputError
from mrsr_tf.outputs.places import aside, is_folder, is_occupied

MARK = ".replaced"  # a file in a folder that was moved aside: no other NAME.replaced is touched
LONGEST_LIST = 5

OwnFiles = Callable[[Path], Iterable[str | Path]]


def is_aside(path: Path) -> bool:
    """Whether the folder that was at `path` is kept beside it."""
    return (aside(path) / MARK).is_file()


def check_replaceable(path: Path) -> None:
    """Raises `InputError` if another folder could not take the place of the one at `path`."""
    if path.is_mount():
        raise InputError(f"expected a folder that can be renamed, got a mount point: {path}")
    if is_occupied(path) and is_occupied(aside(path)):
        raise InputError(f"expected nothing at {aside(path)}, found other data")


def replace(path: Path, new: Path, own_files: OwnFiles) -> None:
    """Gives the folder `new` the name `path`, and removes the own files of a folder that is there.

    Raises:
        InputError: see `take_place`. Then nothing is changed.
    """
    take_place(path, new, own_files)
    if is_aside(path):
        discard(path, own_files)


def take_place(path: Path, new: Path, own_files: OwnFiles) -> None:
    """Gives the folder `new` the name `path`; what is there is kept aside, but for foreign files.

    Raises:
        InputError: `new` has a file under the name of one that is not among the folder's own, or
            NAME.replaced is somebody else's.
    """
    check_replaceable(path)
    if is_occupied(path):
        _make_room(path, new, own_files)
        (path / MARK).touch()
        path.rename(aside(path))
    try:
        new.rename(path)
    except OSError:
        recover(path, own_files)
        raise
    if is_aside(path):
        _move_foreign(aside(path), path, own_files)


def discard(path: Path, own_files: OwnFiles) -> None:
    """Removes the own files of the folder that was kept aside; any others move to `path`."""
    _move_foreign(aside(path), path, own_files)
    _remove(aside(path), own_files)


def put_back(path: Path, own_files: OwnFiles) -> None:
    """Gives the folder that was kept aside its name again, in place of what is at `path`."""
    if is_occupied(path):
        _move_foreign(path, aside(path), own_files)
        _remove(path, own_files)
    aside(path).rename(path)
    (path / MARK).unlink()


def recover(path: Path, own_files: OwnFiles) -> None:
    """Completes a replacement that was interrupted, or undoes it if there is no new folder."""
    if is_aside(path):
        (discard if is_occupied(path) else put_back)(path, own_files)
    elif (path / MARK).is_file():
        (path / MARK).unlink()


def entries(folder: Path) -> list[Path]:
    """Files, links and empty folders in a folder and below, relative to it, in order."""
    paths = []
    for place, folders, files in os.walk(folder):
        inner = [Path(place, name) for name in (*folders, *files)]
        paths += [path for path in inner if not is_folder(path)] if inner else [Path(place)]
    return sorted(path.relative_to(folder) for path in paths if path != folder)


def _make_room(path: Path, new: Path, own_files: OwnFiles) -> None:
    """Names the files that will stay, and creates their folders in `new` while the disk has room.

    Raises:
        InputError: one has the name of a new file.
    """
    foreign = _foreign_entries(path, own_files)
    for name in foreign:
        if _collide(path / name, new / name) or any((new / p).is_file() for p in name.parents):
            raise InputError(
                f"expected no other file under the name of an output, found one: {path / name}"
            )
        folder = name if is_folder(path / name) else name.parent
        (new / folder).mkdir(parents=True, exist_ok=True)
    if foreign:
        names = ", ".join(map(str, foreign[:LONGEST_LIST]))
        more = f" and {len(foreign) - LONGEST_LIST} more" if len(foreign) > LONGEST_LIST else ""
        logging.warning("files that this package did not write stay in %s: %s%s", path, names, more)


def _move_foreign(folder: Path, target: Path, own_files: OwnFiles) -> None:
    """Moves all but the own files of a folder to the same names in `target`."""
    for name in _foreign_entries(folder, own_files):
        old, new = folder / name, target / name
        if _collide(old, new):
            raise InputError(f"expected nothing at {new}, where {old} belongs, found another file")
        if is_folder(old):
            new.mkdir(parents=True, exist_ok=True)
            old.rmdir()
        else:
            new.parent.mkdir(parents=True, exist_ok=True)
            old.rename(new)


def _foreign_entries(folder: Path, own_files: OwnFiles) -> list[Path]:
    own = {Path(MARK), *map(Path, own_files(folder))}
    return [name for name in entries(folder) if name not in own]


def _collide(old: Path, new: Path) -> bool:
    return os.path.lexists(new) and not (is_folder(old) and is_folder(new))


def _remove(folder: Path, own_files: OwnFiles) -> None:
    """Removes the own files of a folder, in order, and the folders in which nothing is left.

    Links are not followed, and no name leads out of the folder.
    """
    for file in [folder / name for name in own_files(folder)]:
        is_inside = file.parent.resolve().is_relative_to(folder.resolve())
        if is_inside and not is_folder(file):
            file.unlink(missing_ok=True)
    for place, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            with suppress(OSError):
                Path(place, name).rmdir()
    (folder / MARK).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
