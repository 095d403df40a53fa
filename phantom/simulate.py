r"""Simulates digital knees: DESS scans as DICOM files, with the true T1, T2 and proton density.

    python -m phantom.simulate --output=data/phantom --subjects=10 --seed=0
    python -m phantom.simulate --output=data/small --subjects=4 --shape=64,64,48
    python -m phantom.simulate --output=data/t2 --subjects=5 --protocol=thick

Each subject is a folder: dicom/ (one file per slice and echo), truth/{t1_ms,t2_ms,m0,labels}.nii.gz
on the same grid, and truth/acquisition.json. The same seed gives the same files.
"""

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import InputError
from phantom.scanner.protocols import HIGH_RESOLUTION, PROTOCOLS

if TYPE_CHECKING:
    from phantom.subject import SimulationConfig

FLAGS = flags.FLAGS
# Memory of one process, as measured at 416x416x160.
BYTES, BYTES_PER_VOXEL = 400_000_000, 85
HIGHEST_DIFFUSIVITY = 1e-8  # m^2/s; free water at 37 degrees has 3e-9


def _define_flags() -> None:
    flags.DEFINE_string("output", None, "The folder to write.", required=True)
    cli.define_count("subjects", None, "Number of knees.", most=100_000, required=True)
    cli.define_seed("Seed of all random numbers.")
    flags.DEFINE_list(
        "shape", None, "Rows, columns and slices. Fewer than the protocol's, which are the "
        "default, crop the field of view around the joint.",
    )  # fmt: skip
    flags.DEFINE_enum("protocol", HIGH_RESOLUTION.name, list(PROTOCOLS), "The scan protocol.")
    flags.DEFINE_float(
        "diffusivity", 1.25e-9, "Diffusivity of cartilage and other tissues in m^2/s. Liquids "
        "diffuse twice as fast. With 0 spins do not diffuse and the files hold no spoiler.",
        lower_bound=0, upper_bound=HIGHEST_DIFFUSIVITY,
    )  # fmt: skip
    flags.DEFINE_list(
        "snr", None, "Range from which the S1 signal-to-noise ratio of cartilage is sampled. With "
        "0 there is no noise. The default is the protocol's range.",
    )  # fmt: skip
    flags.DEFINE_list(
        "fat_t2", ["1"], "Range from which the T2 of fat and marrow is sampled, relative to that "
        "of the literature. The lower it is, the darker is fat in S2.",
    )  # fmt: skip
    flags.DEFINE_bool(
        "truncate", True, "Sample k-space as a scanner does, which causes ringing. Otherwise "
        "voxels are plain averages.",
    )  # fmt: skip
    cli.define_count(
        "workers", 0, "Number of processes. With 0 there is one per core, as far as the memory "
        "suffices.", least=0,
    )  # fmt: skip
    cli.define_overwrite()


def main() -> None:
    """Simulates the subjects that the output folder does not hold yet."""
    from mrsr_tf.outputs import check_output, output_folder
    from mrsr_tf.parallel import default_workers, map_in_processes

    check_output(FLAGS.output)
    config, subjects = _config(), FLAGS.subjects
    memory = BYTES + BYTES_PER_VOXEL * math.prod(config.shape)
    workers = min(FLAGS.workers or default_workers(memory), subjects)
    threads = max(1, (os.cpu_count() or 1) // workers)
    configuration = {
        "seed": config.seed,
        "subjects": subjects,
        **asdict(config),
        "protocol": config.protocol.name,
    }
    output = output_folder(
        FLAGS.output,
        configuration,
        command="phantom.simulate",
        overwrite=FLAGS.overwrite,
        resume=True,
    )
    with output as folder:
        simulate = partial(_simulate, folder=folder, config=config, threads=threads)
        missing = [n for n in range(subjects) if not (folder / _name(n)).exists()]
        map_in_processes(simulate, missing, "knees", memory, workers=workers)
    print(f"{cli.counted(subjects, 'knee')} simulated: {FLAGS.output}")


def _config() -> "SimulationConfig":
    from phantom.subject import SimulationConfig

    protocol = PROTOCOLS[FLAGS.protocol]
    shape = protocol.shape if FLAGS.shape is None else _numbers("shape", int)
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"expected --shape=ROWS,COLUMNS,SLICES of 1 or more, got {FLAGS.shape}")
    return SimulationConfig(
        seed=FLAGS.seed,
        protocol=protocol,
        shape=shape,
        snr=protocol.snr if FLAGS.snr is None else _range("snr", zero="no noise"),
        diffusivity_m2_per_s=FLAGS.diffusivity,
        truncate=FLAGS.truncate,
        fat_t2=_range("fat_t2"),
    )


def _range(flag: str, zero: str | None = None) -> tuple[float, ...]:
    """One value or two of a flag, above 0; where `zero` says what 0 means, 0 as well."""
    values = _numbers(flag, float)
    if len(values) not in (1, 2) or not (
        0 < values[0] <= values[-1] < math.inf or (zero and set(values) == {0})
    ):
        either = f", or 0 for {zero}" if zero else ""
        raise InputError(
            f"expected --{flag}=LOWEST,HIGHEST above 0{either}, got {FLAGS[flag].value}"
        )
    return values


def _numbers(flag: str, number_type: Callable[[str], Any]) -> tuple[Any, ...]:
    texts = FLAGS.flag_values_dict()[flag]
    try:
        return tuple(number_type(text) for text in texts)
    except ValueError:
        raise InputError(f"expected numbers in --{flag}, got {texts}") from None


def _name(number: int) -> str:
    return f"subject_{number:03d}"


def _simulate(number: int, folder: Path, config: "SimulationConfig", threads: int) -> None:
    from phantom.subject import make_subject, write_subject

    unfinished = folder / f"{_name(number)}.partial"
    shutil.rmtree(unfinished, ignore_errors=True)
    write_subject(make_subject(number, config, threads), unfinished)
    unfinished.rename(folder / _name(number))


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
