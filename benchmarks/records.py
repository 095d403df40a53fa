"""What does one study cost as training records, and how fast are they read?

    python -m benchmarks.records
    python -m benchmarks.records --shape=128,128,96

Runs make_records on a scan of noise and compares its time, disk space and memory with limits. Then
reads the records as training does, in random order, checked and decoded; in turns with it, a bare
TFRecordDataset reads the same file in order and decodes nothing.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from benchmarks import table
from benchmarks.measuring import in_turns, run_command, seconds, write_random_scan
from mrsr_tf import cli

SHAPE = flags.DEFINE_list("shape", ["416", "416", "160"], "Rows, columns and slices of the scan.")
ROUNDS = flags.DEFINE_integer("rounds", 9, "Number of rounds of reading.", lower_bound=1)
BATCH_SIZE = 50
# For one study of 416 x 416 x 160 on two cores.
LIMIT_S, LIMIT_DISK_GB, LIMIT_MEMORY_GB = 60, 1.5, 4


def measure() -> list[table.Row]:
    """Makes and reads records in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        scan = write_random_scan(Path(folder) / "scan.nii", tuple(map(int, SHAPE.value)))
        records = Path(folder) / "records"
        return [*_making(scan, records), _reading(records)]


def _making(scan: Path, records: Path) -> Iterator[table.Row]:
    duration, memory = run_command(
        "tf_records_tools.make_records", f"--input={scan}", f"--output={records}",
        "--contrasts=dual",
    )  # fmt: skip
    size = sum(path.stat().st_size for path in records.iterdir()) / 1e9
    for quantity, unit, value, limit in (
        ("making records, with the start of the command", "s", duration, LIMIT_S),
        ("size on disk", "GB", size, LIMIT_DISK_GB),
        ("peak memory", "GB", memory, LIMIT_MEMORY_GB),
    ):
        yield table.Row(quantity, unit, [value], "limit", [limit])


def _reading(folder: Path) -> table.Row:
    with cli.quiet_imports():
        import tensorflow as tf

        from mrsr_tf.records.manifest import read_manifest
        from mrsr_tf.records.reader import training_batches

    count = read_manifest(folder)["counts"]["train"]["records"]
    shards = [str(path) for path in sorted(folder.glob("train-*.tfrecord"))]

    def decode() -> None:
        for _ in training_batches(folder, BATCH_SIZE, seed=0, epoch=0):
            pass

    def read() -> None:
        tf.data.TFRecordDataset(shards).reduce(0, lambda total, _: total + 1).numpy()

    os.sync()  # what was just written must not reach the disk during the measurement
    peer = "bare TFRecordDataset"
    contenders = {table.OURS: lambda: count / seconds(decode), peer: lambda: count / seconds(read)}
    rates = in_turns(contenders, ROUNDS.value)
    return table.rows_by_peer(f"{count:,} records decoded for training", "patches/s", rates)[0]


if __name__ == "__main__":
    table.run(measure)
