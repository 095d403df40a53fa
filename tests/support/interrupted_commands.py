"""Commands that end early: killed, or on a full disk, at a chosen change of the file system.

A command runs in a fork of the test's process, which has already imported what takes long.
"""

import errno
import os
import resource
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from absl import flags

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
Change = Callable[[bool], None]  # called with whether the change needs space on the disk


def run(arguments: list[str], folder: Path, at_change: Change | None = None) -> tuple[int, str]:
    """Runs a command, whose module is the first argument, in a fork.

    `at_change` is called before each change to what is in `folder`.

    Returns:
        The exit code, -9 if the process was killed, and what was printed.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os._exit(_run_here(arguments, str(folder), at_change))
    os.close(writer)
    with os.fdopen(reader) as printed:
        text = printed.read()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), text


def count_changes(arguments: list[str], folder: Path) -> tuple[int, int]:
    """Runs a command; counts its changes to `folder`, in all and those that need space."""
    with tempfile.TemporaryFile(buffering=0) as changes:
        code, text = run(arguments, folder, lambda needs_space: changes.write(b"-+"[needs_space:]))
        assert code == 0, text
        changes.seek(0)
        written = changes.read()
    return written.count(b"+"), written.count(b"+") - written.count(b"-")


def killed_at(number: int) -> Change:
    """Kills the process before a change, counted from 0."""
    changes = iter(range(number + 1))

    def kill(needs_space: bool) -> None:
        if next(changes) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def full_at(number: int) -> Change:
    """Fills the disk before a change, counted from 0 among those that need space."""
    needed = 0

    def fail(needs_space: bool) -> None:
        nonlocal needed
        needed += needs_space
        if needs_space and needed > number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return fail


def limited_to(size: int) -> Change:
    """Lets no file grow beyond a size in bytes."""
    limits = (size, resource.RLIM_INFINITY)
    return lambda needs_space: resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _run_here(arguments: list[str], folder: str, at_change: Change | None) -> int:
    sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        for flag in [] if module.startswith("absl") else list(defined):  # of an imported command
            delattr(flags.FLAGS, flag.name)
    if at_change:
        sys.addaudithook(_watch(folder, at_change))
    module, *sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 3
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _watch(folder: str, at_change: Change) -> Callable[[str, tuple], None]:
    def watch(event: str, details: tuple) -> None:
        opens = event == "open" and isinstance(details[2], int) and details[2] & WRITING
        if (opens or event in CHANGES) and str(details[0]).startswith(folder):
            at_change(bool(opens) or event == "os.mkdir")

    return watch
