"""Output that appears under its final name only when whole.

A folder is filled as `NAME.partial`, beside its final place, and renamed when whole. It carries
the configuration that made it, so that the same call can be told from another one.
"""

import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    """Yields the folder to fill; it becomes `path` when the block ends well.

    Args:
        path: where the finished folder shall stand.
        configuration: what decides the content; plain JSON values, no paths.
        overwrite: remove what this command made at `path`, finished or not, and start anew.
        resume: what an interrupted call of the same configuration left in the yielded folder is
            kept, also when this one fails. Everything put there must then be whole at any moment.

    Raises:
        AlreadyDone: `path` is finished and of this configuration.
        InputError: `path` holds something else, is of another configuration, or another process is
            filling it.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    if partial.exists():
        with held(partial):  # nobody is at work on what is removed or gone on with below
            pass
    if overwrite:
        remove(path)
        remove(partial)
    if path.exists():
        check_configuration(path, read_configuration(path), configuration)
        raise AlreadyDone(f"{path} is finished: nothing to do (--overwrite makes it anew)")
    if partial.exists():
        if resume:
            check_configuration(partial, read_configuration(partial), configuration)
        else:
            remove(partial)
    partial.mkdir(parents=True, exist_ok=True)
    with held(partial):
        write_json(partial / CONFIGURATION, configuration)
        try:
            yield partial
        except BaseException:
            if not resume or [p.name for p in partial.iterdir()] == [CONFIGURATION]:
                shutil.rmtree(partial, ignore_errors=True)
            raise
        partial.rename(path)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps other processes away from a folder; the lock ends with the process, however it ends.

    Raises:
        InputError: another process, or this one, holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(f"expected to be alone, got another process at work on {folder}") from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def output_file(path: str | Path) -> Iterator[Path]:
    """Yields a temporary name in the same folder; the file becomes `path` when the block ends well.

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
        found = "a file" if folder.is_file() else f"one without a readable {CONFIGURATION}"
        raise InputError(
            f"expected a new folder or one made by this command, found {found}: {folder}"
        ) from None


def check_configuration(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises `InputError` naming the keys in which what stands at `path` differs from `wanted`."""
    wanted = json.loads(json.dumps(wanted))  # tuples become lists, as in the file
    differing = sorted(
        key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)
    )
    if differing:
        changes = ", ".join(f"{key} {found.get(key)} -> {wanted.get(key)}" for key in differing)
        raise InputError(
            f"expected the configuration that made {path}, got another: {changes} "
            "(--overwrite starts anew)"
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
