"""Files that appear under their names only when whole, and locks against other processes."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.outputs.places import unfinished_file


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Locks a folder or file against other processes; the lock ends with the process at the latest.

    File systems without locks are not locked.

    Raises:
        InputError: another process, or this one, holds the lock already.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(f"expected no other process, found one that uses {path}") from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Yields a temporary folder, which is removed afterwards.

    Folders with this prefix that killed processes have left behind are removed, too.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(InputError, OSError), exclusive_lock(folder):
            shutil.rmtree(folder)
    with tempfile.TemporaryDirectory(prefix=prefix) as name, exclusive_lock(Path(name)):
        yield Path(name)


@contextmanager
def output_file(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder; the file becomes `path` if the block succeeds.

    The temporary name keeps the ending of `path`, by which writers choose their format.

    Raises:
        InputError: another process is writing the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = unfinished_file(path)
    partial.touch()
    with exclusive_lock(partial):
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as indented JSON, whole or not at all."""
    with output_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
