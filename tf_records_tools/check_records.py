"""Reads every record and says what is wrong with the first bad one: which shard, which record.

    python -m tf_records_tools.check_records --records=data/records

Checked: checksums, schema, shapes, finite ranges, each patch of each subject's grid once, the
counts of the manifest, and that no subject is both trained and validated on.
"""

from absl import flags

from mrsr_tf import command

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_string("records", None, "Folder that make_records made.", required=True)


def main() -> None:
    """The command."""
    from tf_records_tools.checking import check_records

    for split, count in check_records(FLAGS.records)["counts"].items():
        print(f"{split}: {count['records']} records of {count['subjects']} subjects are right")


if __name__ == "__main__":
    _define_flags()
    command.run(main)
