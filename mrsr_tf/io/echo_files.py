"""Two echoes in a file each, as BIDS names them: NAME_echo-1.nii.gz and NAME_echo-2.nii.gz."""

import re
from pathlib import Path

ECHO = r"(^|_)echo-(0*){}(?=[_.])"


def second_echo(path: Path) -> Path | None:
    """NAME_echo-2.nii.gz where `path` is NAME_echo-1.nii.gz and both are there; else None."""
    return _other_echo(path, 1, 2)


def first_echo(path: Path) -> Path | None:
    """NAME_echo-1.nii.gz where `path` is NAME_echo-2.nii.gz and both are there; else None."""
    return _other_echo(path, 2, 1)


def _other_echo(path: Path, this: int, that: int) -> Path | None:
    name = re.sub(ECHO.format(this), rf"\1echo-\g<2>{that}", path.name)
    other = path.with_name(name)
    return other if name != path.name and other.exists() else None


def without_echo(name: str) -> str:
    """NAME.nii.gz of NAME_echo-1.nii.gz; other names as they are."""
    return re.sub(ECHO.format(1), "", name) or name
