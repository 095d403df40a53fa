"""The two exceptions with which a call ends early without a bug."""


class InputError(ValueError):
    """An input that cannot be used.

    The message is one sentence that says what was expected, what was found instead and where
    (file, position). A command prints it as its only `error:` line and exits with 1.
    """


class AlreadyDone(Exception):  # noqa: N818 (good news, not an error)
    """The requested output exists, whole and of the same configuration."""
