"""Damaged files: whatever a library raises on one becomes an `InputError` that names the file."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mrsr_tf.errors import InputError

# What git-annex and Git LFS write in place of a file whose content they have not fetched.
POINTER = re.compile(rb"(/|(\.\./)*\.git/)annex/objects/|version https://git-lfs")
NAMED = 3  # of many files, in one message


@contextmanager
def refuse_damaged(path: object, expected: str) -> Iterator[None]:
    """Turns any error raised in the block into an `InputError`.

    Readers of images raise nearly every type of error on damaged files, and their messages may
    quote the header and thereby name the patient, so only the type of the error is repeated.
    `expected` is what the file at `path` should be, such as "a whole NIfTI file".
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"expected {expected}, got a {type(error).__name__} in reading {path}"
        ) from error


def is_pointer(start: bytes) -> bool:
    """Whether a file that starts so only points to content that was not fetched."""
    return POINTER.match(start) is not None


def listed(files: Sequence[object]) -> str:
    """The names of some files, and how many more there are."""
    names = ", ".join(str(file) for file in files[:NAMED])
    return f"{names} and {len(files) - NAMED} more" if len(files) > NAMED else names
