r"""Makes digital knees: DESS scans as DICOM, and the T1, T2 and proton density they were made of.

    python -m phantom.simulate --output=data/phantom --subjects=10 --seed=0
    python -m phantom.simulate --output=data/small --subjects=4 --shape=64,64,48
    python -m phantom.simulate --output=data/t2 --subjects=5 --protocol=thick

Each subject is a folder: dicom/ (one file per slice and echo), truth/{t1_ms,t2_ms,m0,labels}.nii.gz
on the same grid, and truth/acquisition.json. The same seed gives the same files.
"""

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from mrsr_tf import cli

FLAGS = flags.FLAGS
BYTES, BYTES_PER_VOXEL = 400_000_000, 60  # of memory: measured at 416x416x160
FASTEST = 1e-8  # m^2/s; free water at 37 degrees has 3e-9


def _define_flags() -> None:
    protocols = ["high_resolution", "thick", "single_contrast"]
    flags.DEFINE_string("output", None, "Folder to make.", required=True)
    flags.DEFINE_integer("subjects", None, "How many knees.", required=True, lower_bound=1)
    flags.DEFINE_integer("seed", 0, "What all random numbers start from.", lower_bound=0)
    flags.DEFINE_list(
        "shape", None, "Rows, columns, slices; the protocol's by default. Smaller ones crop the "
        "field of view around the joint.",
    )  # fmt: skip
    flags.DEFINE_enum("protocol", "high_resolution", protocols, "What is scanned how.")
    flags.DEFINE_float(
        "diffusivity", 1.25e-9, "m^2/s of cartilage and all else but liquids, which diffuse twice "
        "as fast. 0: spins do not diffuse and the spoiler is not written.", lower_bound=0,
        upper_bound=FASTEST,
    )  # fmt: skip
    flags.DEFINE_list(
        "snr", None, "Range of the S1 signal-to-noise ratio of cartilage; 0 is no noise. The "
        "protocol's by default.",
    )  # fmt: skip
    flags.DEFINE_bool(
        "truncate",
        True,
        "Sample k-space as a scanner does, with its ringing; otherwise voxels are plain averages.",
    )
    flags.DEFINE_integer(
        "workers", 0, "Processes; 0: one per core, as far as memory goes.", lower_bound=0
    )
    flags.DEFINE_bool("overwrite", False, "Remove what stands at --output and start anew.")


@dataclass(frozen=True)
class Options:
    """What decides the content of a set of knees; plain values, written beside them."""

    seed: int
    subjects: int
    protocol: str
    shape: tuple[int, ...]
    snr: tuple[float, ...]
    diffusivity_m2_per_s: float
    truncate: bool


def main() -> None:
    """The command."""
    from mrsr_tf.outputs import output_folder
    from mrsr_tf.parallel import default_workers, in_processes

    options = _options()
    memory = BYTES + BYTES_PER_VOXEL * math.prod(options.shape)
    workers = min(FLAGS.workers or default_workers(memory), options.subjects)
    threads = max(1, (os.cpu_count() or 1) // workers)
    with output_folder(
        FLAGS.output, asdict(options), overwrite=FLAGS.overwrite, resume=True
    ) as folder:
        make = partial(_make, folder=folder, options=options, threads=threads)
        missing = [n for n in range(options.subjects) if not (folder / _name(n)).exists()]
        in_processes(make, missing, "knees", memory, workers=workers)
    print(f"{cli.counted(options.subjects, 'knee')} simulated: {FLAGS.output}")


def _options() -> Options:
    from mrsr_tf.errors import InputError
    from phantom.scanner.acquisition import PROTOCOLS

    protocol = PROTOCOLS[FLAGS.protocol]
    shape = protocol.shape if FLAGS.shape is None else _numbers("shape", FLAGS.shape, int)
    snr = protocol.snr if FLAGS.snr is None else _numbers("snr", FLAGS.snr, float)
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"expected --shape=ROWS,COLUMNS,SLICES of 1 or more, got {FLAGS.shape}")
    if len(snr) not in (1, 2) or not (0 < snr[0] <= snr[-1] < math.inf or set(snr) == {0}):
        raise InputError(
            f"expected --snr=LOWEST,HIGHEST above 0, or 0 for no noise, got {FLAGS.snr}"
        )
    return Options(
        FLAGS.seed, FLAGS.subjects, protocol.name, shape, snr, FLAGS.diffusivity, FLAGS.truncate
    )


def _numbers(flag: str, given: list[str], kind: Callable[[str], Any]) -> tuple[Any, ...]:
    from mrsr_tf.errors import InputError

    try:
        return tuple(kind(number) for number in given)
    except ValueError:
        raise InputError(f"expected numbers in --{flag}, got {given}") from None


def _name(number: int) -> str:
    return f"subject_{number:03d}"


def _make(number: int, folder: Path, options: Options, threads: int) -> None:
    import shutil

    from phantom.scanner.acquisition import PROTOCOLS
    from phantom.subject import make_subject, write_subject

    unfinished = folder / f"{_name(number)}.partial"
    shutil.rmtree(unfinished, ignore_errors=True)
    settings: dict[str, Any] = asdict(options)
    settings.pop("subjects")
    settings["protocol"] = PROTOCOLS[options.protocol]
    write_subject(make_subject(number, threads=threads, **settings), unfinished)
    unfinished.rename(folder / _name(number))


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
