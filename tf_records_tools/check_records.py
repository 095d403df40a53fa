"""Reads every record and says what is wrong with the first bad one: which shard, which record.

    python -m tf_records_tools.check_records --records=data/records
    python -m tf_records_tools.check_records --records=data/records --input=data/phantom

Checked: checksums, schema, shapes, ranges, each patch of each subject's grid once, the manifest
and its counts, and that no subject is both trained and validated on. With --input, also that
these are the very scans that the records were made of.
"""

from absl import flags

from mrsr_tf import cli

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_string("records", None, "Folder that make_records made.", required=True)
    flags.DEFINE_list("input", [], "Folders of the subjects that the records were made of.")


def main() -> None:
    """The command."""
    from tf_records_tools.verification import check_records

    for split, count in check_records(FLAGS.records, FLAGS.input)["counts"].items():
        subjects = cli.counted(count["subjects"], "subject")
        print(f"{split}: {count['records']} records of {subjects} are right")


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
