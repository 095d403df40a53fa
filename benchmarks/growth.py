"""How time and memory of commands grow with the size of a volume and with the number of subjects.

    python -m benchmarks.growth
    python -m benchmarks.growth --sides=32,48,64 --subjects=1,2,3 --side=64

Beside each time stands the time on the straight line through the two points before it: 1 is
linear growth. Beside the memory of inference stands that of the largest maps that a pass over the
whole volume needs at once, those that one layer of 64 maps reads and those that it writes.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import flags

from benchmarks import table
from benchmarks.measuring import of_command

SIDES = flags.DEFINE_list(
    "sides", ["104", "208", "320", "416"],
    "Rows and columns of scans to super-resolve; thick slices are a fifth of them.",
)  # fmt: skip
SUBJECTS = flags.DEFINE_list("subjects", ["1", "2", "4", "8"], "How many, of each point.")
SIDE = flags.DEFINE_integer("side", 128, "Rows and columns of each subject; slices are half.")
FACTOR, ECHOES, MAPS, FLOAT = 2, 2, 64, 4


def measure() -> list[table.Row]:
    """Runs each command at each size, once."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            *_by_volume(Path(folder)),
            *_by_subjects(Path(folder), "making records", _records),
            *_by_subjects(Path(folder), "evaluating three methods", _evaluation),
        ]


def _by_volume(folder: Path) -> Iterator[table.Row]:
    points, memory = [], []
    for side in map(int, SIDES.value):
        scan = _scan((side, side, side // 5), folder / f"thick/{side}.nii")
        fine = folder / f"fine/{side}.nii"
        taken, peak = of_command("mrsr_tf.infer", f"--input={scan}", f"--output={fine}")
        voxels = side * side * (side // 5) * FACTOR
        points.append((voxels / 1e6, taken))
        whole = 2 * MAPS * FLOAT * voxels / 1e9
        memory.append(
            table.Row("memory of it", "GB", [peak], "maps of it all", [whole], at=voxels / 1e6)
        )
    yield from _curve("super-resolving, million fine voxels", points)
    yield from memory


def _by_subjects(
    folder: Path, what: str, command: Callable[[Path, Path], Sequence[str]]
) -> Iterator[table.Row]:
    points = []
    for count in map(int, SUBJECTS.value):
        cohort = folder / f"{count}_subjects"
        for number in range(count):
            _scan((SIDE.value, SIDE.value, SIDE.value // 2), cohort / f"{number}.nii")
        taken, _ = of_command(*command(cohort, folder / f"{what}_{count}"))
        points.append((count, taken))
    yield from _curve(f"{what}, subjects", points)


def _records(cohort: Path, output: Path) -> Sequence[str]:
    module = "tf_records_tools.make_records"
    return module, f"--input={cohort}", f"--output={output}", "--contrasts=dual"


def _evaluation(cohort: Path, output: Path) -> Sequence[str]:
    experiment = "--experiment=image_quality"
    return "eval.evaluate", experiment, f"--data={cohort}", f"--output={output}"


def _curve(what: str, points: Sequence[tuple[float, float]]) -> Iterator[table.Row]:
    for number, (at, taken) in enumerate(points):
        line = []
        if number >= 2:
            (x0, y0), (x1, y1) = points[number - 2 : number]
            line = [y1 + (y1 - y0) / (x1 - x0) * (at - x1)]
        yield table.Row(what, "s", [taken], "the line" if line else "", line, at=at)


def _scan(shape: tuple[int, int, int], path: Path) -> Path:
    """A scan of noise, of two echoes; another one for each name. What is there stays."""
    from mrsr_tf.io.nifti import write_nifti
    from mrsr_tf.volume import Volume

    if not path.exists():
        random = np.random.default_rng(list(path.name.encode()))
        array = random.integers(100, 1000, (*shape, ECHOES)).astype(np.float32)
        write_nifti(Volume(array, np.diag([0.4, 0.4, 1.4, 1]), (7.0, 39.0), 23.0, 20.0), path)
    return path


if __name__ == "__main__":
    table.run(measure)
