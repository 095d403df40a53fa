"""What every command shares: how flags are read and how a call ends.

A command is a module with a usage docstring, its flags, a `main()` without arguments, and

    if __name__ == "__main__":
        cli.run(main)

Exit codes: 0 done (or `--help`, `--version`), 1 bad input, 2 wrong usage, 130 interrupted,
141 nobody reads what it prints.
"""

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import Formatter, LogRecord
from pathlib import Path
from typing import NoReturn

from absl import flags, logging

from mrsr_tf import __version__
from mrsr_tf.errors import AlreadyDone, InputError

# TensorFlow prints its build options and the absence of a GPU at every start; a user who wants
# them sets this variable. It must be set before TensorFlow is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Seen on a CPU without AVX-512: TensorFlow leaves oneDNN's convolutions off, though they are 1.5
# times as fast there, too. The same holds for this variable.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

DONE, BAD_INPUT, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
UNREAD = 141  # as a shell counts what a closed pipe ended
# Installed, the flagfiles lie in the package; in a checkout, beside it.
PLACES = (Path(__file__).parent, Path(__file__).parents[1])
FLAGFILES = next((place / "flags" for place in PLACES if (place / "flags").is_dir()), PLACES[0])
NO_ROOM = "failed to map segment"  # the loader's words where a library does not fit into memory
NEEDS_A_VALUE = "must have a value other than None"  # absl's words, its only mark of such a flag


def run(main: Callable[[], None]) -> NoReturn:
    """Parses the flags in `sys.argv`, runs `main` and exits with its code."""
    try:
        code = _exit_code(main, sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = UNREAD
    sys.exit(code)


def counted(number: int, noun: str) -> str:
    """Such as "1 subject" and "2 subjects"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def plain_warnings() -> None:
    """Warnings as a command prints them; for its worker processes too, which parse no flags."""
    flags.FLAGS.mark_as_parsed()
    logging.use_absl_handler()
    logging.get_absl_handler().setFormatter(_OneLine())


class _OneLine(Formatter):
    def format(self, record: LogRecord) -> str:
        return f"{record.levelname.lower()}: {' '.join(record.getMessage().split())}"


@contextmanager
def quiet_imports() -> Iterator[None]:
    """For the imports that load TensorFlow: what its libraries print then is shown if they fail.

    They look for GPUs here, too, and not when first used: where there are none, they complain.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
            if "tensorflow" in sys.modules:
                sys.modules["tensorflow"].config.list_physical_devices()
        except BaseException as error:
            if isinstance(error, ImportError) and NO_ROOM in str(error):
                raise MemoryError("expected memory to load TensorFlow, found too little") from error
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _exit_code(main: Callable[[], None], argv: list[str]) -> int:
    if any(argument in ("-h", "-help", "--help", "--helpfull") for argument in argv[1:]):
        print(_help())
        return DONE
    if "--version" in argv[1:]:
        print(f"MRSR-TF {__version__}")
        return DONE
    try:
        stray = flags.FLAGS([_found(argument) for argument in argv])[1:]
    except UnicodeDecodeError as error:
        return _complain(f"expected a flagfile of text in UTF-8: {error}", WRONG_USAGE)
    except flags.Error as error:
        return _complain(f"{_plain(error)}; --help lists the flags", WRONG_USAGE)
    if stray:
        return _complain(f"expected flags only, got {stray[0]!r}; --help lists them", WRONG_USAGE)
    if any("\0" in str(value) for value in flags.FLAGS.flag_values_dict().values()):
        return _complain("expected a flagfile of text, found a zero byte in it", WRONG_USAGE)
    plain_warnings()
    try:
        main()
    except AlreadyDone as done:
        print(done)
    except (InputError, OSError, MemoryError) as error:
        if logging.level_debug():
            traceback.print_exc()
        return _complain(str(error) or "expected more memory than there is", BAD_INPUT)
    except KeyboardInterrupt:
        return _complain("interrupted; the same call resumes", INTERRUPTED)
    return DONE


def _found(argument: str) -> str:
    """`--flagfile=flags/paper/dual` typed anywhere, as it works in the folder of the source."""
    name, _, path = argument.partition("=")
    if name.lstrip("-") != "flagfile" or not path.startswith("flags/") or Path(path).exists():
        return argument
    return f"{name}={FLAGFILES.parent / path}"


def _plain(error: flags.Error) -> str:
    """What was expected and what came, of a complaint in absl's words."""
    said = str(error)
    if NEEDS_A_VALUE in said:
        missing = re.findall(rf"Flag (--[^ ]+) {NEEDS_A_VALUE}", said)
        return f"expected also {' and '.join(missing)}"
    if isinstance(error, flags.UnrecognizedFlagError):
        _, _, meant = said.partition("Did you mean: ")
        guess = f" (did you mean --{meant.removesuffix(' ?')}?)" if meant else ""
        return f"expected a flag of this command, got --{error.flagname}{guess}"
    if isinstance(error, flags.CantOpenFlagFileError):
        return said.removeprefix("ERROR:: ").replace("Unable to open", "expected a readable")
    wrong = re.match(r"flag --(\w+)=(.*?): ", said, re.DOTALL)
    if wrong is None:
        return said.replace("Missing value for flag", "expected a value for")
    name, value = wrong.groups()
    return f"expected for --{name} {_expected(flags.FLAGS[name])}, got {value!r}"


def _expected(flag: flags.Flag) -> str:
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        return f"one of {', '.join(choices)}"
    return "true or false" if flag.boolean else flag.parser.syntactic_help


def _help() -> str:
    for flag in flags.FLAGS.get_flags_for_module(sys.argv[0]):
        if any(NEEDS_A_VALUE in validator.message for validator in flag.validators):
            flag.help += " Required."
    usage = (sys.modules["__main__"].__doc__ or "").strip()
    _, _, flag_help = flags.FLAGS.main_module_help().strip().partition("\n")  # less its heading
    return (
        f"{usage}\n\nFlags:\n{flag_help}\n"
        f"  --flagfile: A file of flags, one a line. flags/paper/dual and its like lie in\n"
        f"    {FLAGFILES} and are found from anywhere.\n"
        "  --version: Which version this is."
    )


def _complain(message: str, code: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code
