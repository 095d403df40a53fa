"""BIDS: the sub- and echo- entities in names of images."""

import re
from pathlib import Path

ECHO = r"(^|_)echo-(0*){}(?=[_.])"
# The deepest path is sub-01/ses-1/anat/sub-01_ses-1_qdess.nii.gz.
SUBJECT, DEPTH = re.compile(r"(?:^|_)(sub-[A-Za-z0-9]+)"), 4


def subject_entity(path: Path) -> str | None:
    """The last sub-<label> in the name of an image or of the folders it is in; None without any."""
    matches = [SUBJECT.search(name) for name in path.absolute().parts[-DEPTH:]]
    return next((match[1] for match in reversed(matches) if match), None)


def second_echo(path: Path) -> Path | None:
    """NAME_echo-2.nii.gz for NAME_echo-1.nii.gz if it exists; else None."""
    return _other_echo(path, 1, 2)


def first_echo(path: Path) -> Path | None:
    """NAME_echo-1.nii.gz for NAME_echo-2.nii.gz if it exists; else None."""
    return _other_echo(path, 2, 1)


def without_echo(name: str) -> str:
    """NAME.nii.gz for NAME_echo-1.nii.gz; other names unchanged."""
    return re.sub(ECHO.format(1), "", name) or name


def _other_echo(path: Path, this: int, other: int) -> Path | None:
    name = re.sub(ECHO.format(this), rf"\1echo-\g<2>{other}", path.name)
    other_path = path.with_name(name)
    return other_path if name != path.name and other_path.exists() else None
