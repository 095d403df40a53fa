"""Output that appears under its final name only when whole.

A folder is filled as `NAME.partial` and renamed when it is whole. It contains the configuration
that made it, by which a repeated call recognises its own output.
"""

import fcntl
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from mrsr_tf import __version__
from mrsr_tf.errors import AlreadyDone, InputError

CONFIGURATION = "configuration.json"


@contextmanager
def output_folder(
    path: str | Path, configuration: Mapping[str, Any], *, overwrite: bool, resume: bool = False
) -> Iterator[Path]:
    """Yields the folder to fill, which becomes `path` if the block ends without an error.

    Args:
        path: the finished folder.
        configuration: what determines the content, as plain JSON values without paths.
        overwrite: whether to remove what this command made at `path`, finished or not.
        resume: whether to keep the files that an interrupted call of the same configuration left
            in the folder, also if this call fails. Every file must then be whole at any moment.

    Raises:
        AlreadyDone: `path` is finished and of this configuration.
        InputError: `path` holds something else, has another configuration, or is being filled by
            another process.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    if partial.exists():
        with exclusive_lock(partial):  # no other process works on what is removed or resumed below
            pass
    if overwrite:
        remove(path)
        remove(partial)
    if path.exists():
        check_configuration(path, read_configuration(path), configuration)
        raise AlreadyDone(f"{path} is finished: nothing to do (--overwrite makes it again)")
    if partial.exists():
        if resume:
            check_configuration(partial, read_configuration(partial), configuration)
        else:
            remove(partial)
    partial.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(partial):
        write_json(partial / CONFIGURATION, configuration)
        try:
            yield partial
        except BaseException:
            if not resume or [p.name for p in partial.iterdir()] == [CONFIGURATION]:
                shutil.rmtree(partial, ignore_errors=True)
            raise
        partial.rename(path)


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
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name("partial." + path.name)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Removes a folder that `output_folder` made, if it is there; `InputError` for any other."""
    if folder.exists():
        read_configuration(folder)
        shutil.rmtree(folder)


def read_configuration(folder: Path) -> Any:
    """The configuration of a folder that `output_folder` made; `InputError` if it has none."""
    try:
        return json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = "a file" if folder.is_file() else f"one without a readable {CONFIGURATION}"
        raise InputError(
            f"expected a new folder or one made by this command, found {content}: {folder}"
        ) from None


def check_configuration(
    path: Path, existing: Mapping[str, Any], configuration: Mapping[str, Any]
) -> None:
    """Raises `InputError` naming the keys in which `configuration` differs from that of `path`."""
    configuration = json.loads(json.dumps(configuration))  # tuples become lists, as in the file
    keys = existing.keys() | configuration.keys()
    differing = sorted(key for key in keys if existing.get(key) != configuration.get(key))
    if differing:
        changes = ", ".join(
            f"{key} {existing.get(key)} -> {configuration.get(key)}" for key in differing
        )
        raise InputError(
            f"expected the configuration that made {path}, got another: {changes} "
            "(--overwrite starts again)"
        )


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as indented JSON, whole or not at all."""
    with output_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def versions(*packages: str) -> dict[str, str]:
    """Returns the versions of Python, of this package and of other packages, by import name."""
    distributions = metadata.packages_distributions()
    others = {name: metadata.version(distributions[name][0]) for name in packages}
    return {"python": platform.python_version(), "mrsr_tf": __version__, **others}
