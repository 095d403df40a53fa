"""Reads and checks every record, and names the shard and the number of the first bad one.

    python -m tf_records_tools.check_records --records=data/records
    python -m tf_records_tools.check_records --records=data/records --input=data/phantom

It checks checksums, schema, shapes and ranges, that each patch of each subject's grid is there
once, that the manifest and its counts are right, and that no patient is in both training and
validation. With --input it also checks that the records were made of these scans.
"""

from absl import flags

from mrsr_tf import cli

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_string("records", None, "The folder of the records.", required=True)
    flags.DEFINE_list("input", [], "Folders of the scans of which the records were made.")
    cli.define_series()


def main() -> None:
    """The command."""
    from tf_records_tools.verification import check_records

    manifest = check_records(FLAGS.records, FLAGS.input, FLAGS.series)
    for split, count in manifest["counts"].items():
        subjects = cli.counted(count["subjects"], "subject")
        print(f"{split}: {count['records']} records of {subjects} are right")


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
