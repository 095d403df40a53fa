"""The two ways a call can end early without being a bug."""


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one sentence saying what was expected, what came and where (which file, which
    position). A command prints it as its one `error:` line and exits with 1.
    """


class AlreadyDone(Exception):  # noqa: N818 (good news, not an error)
    """The output asked for is there, whole and of the same configuration: nothing to do."""
