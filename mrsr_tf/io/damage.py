"""Damaged files: whatever a library raises on one becomes an `InputError` that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager

from mrsr_tf.errors import InputError


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
