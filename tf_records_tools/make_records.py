r"""Makes training records of scans: one shard per subject, and a manifest of how it was done.

    python -m tf_records_tools.make_records --input=data/phantom --output=data/records \
        --contrasts=dual
    python -m tf_records_tools.make_records --input=data/mine,data/more --output=data/single \
        --contrasts=single --validation_subjects=10 --seed=1

Each folder of --input holds one folder or file per subject, DICOM or NIfTI. Fine slices are made
thick and interpolated back: that is the network's input, the scan itself is the truth. No subject
is both trained and validated on. Two echoes asked for one contrast are joined to the root of the
sum of their squares.

An interrupted call is finished by the same call.
"""

from absl import flags

from mrsr_tf import command

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_list("input", None, "Folders of subjects.", required=True)
    flags.DEFINE_string("output", None, "Folder to make.", required=True)
    flags.DEFINE_enum("contrasts", None, ["single", "dual"], "What to train on.", required=True)
    flags.DEFINE_integer("patch_size", 32, "Voxels along each axis.", lower_bound=1)
    flags.DEFINE_integer("stride", 16, "Voxels from patch to patch.", lower_bound=1)
    flags.DEFINE_integer("slice_factor", 2, "Fine slices per thick one.", lower_bound=2)
    flags.DEFINE_integer(
        "validation_subjects", None, "How many subjects to validate on; a quarter by default.",
        lower_bound=0,
    )  # fmt: skip
    flags.DEFINE_integer("seed", 0, "Of the split and of the records' order.", lower_bound=0)
    flags.DEFINE_integer(
        "slice_axis", 2, "Which axis of a NIfTI counts slices.", lower_bound=0, upper_bound=2
    )
    flags.DEFINE_bool("overwrite", False, "Remove what stands at --output and start anew.")


def main() -> None:
    """The command."""
    from tf_records_tools.cohort import make_records
    from tf_records_tools.subject import Settings

    manifest = make_records(
        FLAGS.input,
        FLAGS.output,
        Settings(
            contrasts=FLAGS.contrasts,
            patch_size=FLAGS.patch_size,
            stride=FLAGS.stride,
            slice_factor=FLAGS.slice_factor,
            seed=FLAGS.seed,
            slice_axis=FLAGS.slice_axis,
        ),
        validation_subjects=FLAGS.validation_subjects,
        overwrite=FLAGS.overwrite,
    )
    for split, count in manifest["counts"].items():
        print(f"{split}: {count['records']} records of {count['subjects']} subjects")


if __name__ == "__main__":
    _define_flags()
    command.run(main)
