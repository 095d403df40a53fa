"""A folder that appears under its name when it is whole, with a list of what was written."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.outputs.configuration import (
    CONFIGURATION,
    check_configuration,
    check_origin,
    check_unfinished,
    holds_nothing,
    read_configuration,
    write_configuration,
)
from mrsr_tf.outputs.files import exclusive_lock, write_json
from mrsr_tf.outputs.places import aside, followed, is_folder, is_occupied, unfinished
from mrsr_tf.outputs.replacement import OwnFiles, check_replaceable, entries, recover, replace

CONTENTS = "contents.json"


@contextmanager
def output_folder(
    path: str | Path,
    configuration: Mapping[str, Any],
    *,
    command: str,
    overwrite: bool,
    resume: bool = False,
) -> Iterator[Path]:
    """Yields the folder to fill, which becomes `path` if the block ends without an error.

    Args:
        path: the finished folder, which `check_output` has accepted.
        configuration: what determines the content, as plain JSON values without paths.
        command: the module that is run, such as "eval.t2map".
        overwrite: whether to replace what this command wrote at `path`, once the new folder is
            whole, and to start anew where an interrupted call stopped.
        resume: whether to keep the files that an interrupted call of the same configuration left
            in the folder, also if this call fails. Every file must then be whole at any moment.

    Raises:
        AlreadyDone: `path` is finished and of this configuration.
        InputError: `path` holds something else, has another configuration, or is being filled by
            another process.
    """
    path = followed(path)
    recover_output(path, own_files, command)
    if is_occupied(path):
        if not overwrite:
            check_unfinished(path, configuration, command)
        check_origin(path, command)
    check_replaceable(path)
    resume_here = resume and not overwrite
    with unfinished_folder(
        path, configuration, command=command, resume=resume_here, keep=resume
    ) as partial:
        yield partial
        _list_contents(partial)
        replace(path, partial, own_files)


@contextmanager
def unfinished_folder(
    path: Path,
    configuration: Mapping[str, Any],
    *,
    command: str,
    resume: bool = False,
    keep: bool = False,
) -> Iterator[Path]:
    """Yields NAME.partial, which no other process can open and which has a configuration.json.

    It is removed afterwards, unless it has been renamed.

    Args:
        path: the output that it, or what is written in it, will become.
        configuration: as for `output_folder`.
        command: as for `output_folder`.
        resume: whether to continue with what an interrupted call of this configuration left.
        keep: whether to leave the folder for that if the block fails.

    Raises:
        InputError: somebody else's data are there, or another process uses the folder.
    """
    partial = unfinished(path)
    if is_occupied(partial):
        check_origin(partial, command)
        if resume and not holds_nothing(partial):
            check_configuration(partial, read_configuration(partial), configuration)
        else:
            shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(partial):
        try:
            write_configuration(partial, configuration, command)
            yield partial
        except BaseException:
            keep = keep and not holds_nothing(partial)
            raise
        else:
            keep = False
        finally:
            if not keep:
                shutil.rmtree(partial, ignore_errors=True)


def recover_output(path: Path, own_files: OwnFiles, command: str) -> None:
    """Completes or undoes what a killed process has left beside `path`, see `replacement`.

    Raises:
        InputError: another process works on it.
    """
    check_unused(path)
    recover(path, own_files)
    partial = unfinished(path)
    if is_folder(partial) and holds_nothing(partial):
        with suppress(InputError):
            check_origin(partial, command)
            shutil.rmtree(partial)


def check_unused(path: Path) -> None:
    """Raises `InputError` if another process writes or replaces the folder."""
    for folder in filter(Path.is_dir, (path, unfinished(path), aside(path))):
        with exclusive_lock(folder):
            pass


def own_files(folder: Path) -> list[str]:
    """The files in a folder that `output_folder` wrote, by its contents.json."""
    try:
        return [str(name) for name in json.loads((folder / CONTENTS).read_bytes())["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return [CONFIGURATION, CONTENTS]


def _list_contents(folder: Path) -> None:
    names = map(str, entries(folder))
    written = [name for name in names if name not in (CONFIGURATION, CONTENTS)]
    # What tells whose the files are comes last, so that an interrupted removal can go on.
    write_json(folder / CONTENTS, {"files": [*written, CONFIGURATION, CONTENTS]})
