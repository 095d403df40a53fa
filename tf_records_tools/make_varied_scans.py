r"""Makes many scans of few volumes, to pre-train on: every axis as slices, all else by chance.

    python -m tf_records_tools.make_varied_scans --input=volumes/head.nii.gz,volumes/fruit.nii.gz \
        --output=scans/varied --contrasts=single --scans=12
    python -m tf_records_tools.make_records --input=scans/varied --output=records/single \
        --contrasts=single

Each volume of --input is a NIfTI file of voxels alike along all axes, as a T1-weighted head.
--scans are made of each: contrast, shading, resolution, slice thickness, noise and the scanner's
interpolation are drawn at random, around what knee scans have. With --contrasts=dual each scan has
two echoes of different contrast, and the texture of the one is that of the other.

A scan is named after its volume's number (sub-1_run-003.nii), so that make_records keeps those
of one volume on one side of the split. The same seed gives the same scans; an interrupted call is
finished by the same call.
"""

from typing import Any

from absl import flags

from mrsr_tf import cli

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_list("input", None, "NIfTI files of one echo.", required=True)
    flags.DEFINE_string("output", None, "Folder to make.", required=True)
    flags.DEFINE_enum("contrasts", "single", ["single", "dual"], "Echoes of each scan: one or two.")
    flags.DEFINE_integer("scans", 12, "Of each volume.", lower_bound=1)
    flags.DEFINE_integer(
        "fewest_slices", 48, "Slices are made thick as far as so many are left.", lower_bound=2
    )
    flags.DEFINE_integer("first_number", 1, "Of the volumes in the names.", lower_bound=0)
    flags.DEFINE_integer("seed", 0, "What all random numbers start from.", lower_bound=0)
    cli.define_overwrite()


def main() -> None:
    """The command."""
    import hashlib
    from pathlib import Path

    from tqdm import tqdm

    from mrsr_tf.outputs import output_folder

    paths = [Path(path) for path in FLAGS.input]
    settings: dict[str, Any] = {
        name: FLAGS[name].value
        for name in ("contrasts", "scans", "fewest_slices", "first_number", "seed")
    }
    volumes = [hashlib.sha256(_bytes(path)).hexdigest() for path in paths]
    with output_folder(
        FLAGS.output, settings | {"volumes": volumes}, overwrite=FLAGS.overwrite, resume=True
    ) as folder:
        wanted = [(place, run) for place in range(len(paths)) for run in range(FLAGS.scans)]
        for place, run in tqdm(wanted, "scans", unit="scan", disable=None, delay=2):
            name = f"sub-{FLAGS.first_number + place}_run-{run:03d}.nii"
            if not (folder / name).exists():
                _make(paths[place], folder / name, (FLAGS.seed, FLAGS.first_number + place, run))
    made = f"{cli.counted(len(wanted), 'scan')} of {cli.counted(len(paths), 'volume')}"
    print(f"{made}: {FLAGS.output}")


def _bytes(path: Any) -> bytes:
    from mrsr_tf.errors import InputError

    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"expected a NIfTI file, {error.strerror}: {path}") from None


def _make(source: Any, path: Any, seed: tuple[int, ...]) -> None:
    import numpy as np

    from mrsr_tf.errors import InputError
    from mrsr_tf.io.nifti import read_nifti, write_nifti
    from tf_records_tools.domain_randomization import varied

    echoes = {"single": 1, "dual": 2}[FLAGS.contrasts]
    chance = np.random.default_rng(seed)
    volume = read_nifti(source)
    try:
        scan = varied(volume, echoes, chance, fewest_slices=FLAGS.fewest_slices)
    except InputError as error:
        raise InputError(f"{error}: {source}") from None
    write_nifti(scan, path)


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
