r"""Makes training records of scans: one shard per subject, and a manifest of how it was done.

    python -m tf_records_tools.make_records --input=data/phantom --output=data/records \
        --contrasts=dual
    python -m tf_records_tools.make_records --input=data/mine,data/more --output=data/single \
        --contrasts=single --validation_subjects=10 --seed=1
    python -m tf_records_tools.make_records --input=/nfs/scans --output=/nfs/records \
        --contrasts=dual --runner=FlinkRunner --beam_option=flink_master=flink:8081

Each folder of --input holds one folder or file per subject, DICOM or NIfTI. Fine slices are made
thick and interpolated back: that is the network's input, the scan itself is the truth. Nobody is
both trained and validated on: scans of one PatientID (or BIDS sub-) stay together. Two echoes
asked for one contrast are joined to the root of the sum of their squares.

An interrupted call is finished by the same call. The records are the same whatever --workers and
--runner make them.
"""

from functools import partial
from typing import Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.mri.slices import DEFAULT_FACTOR, Profile
from mrsr_tf.records.contrasts import Contrasts

FLAGS = flags.FLAGS
SETTINGS = (
    "contrasts", "patch_size", "stride", "slice_factor", "profile", "air_below",
    "allow_interpolated", "seed", "slice_axis",
)  # fmt: skip


def _define_flags() -> None:
    flags.DEFINE_list("input", None, "Folders of subjects.", required=True)
    flags.DEFINE_string("output", None, "Folder to make.", required=True)
    flags.DEFINE_enum("contrasts", None, list(Contrasts), "What to train on.", required=True)
    flags.DEFINE_integer("patch_size", 32, "Voxels along each axis.", lower_bound=1)
    flags.DEFINE_integer("stride", 16, "Voxels from patch to patch.", lower_bound=1)
    flags.DEFINE_integer(
        "slice_factor", DEFAULT_FACTOR, "Fine slices per thick one.", lower_bound=2
    )
    flags.DEFINE_enum(
        "profile", Profile.FIR, list(Profile),
        "What makes slices thick: the paper's low-pass, a mean of slices, or fewer kz.",
    )  # fmt: skip
    flags.DEFINE_float(
        "air_below", 0, "Leave out patches less than 1% of whose voxels reach this share of the "
        "subject's intensity scale: 0.05 drops air and keeps marrow; 0 keeps all.",
        lower_bound=0, upper_bound=1,
    )  # fmt: skip
    flags.DEFINE_bool(
        "allow_interpolated", False, "Train on slices that the scanner interpolated, too."
    )
    flags.DEFINE_integer(
        "validation_subjects", None, "How many persons to validate on; a quarter by default.",
        lower_bound=0,
    )  # fmt: skip
    flags.DEFINE_string(
        "group_by", "person", "Whose scans stay on one side of the split: those of a person, as "
        "the scans name them; those of a scan, each for itself; or as a CSV table of the columns "
        "subject and person says.",
    )  # fmt: skip
    flags.DEFINE_integer("seed", 0, "Of the split and of the records' order.", lower_bound=0)
    cli.define_slice_axis()
    flags.DEFINE_integer(
        "workers", None, "Subjects at once on this machine; by default one per core, as far as "
        "memory goes.", lower_bound=1,
    )  # fmt: skip
    flags.DEFINE_string("runner", None, "Apache Beam runner to use, such as DirectRunner.")
    flags.DEFINE_multi_string("beam_option", [], "Further option of --runner, as name=value.")
    cli.define_overwrite()


def main() -> None:
    """The command."""
    from mrsr_tf.parallel import map_in_processes
    from tf_records_tools.beam_runner import on_beam
    from tf_records_tools.cohort import Run, make_records
    from tf_records_tools.shard import Settings

    run: Run = partial(map_in_processes, workers=FLAGS.workers)
    if FLAGS.runner:
        run = partial(
            on_beam, runner=FLAGS.runner, workers=FLAGS.workers, options=FLAGS.beam_option
        )
    settings: dict[str, Any] = {name: FLAGS[name].value for name in SETTINGS}
    manifest = make_records(
        FLAGS.input,
        FLAGS.output,
        Settings(**settings),
        validation_subjects=FLAGS.validation_subjects,
        group_by=FLAGS.group_by,
        run=run,
        tell=print,
        overwrite=FLAGS.overwrite,
    )
    for split, count in manifest["counts"].items():
        air = f", {count['air']} patches of air left out" if count["air"] else ""
        subjects = cli.counted(count["subjects"], "subject")
        print(f"{split}: {count['records']} records of {subjects}{air}")


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
