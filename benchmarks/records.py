r"""Training records of one study: what they cost, and how fast they are read.

    python -m benchmarks.records
    python -m benchmarks.records --shape=128,128,96 --compression=zlib
    python -m benchmarks.records --scan=data/phantom/subject_000

Times the very command on a scan (a made-up one by default), beside what one study may cost, then
reads its records as training does, in random order, checked and decoded; in turns with it, the same
shard is read by a bare TFRecordDataset, in order, which decodes nothing.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags

from benchmarks import table
from benchmarks.measuring import in_turns, of_command, seconds
from mrsr_tf import cli

SHAPE = flags.DEFINE_list("shape", ["416", "416", "160"], "Rows, columns and slices to make up.")
SCAN = flags.DEFINE_string("scan", None, "A subject's scan to use instead.")
COMPRESSION = flags.DEFINE_enum("compression", "none", ["none", "zlib"], "Of the records.")
AIR_BELOW = flags.DEFINE_float("air_below", 0, "As of make_records.")
ROUNDS = flags.DEFINE_integer("rounds", 9, "Turns of each reader.", lower_bound=1)
BATCH_SIZE = 50
# What a study of the full size may cost on two cores.
MOST_SECONDS, MOST_GB, MOST_MEMORY_GB = 60, 1.5, 4


def measure() -> list[table.Row]:
    """Makes and reads records in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(SCAN.value) if SCAN.value else _made_up(Path(folder))
        records = Path(folder) / "records"
        return [*_made(scan, records), _read(records)]


def _made_up(folder: Path) -> Path:
    """A scan of two echoes: a bright ellipsoid of texture and noise, in air."""
    from scipy import ndimage

    from mrsr_tf.io.nifti import write_nifti
    from mrsr_tf.volume import Volume

    shape = tuple(int(length) for length in SHAPE.value)
    random = np.random.default_rng(0)
    coarse = random.random(tuple(-(-length // 8) for length in shape), np.float32)
    texture = ndimage.zoom(coarse, 8, order=1)[tuple(slice(length) for length in shape)]
    axes = np.ogrid[tuple(slice(-1, 1, length * 1j) for length in shape)]
    texture *= sum(axis**2 for axis in axes) < 0.8
    echoes = np.stack([2500 * texture, 1500 * texture], axis=3)
    echoes += random.normal(0, 25, echoes.shape).astype(np.float32)
    scan = Volume(np.abs(echoes).round(), np.diag([0.4, 0.4, 0.7, 1]), (7.0, 39.0), 23.0, 20.0)
    write_nifti(scan, folder / "scan.nii")
    return folder / "scan.nii"


def _made(scan: Path, records: Path) -> Iterator[table.Row]:
    flags_ = (f"--input={scan}", f"--output={records}", "--contrasts=dual")
    settings = (f"--compression={COMPRESSION.value}", f"--air_below={AIR_BELOW.value}")
    taken, memory = of_command("tf_records_tools.make_records", *flags_, *settings)
    size = sum(path.stat().st_size for path in records.iterdir()) / 1e9
    for what, unit, value, most in (
        ("making records, the command's start included", "s", taken, MOST_SECONDS),
        ("on disk", "GB", size, MOST_GB),
        ("memory at the most", "GB", memory, MOST_MEMORY_GB),
    ):
        yield table.Row(what, unit, [value], "at most", [most])


def _read(folder: Path) -> table.Row:
    with cli.quiet_imports():
        import tensorflow as tf

        from mrsr_tf.records.reader import read_manifest, training_batches

    count = read_manifest(folder)["counts"]["train"]["records"]
    shards = [str(path) for path in sorted(folder.glob("train-*.tfrecord"))]

    def decoded() -> None:
        for _ in training_batches(folder, BATCH_SIZE, seed=0, epoch=0):
            pass

    def bare() -> None:
        tf.data.TFRecordDataset(shards).reduce(0, lambda seen, _: seen + 1).numpy()

    os.sync()  # what was just written is not to be on its way to the disk meanwhile
    rates = in_turns(
        {"decoded": lambda: count / seconds(decoded), "bare": lambda: count / seconds(bare)},
        ROUNDS.value,
    )
    return table.Row(
        f"{count:,} records decoded for training", "patches/s",
        rates["decoded"], "bare TFRecordDataset", rates["bare"],
    )  # fmt: skip


if __name__ == "__main__":
    table.run(measure)
