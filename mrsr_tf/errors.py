"""The two exceptions with which a call ends early without a bug, and the failures of subjects."""

from collections.abc import Iterator
from contextlib import contextmanager

from absl import logging


class InputError(ValueError):
    """An input that cannot be used.

    The message is one sentence that says what was expected, what was found instead and where
    (file, position). A command prints it as its only `error:` line and exits with 1.
    """


@contextmanager
def naming(source: object) -> Iterator[None]:
    """Adds what is read, such as the path of a scan, to an `InputError` that does not name it."""
    try:
        yield
    except InputError as error:
        if str(source) in str(error):
            raise
        raise InputError(f"{error}: {source}") from error


class AlreadyDone(Exception):  # noqa: N818 (good news, not an error)
    """The requested output exists, whole and of the same configuration."""

    def __init__(self, output: object) -> None:
        super().__init__(f"{output} is finished: nothing to do (--overwrite makes it again)")


class Failures:
    """Subjects that failed while the others went on.

    Attributes:
        subjects: their paths or names.
    """

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self._first: InputError | None = None

    def add(self, subject: object, error: InputError) -> None:
        """Warns of the failure of a subject."""
        logging.warning("%s failed: %s", subject, error)
        self.subjects.append(str(subject))
        self._first = self._first or error

    def check(self, total: int, noun: str, others: str) -> None:
        """Raises an `InputError` if any of `total` subjects failed.

        It names them, and says with the words `others` what became of the others; if there are
        none, it is the first error.
        """
        if self._first and len(self.subjects) == total:
            raise self._first
        if self.subjects:
            raise InputError(
                f"expected every {noun} to succeed, {len(self.subjects)} of {total} failed (see "
                f"the warnings above; {others}): {', '.join(self.subjects)}"
            )
