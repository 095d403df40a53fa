"""How do time and memory grow with the size of a scan and with the number of subjects?

    python -m benchmarks.growth
    python -m benchmarks.growth --sides=32,48,64 --subjects=1,2,3 --side=64

Each time is compared with the straight line through the two points before it: a ratio of 1 is
linear growth. The memory of inference is compared with that of the largest feature maps that a
single pass over the whole volume needs, the inputs and outputs of one layer of 64 filters.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from absl import flags

from benchmarks import table
from benchmarks.measuring import run_command, write_random_scan

SIDES = flags.DEFINE_list(
    "sides", ["104", "208", "320", "416"],
    "Rows and columns of the scans to super-resolve. They have a fifth as many thick slices.",
)  # fmt: skip
SUBJECTS = flags.DEFINE_list("subjects", ["1", "2", "4", "8"], "Numbers of subjects.")
SIDE = flags.DEFINE_integer(
    "side", 128, "Rows and columns of each subject's scan, which has half as many slices."
)
FACTOR, FILTERS, FLOAT_BYTES = 2, 64, 4


def measure() -> list[table.Row]:
    """Runs each command at each size, once."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            *_by_volume(Path(folder)),
            *_by_subjects(Path(folder), "making records", _make_records),
            *_by_subjects(Path(folder), "evaluating three methods", _evaluate),
        ]


def _by_volume(folder: Path) -> Iterator[table.Row]:
    durations, memory = [], []
    for side in map(int, SIDES.value):
        scan = write_random_scan(folder / f"thick/{side}.nii", (side, side, side // 5))
        fine = folder / f"fine/{side}.nii"
        duration, peak = run_command("mrsr_tf.infer", f"--input={scan}", f"--output={fine}")
        voxels = side * side * (side // 5) * FACTOR
        durations.append((voxels / 1e6, duration))
        whole = 2 * FILTERS * FLOAT_BYTES * voxels / 1e9
        memory.append(
            table.Row(
                "memory of super-resolving, million fine voxels", "GB", [peak],
                "feature maps of the whole volume", [whole], size=voxels / 1e6,
            )
        )  # fmt: skip
    yield from _curve("super-resolving, million fine voxels", durations)
    yield from memory


def _by_subjects(
    folder: Path, quantity: str, arguments: Callable[[Path, Path], Sequence[str]]
) -> Iterator[table.Row]:
    durations = []
    for count in map(int, SUBJECTS.value):
        scans = folder / f"{count}_subjects"
        for number in range(count):
            write_random_scan(scans / f"{number}.nii", (SIDE.value, SIDE.value, SIDE.value // 2))
        duration, _ = run_command(*arguments(scans, folder / f"{quantity}_{count}"))
        durations.append((count, duration))
    yield from _curve(f"{quantity}, subjects", durations)


def _make_records(scans: Path, output: Path) -> Sequence[str]:
    module = "tf_records_tools.make_records"
    return module, f"--input={scans}", f"--output={output}", "--contrasts=dual"


def _evaluate(scans: Path, output: Path) -> Sequence[str]:
    experiment = "--experiment=image_quality"
    return "eval.evaluate", experiment, f"--data={scans}", f"--output={output}"


def _curve(quantity: str, durations: Sequence[tuple[float, float]]) -> Iterator[table.Row]:
    for number, (size, duration) in enumerate(durations):
        extrapolation = []
        if number >= 2:
            (x0, y0), (x1, y1) = durations[number - 2 : number]
            extrapolation = [y1 + (y1 - y0) / (x1 - x0) * (size - x1)]
        peer = table.EXTRAPOLATION if extrapolation else ""
        yield table.Row(quantity, "s", [duration], peer, extrapolation, size=size)


if __name__ == "__main__":
    table.run(measure)
