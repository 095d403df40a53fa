"""How do time and memory grow with the size of a scan?

    python -m benchmarks.growth
    python -m benchmarks.growth --sides=32,48,64

Each time is compared with the straight line through the two points before it: a ratio of 1 is
linear growth. The memory of inference is compared with that of the largest feature maps that a
single pass over the whole volume needs, the inputs and outputs of one layer of 64 filters.
"""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from benchmarks import table
from benchmarks.measuring import run_command, write_random_scan

SIDES = flags.DEFINE_list(
    "sides", ["104", "208", "320", "416"],
    "Rows and columns of the scans to super-resolve. They have a fifth as many thick slices.",
)  # fmt: skip
FACTOR, FILTERS, FLOAT_BYTES = 2, 64, 4


def measure() -> list[table.Row]:
    """Super-resolves a scan of each size, once."""
    sizes, seconds, memory = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for side in map(int, SIDES.value):
            shape = (side, side, side // 5)
            scan = write_random_scan(Path(folder) / f"thick_{side}.nii", shape)
            output = Path(folder) / f"fine_{side}.nii"
            duration, peak = run_command("mrsr_tf.infer", f"--input={scan}", f"--output={output}")
            sizes.append(math.prod(shape) * FACTOR / 1e6)
            seconds.append(duration)
            memory.append(peak)
    return [*_time_rows(sizes, seconds), *_memory_rows(sizes, memory)]


def _time_rows(sizes: list[float], seconds: list[float]) -> Iterator[table.Row]:
    for number, (size, duration) in enumerate(zip(sizes, seconds, strict=True)):
        peer, extrapolation = "", []
        if number >= 2:
            (x0, x1), (y0, y1) = sizes[number - 2 : number], seconds[number - 2 : number]
            peer, extrapolation = "linear extrapolation", [y1 + (y1 - y0) / (x1 - x0) * (size - x1)]
        yield table.Row(
            "super-resolving, million fine voxels", "s", [duration], peer, extrapolation, size=size
        )


def _memory_rows(sizes: list[float], memory: list[float]) -> Iterator[table.Row]:
    for size, peak in zip(sizes, memory, strict=True):
        yield table.Row(
            "memory of super-resolving, million fine voxels", "GB", [peak],
            "feature maps of the whole volume", [2 * FILTERS * FLOAT_BYTES * size / 1e3], size=size,
        )  # fmt: skip


if __name__ == "__main__":
    table.run(measure)
