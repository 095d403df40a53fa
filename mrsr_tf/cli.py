"""What all commands share: shared flags, exit codes and error messages.

A command is a module with a usage docstring, its flags, a `main()` without arguments, and

    if __name__ == "__main__":
        cli.run(main)

Exit codes: 0 done (or `--help`, `--version`), 1 bad input, 2 wrong usage, 130 interrupted,
141 the reader of the output has closed it.
"""

import math
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from logging import Formatter, LogRecord
from pathlib import Path
from typing import Any, NoReturn

from absl import flags, logging

from mrsr_tf import __version__
from mrsr_tf.errors import AlreadyDone, InputError

# TensorFlow prints its build options and the absence of a GPU at every start; a user who wants
# them sets this variable. It must be set before TensorFlow is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# On a CPU without AVX-512 TensorFlow leaves oneDNN's convolutions off, though they are 1.5 times as
# fast there, too. This variable must also be set before the import.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

DONE, BAD_INPUT, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
OUTPUT_CLOSED = 141  # as a shell reports a process that a closed pipe has ended
# An installed package contains the flagfiles; in a checkout they are beside it.
PLACES = (Path(__file__).parent, Path(__file__).parents[1])
FLAGFILES = next((place / "flags" for place in PLACES if (place / "flags").is_dir()), PLACES[0])
NO_ROOM = "failed to map segment"  # what the loader says if a library does not fit into memory
REQUIRED = "must have a value other than None"  # how absl marks a required flag
LARGEST_INTEGER = 2**31 - 1  # of all flags; seeds of NumPy, Keras and TensorFlow may have 32 bits
LARGEST_FACTOR = 64  # fine slices per thick one
LARGEST_QUANTITY = 1e6

flags.disclaim_key_flags()  # the flags below belong to the commands that define them


def run(main: Callable[[], None]) -> NoReturn:
    """Parses the flags in `sys.argv`, runs `main` and exits with its code."""
    try:
        code = _exit_code(main, sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OUTPUT_CLOSED
    sys.exit(code)


def define_count(
    name: str,
    default: int | None,
    description: str,
    *,
    least: int = 1,
    most: int = LARGEST_INTEGER,
    required: bool = False,
) -> flags.FlagHolder[Any]:
    """Defines a flag that counts things, from `least` to `most` of them."""
    return flags.DEFINE_integer(
        name, default, description, lower_bound=least, upper_bound=most, required=required
    )


def define_seed(description: str) -> flags.FlagHolder[int]:
    """Defines --seed."""
    return flags.DEFINE_integer("seed", 0, description, lower_bound=0, upper_bound=LARGEST_INTEGER)


def define_slice_factor(default: int | None, description: str) -> flags.FlagHolder[Any]:
    """Defines --slice_factor."""
    return define_count("slice_factor", default, description, least=2, most=LARGEST_FACTOR)


def define_quantity(
    name: str,
    default: float | None,
    description: str,
    *,
    least: float = 1e-6,
    most: float = LARGEST_QUANTITY,
) -> flags.FlagHolder[Any]:
    """Defines a flag for a physical quantity, which by default is above 0."""
    return flags.DEFINE_float(name, default, description, lower_bound=least, upper_bound=most)


def define_input() -> flags.FlagHolder[Any]:
    """Defines --input for a command that takes one scan or several."""
    return flags.DEFINE_string(
        "input",
        None,
        "A folder of DICOM, a NIfTI file, or a folder of several scans.",
        required=True,
    )


def define_slice_axis() -> flags.FlagHolder[int]:
    """Defines --slice_axis for a command that reads NIfTI files."""
    return flags.DEFINE_integer(
        "slice_axis",
        2,
        "The axis of a NIfTI file that counts slices. By default it is the third.",
        lower_bound=0,
        upper_bound=2,
    )


def define_series() -> flags.FlagHolder[str | None]:
    """Defines --series for a command that reads exams in DICOM."""
    return flags.DEFINE_string(
        "series",
        None,
        "The series of a DICOM exam to take, by its number or description, in which * stands for "
        "any text. By default it is the DESS.",
    )


def define_participant_label() -> flags.FlagHolder[list[str]]:
    """Defines --participant_label for a command that is a BIDS-App."""
    return flags.DEFINE_list(
        "participant_label",
        [],
        "The subjects of a BIDS dataset, with or without sub-; by default all.",
    )


def define_overwrite() -> flags.FlagHolder[bool]:
    """Defines --overwrite for a command that writes a whole output or none."""
    return flags.DEFINE_bool(
        "overwrite",
        False,
        "Replace an existing output of this command once the new one is whole, and start anew. "
        "By default an output of the same settings is completed or left as it is, and any other "
        "is an error.",
    )


def counted(number: int, noun: str) -> str:
    """Counts a noun: "1 subject" or "2 subjects"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def format_warnings() -> None:
    """Prints warnings in one line each; also for worker processes, which parse no flags."""
    flags.FLAGS.mark_as_parsed()
    logging.use_absl_handler()
    logging.get_absl_handler().setFormatter(_OneLine())


class _OneLine(Formatter):
    def format(self, record: LogRecord) -> str:
        return f"{record.levelname.lower()}: {' '.join(record.getMessage().split())}"


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Imports TensorFlow inside the block; what its libraries print is shown only if they fail.

    They also look for GPUs here instead of at first use: without any, they print complaints.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
            if "tensorflow" in sys.modules:
                sys.modules["tensorflow"].config.list_physical_devices()
        except BaseException as error:
            if isinstance(error, ImportError) and NO_ROOM in str(error):
                raise MemoryError("expected memory to load TensorFlow, found too little") from error
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def bids_app_flags(argv: list[str]) -> list[str]:
    """The flags that the arguments of a BIDS-App mean; flags stay as they are.

    python -m mrsr_tf.infer BIDS_DIR OUT_DIR participant --participant_label 01 02
    """
    program, *arguments = argv
    names = [argument.replace("-", "_") for argument in arguments]
    if "__participant_label" in names:
        start = names.index("__participant_label")
        labels = list(takewhile(_is_value, arguments[start + 1 :]))
        end = start + 1 + len(labels)
        arguments[start:end] = [f"--participant_label={','.join(labels)}"]
    places = _positional(arguments)
    if len(places) == 3:
        source, output, level = places.values()
        if level != "participant":
            raise flags.Error(f"expected participant as the level of analysis, got {level!r}")
        others = [value for index, value in enumerate(arguments) if index not in places]
        arguments = [f"--input={source}", f"--output={output}", *others]
    return [program, *arguments]


def _positional(arguments: list[str]) -> dict[int, str]:
    """The arguments that are neither flags nor their values, by index."""
    positional, follows_flag = {}, False
    for index, argument in enumerate(arguments):
        if _is_value(argument) and not follows_flag:
            positional[index] = argument
        name = argument.lstrip("-")
        takes_value = name in flags.FLAGS and not flags.FLAGS[name].boolean
        follows_flag = takes_value and not _is_value(argument)
    return positional


def _is_value(argument: str) -> bool:
    return not argument.startswith("-")


def _exit_code(main: Callable[[], None], argv: list[str]) -> int:
    if any(argument in ("-h", "-help", "--help", "--helpfull") for argument in argv[1:]):
        print(_help())
        return DONE
    if "--version" in argv[1:]:
        print(f"MRSR-TF {__version__}")
        return DONE
    try:
        if "participant_label" in flags.FLAGS:
            argv = bids_app_flags(argv)
        stray = flags.FLAGS([_resolve_flagfile(argument) for argument in argv])[1:]
        _check_values()
    except UnicodeDecodeError as error:
        return _report(f"expected a flagfile of text in UTF-8: {error}", WRONG_USAGE)
    except flags.Error as error:
        return _report(f"{_translate_error(error)}; --help lists the flags", WRONG_USAGE)
    if stray:
        return _report(f"expected flags only, got {stray[0]!r}; --help lists them", WRONG_USAGE)
    format_warnings()
    try:
        main()
    except AlreadyDone as done:
        print(done)
    except (InputError, OSError, MemoryError) as error:
        if logging.level_debug():
            traceback.print_exc()
        return _report(str(error) or "expected more memory than there is", BAD_INPUT)
    except KeyboardInterrupt:
        return _report("interrupted; the same call resumes", INTERRUPTED)
    return DONE


def _resolve_flagfile(argument: str) -> str:
    """Lets `--flagfile=flags/paper/dual` work in any folder as it does in a checkout."""
    name, _, path = argument.partition("=")
    if name.lstrip("-") != "flagfile" or not path.startswith("flags/") or Path(path).exists():
        return argument
    return f"{name}={FLAGFILES.parent / path}"


def _translate_error(error: flags.Error) -> str:
    """Says what was expected and what came, where absl says what is wrong with a value."""
    message = str(error)
    missing = re.findall(rf"Flag (--\w+) {REQUIRED}", message)
    if missing:
        return f"expected also {' and '.join(missing)}"
    wrong = re.match(r"flag --(\w+)=(.*?): ", message, re.DOTALL)
    if wrong is None:
        return message.removeprefix("ERROR:: ").rstrip(" ?")
    name, value = wrong.groups()
    flag = flags.FLAGS[name]
    choices = getattr(flag.parser, "enum_values", None)
    expected = f"one of {', '.join(choices)}" if choices else flag.parser.syntactic_help
    return f"expected for --{name} {'true or false' if flag.boolean else expected}, got {value!r}"


def _check_values() -> None:
    """Raises `flags.Error` for values that absl accepts and no command can use."""
    for name, value in flags.FLAGS.flag_values_dict().items():
        if "\0" in str(value):
            raise flags.Error(f"expected for --{name} text, got a zero byte in it")
        if isinstance(value, float) and not math.isfinite(value):
            raise flags.Error(f"expected for --{name} a finite number, got {value}")
        if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            raise flags.Error(
                f"expected for --{name} an integer up to {LARGEST_INTEGER}, got {value}"
            )


def _help() -> str:
    for flag in flags.FLAGS.get_flags_for_module(sys.argv[0]):
        if any(REQUIRED in validator.message for validator in flag.validators):
            flag.help += " Required."
    usage = (sys.modules["__main__"].__doc__ or "").strip()
    _, _, flag_help = flags.FLAGS.main_module_help().strip().partition("\n")  # less its heading
    return (
        f"{usage}\n\nFlags:\n{flag_help}\n"
        f"  --flagfile: Read flags from this file, one per line. flags/paper/dual and others are\n"
        f"    in {FLAGFILES} and are found from any folder.\n"
        "  --version: Print the version."
    )


def _report(message: str, code: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code
