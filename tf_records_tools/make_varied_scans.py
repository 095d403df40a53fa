r"""Makes many scans of few volumes for pre-training, with random slice axes and contrasts.

    python -m tf_records_tools.make_varied_scans --input=volumes/head.nii.gz,volumes/fruit.nii.gz \
        --output=scans/varied --contrasts=single --scans=12
    python -m tf_records_tools.make_records --input=scans/varied --output=records/single \
        --contrasts=single

Each volume of --input is an isotropic NIfTI file, for example a T1-weighted head. Contrast,
shading, resolution, slice thickness, noise and the scanner's interpolation are drawn at random from
the ranges of knee scans. With --contrasts=dual each scan has two echoes of different contrast and
the same texture.

A scan is named after its volume's number (sub-1_run-003.nii), so that make_records keeps the scans
of one volume on one side of the split. The same seed gives the same scans, and the same call
completes an interrupted one.
"""

from typing import Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.records.contrasts import Contrasts

FLAGS = flags.FLAGS
SETTINGS = ("contrasts", "scans", "fewest_slices", "first_number", "seed")


def _define_flags() -> None:
    flags.DEFINE_list("input", None, "NIfTI files of one echo.", required=True)
    flags.DEFINE_string("output", None, "The folder to make.", required=True)
    flags.DEFINE_enum(
        "contrasts", Contrasts.SINGLE, list(Contrasts), "Whether each scan has one echo or two."
    )
    cli.define_count("scans", 12, "Number of scans of each volume.", most=100_000)
    cli.define_count(
        "fewest_slices",
        48,
        "At least so many slices remain in each scan.",
        least=2,
    )
    cli.define_count("first_number", 1, "Number of the first volume.", least=0)
    cli.define_seed("Seed of all random properties.")
    cli.define_overwrite()


def main() -> None:
    """The command."""
    import numpy as np
    from tqdm import tqdm

    from mrsr_tf.errors import naming
    from mrsr_tf.io.nifti import read_nifti, write_nifti
    from mrsr_tf.outputs import check_output, output_folder
    from mrsr_tf.records.manifest import scan_sha256
    from tf_records_tools.domain_randomization import randomize_scan

    check_output(FLAGS.output, FLAGS.input)
    echoes = Contrasts(FLAGS.contrasts).echoes
    volumes = [read_nifti(path) for path in FLAGS.input]
    configuration: dict[str, Any] = {name: FLAGS[name].value for name in SETTINGS}
    configuration["volumes"] = [scan_sha256(volume) for volume in volumes]
    output = output_folder(
        FLAGS.output,
        configuration,
        command="tf_records_tools.make_varied_scans",
        overwrite=FLAGS.overwrite,
        resume=True,
    )
    with output as folder:
        pairs = [(index, run) for index in range(len(volumes)) for run in range(FLAGS.scans)]
        for index, run in tqdm(pairs, "scans", unit="scan", disable=None, delay=2):
            number = FLAGS.first_number + index
            path = folder / f"sub-{number}_run-{run:03d}.nii"
            if path.exists():
                continue
            random = np.random.default_rng((FLAGS.seed, number, run))
            with naming(FLAGS.input[index]):
                scan = randomize_scan(
                    volumes[index], echoes, random, fewest_slices=FLAGS.fewest_slices
                )
            write_nifti(scan, path)
    print(
        f"{cli.counted(len(pairs), 'scan')} of {cli.counted(len(volumes), 'volume')}: "
        f"{FLAGS.output}"
    )


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
