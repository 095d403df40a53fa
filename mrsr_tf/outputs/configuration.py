"""configuration.json: which command wrote a folder, and with which settings."""

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from mrsr_tf import __version__
from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.outputs.files import write_json
from mrsr_tf.outputs.places import unfinished_file

CONFIGURATION = "configuration.json"
ORIGIN = "written_by"  # the key beside the settings
FORMAT = 1  # version of what the folders hold


def write_configuration(folder: Path, configuration: Mapping[str, Any], command: str) -> None:
    """Marks a folder as written by a command of this package, with these settings."""
    write_json(folder / CONFIGURATION, {ORIGIN: _origin(command), **configuration})


def read_configuration(folder: Path) -> dict[str, Any]:
    """The settings with which a folder was written; `InputError` if it names none."""
    return {key: value for key, value in _read(folder).items() if key != ORIGIN}


def check_configuration(
    path: Path, existing: Mapping[str, Any], configuration: Mapping[str, Any]
) -> None:
    """Raises `InputError` naming the keys in which `configuration` differs from that of `path`."""
    configuration = _as_read(configuration)
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


def check_unfinished(path: Path, configuration: Mapping[str, Any], command: str) -> None:
    """Raises `AlreadyDone` if the folder has this configuration, and `InputError` if another."""
    origin = {ORIGIN: _origin(command)}  # which folders of versions before 1.0 do not name
    if origin | _read(path) == origin | _as_read(configuration):
        raise AlreadyDone(path)
    check_origin(path, command)
    check_configuration(path, read_configuration(path), configuration)


def check_origin(folder: Path, command: str) -> None:
    """Raises `InputError` unless what is in the folder is by `command`, finished or not."""
    if folder.is_symlink():
        raise InputError(f"expected no symbolic link where {command} works, found one: {folder}")
    if holds_nothing(folder) and not (folder / CONFIGURATION).exists():
        return
    origin = _read(folder).get(ORIGIN)
    if origin != _origin(command):
        writer = origin.get("command") if isinstance(origin, dict) else None
        content = f"one of {writer}" if writer else f"one whose {CONFIGURATION} does not say so"
        raise InputError(
            f"expected a new folder or one that {command} wrote, found {content} (what is not "
            f"needed can be removed by hand): {folder}"
        )


def holds_nothing(folder: Path) -> bool:
    """Whether a folder has nothing but its configuration, or the beginning of it."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {""}
    return names <= {CONFIGURATION, unfinished_file(folder / CONFIGURATION).name}


def versions(*packages: str) -> dict[str, str]:
    """Returns the versions of Python, of this package and of other packages, by import name."""
    distributions = metadata.packages_distributions()
    others = {name: metadata.version(distributions[name][0]) for name in packages}
    return {"python": platform.python_version(), "mrsr_tf": __version__, **others}


def _origin(command: str) -> dict[str, Any]:
    return {"package": "mrsr_tf", "command": command, "format": FORMAT}


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        kind = "a file" if folder.is_file() else f"one without a readable {CONFIGURATION}"
        raise InputError(
            f"expected a new folder or one made by this command, found {kind}: {folder}"
        )
    return content


def _as_read(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as the file holds it: tuples become lists."""
    return json.loads(json.dumps(dict(configuration), allow_nan=False))
