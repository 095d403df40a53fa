r"""Training records of one study: what they cost, and how fast they are read.

    python -m benchmarks.records
    python -m benchmarks.records --shape=128,128,96 --compression=zlib
    python -m benchmarks.records --scan=data/phantom/subject_000

Times the very command on a scan (a made-up one by default), then reads its records as training
does, and, in turns with it, the same shard by a bare TFRecordDataset, which decodes nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags

from mrsr_tf import command
from mrsr_tf.errors import InputError

FLAGS = flags.FLAGS
TURNS = 5
BATCH_SIZE = 50


def _define_flags() -> None:
    flags.DEFINE_list("shape", ["416", "416", "160"], "Rows, columns and slices to make up.")
    flags.DEFINE_string("scan", None, "A subject's scan to use instead.")
    flags.DEFINE_enum("compression", "none", ["none", "zlib"], "Of the records.")
    flags.DEFINE_float("air_below", 0, "As of make_records.")


def main() -> None:
    """Makes and reads records in a temporary folder, and prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(FLAGS.scan) if FLAGS.scan else _made_up(Path(folder))
        records = Path(folder) / "records"
        seconds, memory = _make(scan, records)
        megabytes = sum(path.stat().st_size for path in records.iterdir()) / 1e6
        count, decoded, bare = _read(records)
    for what, value in (
        ("records", f"{count}"),
        ("made in", f"{seconds:.1f} s, the start of the command included"),
        ("on disk", f"{megabytes:.0f} MB"),
        ("peak memory", f"{memory / 1e9:.2f} GB"),
        ("bare TFRecordDataset", f"{bare:.0f} records/s"),
        ("decoded for training", f"{decoded:.0f} patches/s"),
        ("ratio", f"{decoded / bare:.2f}"),
    ):
        print(f"{what:22}{value}")


def _made_up(folder: Path) -> Path:
    """A scan of two echoes: a bright ellipsoid of texture and noise, in air."""
    from scipy import ndimage

    from mrsr_tf.nifti import write_nifti
    from mrsr_tf.volume import Volume

    shape = tuple(int(length) for length in FLAGS.shape)
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


def _make(scan: Path, records: Path) -> tuple[float, float]:
    """Seconds, and bytes of memory at the most."""
    flags_ = (f"--input={scan}", f"--output={records}", "--contrasts=dual")
    settings = (f"--compression={FLAGS.compression}", f"--air_below={FLAGS.air_below}")
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tf_records_tools.make_records", *flags_, *settings]
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise InputError(f"expected make_records to do its work, it ended with {status}: {scan}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def _read(folder: Path) -> tuple[int, float, float]:
    """How many records, and how many a second decoded and bare, each at its best.

    The best of several turns, since whatever else the machine does only ever adds to a time.
    """
    with command.quiet_imports():
        import tensorflow as tf

        from mrsr_tf.dataset import read_manifest, training_batches

    count = read_manifest(folder)["counts"]["train"]["records"]
    shards = [str(path) for path in sorted(folder.glob("train-*.tfrecord"))]

    def decoded() -> None:
        for _ in training_batches(folder, BATCH_SIZE, seed=0, epoch=0):
            pass

    def bare() -> None:
        tf.data.TFRecordDataset(shards).reduce(0, lambda seen, _: seen + 1).numpy()

    turns = [(_seconds(decoded), _seconds(bare)) for _ in range(TURNS)]
    decoded_seconds, bare_seconds = (min(times) for times in zip(*turns, strict=True))
    return count, count / decoded_seconds, count / bare_seconds


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    _define_flags()
    command.run(main)
