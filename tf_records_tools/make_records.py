r"""Makes training records of scans: one shard per subject, and a manifest that describes them.

    python -m tf_records_tools.make_records --input=data/phantom --output=data/records \
        --contrasts=dual
    python -m tf_records_tools.make_records --input=data/mine,data/more --output=data/single \
        --contrasts=single --validation_subjects=10 --seed=1
    python -m tf_records_tools.make_records --input=/nfs/scans --output=/nfs/records \
        --contrasts=dual --runner=FlinkRunner --beam_option=flink_master=flink:8081

Each folder of --input holds one folder or file per subject, DICOM or NIfTI. The scan itself is the
network's target. Its input is the scan with thick slices, interpolated back to the fine slices. No
patient is in both training and validation: scans with one PatientID (or one sub- of BIDS) stay
together. For --contrasts=single, two echoes are combined to the root of the sum of their squares.

The same call completes an interrupted one. The records do not depend on --workers and --runner.
"""

from dataclasses import fields
from functools import partial
from typing import Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.mri.slices import DEFAULT_FACTOR, Profile
from mrsr_tf.records.contrasts import Contrasts

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_list("input", None, "Folders of subjects.", required=True)
    flags.DEFINE_string("output", None, "The folder to make.", required=True)
    flags.DEFINE_enum(
        "contrasts", None, list(Contrasts), "Whether a record has one echo or two.", required=True
    )
    cli.define_count("patch_size", 32, "Patch size in voxels along each axis.")
    cli.define_count("stride", 16, "Voxels from one patch to the next.")
    cli.define_slice_factor(DEFAULT_FACTOR, "Fine slices per thick one.")
    flags.DEFINE_enum(
        "profile", Profile.FIR, list(Profile), "Slice profile of the thick slices: the low-pass "
        "filter of the paper, the mean of neighbouring slices, or fewer phase encodes.",
    )  # fmt: skip
    flags.DEFINE_float(
        "air_below", 0, "Leave out patches in which less than 1% of the voxels reach this share of "
        "the subject's intensity scale. 0.05 leaves out air and keeps marrow; by default all "
        "patches are kept.",
        lower_bound=0, upper_bound=1,
    )  # fmt: skip
    flags.DEFINE_bool("allow_interpolated", False, "Accept slices that the scanner interpolated.")
    cli.define_count(
        "validation_subjects", None, "Number of patients for validation. By default it is a "
        "quarter.", least=0,
    )  # fmt: skip
    flags.DEFINE_string(
        "group_by", "patient", "Which scans stay on one side of the split: those of a patient, as "
        "the scans name it; each scan alone, with 'scan'; or those of a patient in a CSV table "
        "with the columns subject and patient.",
    )  # fmt: skip
    cli.define_seed("Seed of the split and of the order.")
    cli.define_series()
    cli.define_slice_axis()
    cli.define_count(
        "workers", None, "Number of subjects at the same time on this machine. By default it is "
        "the number of cores, as far as the memory allows.",
    )  # fmt: skip
    flags.DEFINE_string("runner", None, "Apache Beam runner to use, such as DirectRunner.")
    flags.DEFINE_multi_string("beam_option", [], "Another option of --runner, as name=value.")
    cli.define_overwrite()


def main() -> None:
    """The command."""
    from mrsr_tf.parallel import map_in_processes
    from tf_records_tools.beam_runner import map_on_beam
    from tf_records_tools.cohort import Run, make_records
    from tf_records_tools.shard import Settings
    from tf_records_tools.training_pair import HOT

    run: Run = partial(map_in_processes, workers=FLAGS.workers)
    if FLAGS.runner:
        run = partial(
            map_on_beam, runner=FLAGS.runner, workers=FLAGS.workers, options=FLAGS.beam_option
        )
    settings: dict[str, Any] = {field.name: FLAGS[field.name].value for field in fields(Settings)}
    manifest = make_records(
        FLAGS.input,
        FLAGS.output,
        Settings(**settings),
        validation_subjects=FLAGS.validation_subjects,
        group_by=FLAGS.group_by,
        series=FLAGS.series,
        run=run,
        report=print,
        overwrite=FLAGS.overwrite,
    )
    for split, count in manifest["counts"].items():
        air = f", {count['air']} patches of air left out" if count["air"] else ""
        subjects = cli.counted(count["subjects"], "subject")
        print(f"{split}: {count['records']} records of {subjects}{air}")
    clipped = [entry["clipped"] for entry in manifest["subjects"] if entry["clipped"]]
    if clipped:
        print(
            f"clipped: {sum(clipped)} voxels of {cli.counted(len(clipped), 'scan')} that are "
            f"more than {HOT} times as bright as the 99.9th percentile"
        )


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
