r"""T2 maps of a DESS scan: ours beside DOSMA's `generate_t2_map`, in turns, and where they differ.

    python -m venv dosma
    dosma/bin/pip install dosma "numpy==1.26.*" "pydicom<3"
    python -m benchmarks.t2map --dosma_python=dosma/bin/python

DOSMA needs packages older than ours, so it runs in a Python of its own. Signals are those of
cartilage, fluid and air with noise, with the spoiler of GE's qDESS. DOSMA's map is rounded to
0.1 ms and 0 where it has no T2.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from numpy.typing import NDArray

from benchmarks import table
from benchmarks.measuring import in_turns, seconds
from mrsr_tf.errors import InputError

SEQUENCE: dict[str, Any] = {
    "tr_ms": 23.0, "te_ms": 7.0, "flip_deg": 20.0, "spoiler_area": 3132.0,
    "spoiler_duration_us": 1560.0, "diffusivity": 1.25e-9,
}  # fmt: skip
T1_MS, LONGEST_T2_MS, M0, NOISE, AIR = 1200.0, 110.0, 10_000.0, 10.0, 0.3
DOSMA = """
import sys, time
import numpy as np
from dosma.core.med_volume import MedicalVolume
from dosma.scan_sequences import QDess

folder = sys.argv[1]
tr, te, alpha, gl_area, tg, diffusivity, t1 = map(float, sys.argv[2:])
echoes = [MedicalVolume(np.load(f"{folder}/{name}.npy"), np.eye(4)) for name in ("s1", "s2")]
scan = QDess(echoes)
for _ in sys.stdin:
    start = time.perf_counter()
    t2 = scan.generate_t2_map(
        tr=tr, te=te, alpha=alpha, t1=t1, gl_area=gl_area, tg=tg, diffusivity=diffusivity
    )
    seconds = time.perf_counter() - start
    np.save(f"{folder}/t2.npy", np.asarray(t2.volumetric_map.volume, np.float32))
    print("seconds", seconds, flush=True)
"""


DOSMA_PYTHON = flags.DEFINE_string(
    "dosma_python", None, "The interpreter that has DOSMA.", required=True
)
SHAPE = flags.DEFINE_list("shape", ["416", "416", "160"], "Rows, columns, slices.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns of each.", lower_bound=1)


def measure() -> list[table.Row]:
    """Lets both take turns and compares their maps."""
    from mrsr_tf.mri.dess import t2_map

    s1, s2 = _signals(tuple(map(int, SHAPE.value)))
    maps = {}

    def ours(method: str) -> None:
        maps[method] = t2_map(s1, s2, t1_ms=T1_MS, method=method, **SEQUENCE)

    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/s1.npy", s1)
        np.save(f"{folder}/s2.npy", s2)
        with _dosma(folder) as dosma:
            taken = in_turns(
                {
                    "DOSMA": lambda: _answer(dosma),
                    "exact": lambda: seconds(lambda: ours("exact")),
                    "analytic": lambda: seconds(lambda: ours("analytic")),
                },
                ROUNDS.value,
            )
        theirs = np.load(f"{folder}/t2.npy")
    return [
        *(
            table.Row(f"T2 map, {method}", "s", taken[method], "DOSMA", taken["DOSMA"])
            for method in maps
        ),
        *_compared(maps["analytic"], theirs),
    ]


def _signals(shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Noisy echoes, float32, of T2 up to beyond the limit, and of air."""
    from mrsr_tf.mri.dess import dess_signals

    random = np.random.default_rng(0)
    t2_ms = random.uniform(5, LONGEST_T2_MS, shape).astype(np.float32)
    m0 = np.where(random.random(shape) < AIR, 0, M0).astype(np.float32)
    s1, s2 = dess_signals(m0, T1_MS, t2_ms, **SEQUENCE)
    noise = random.normal(0, NOISE, (2, *shape)).astype(np.float32)
    return np.abs(s1 + noise[0]), np.abs(s2 + noise[1])


def _dosma(folder: str) -> subprocess.Popen[str]:
    if not Path(DOSMA_PYTHON.value).is_file():
        raise InputError(f"expected a Python that has DOSMA, found none: {DOSMA_PYTHON.value}")
    return subprocess.Popen(
        [DOSMA_PYTHON.value, "-c", DOSMA, folder, *map(str, SEQUENCE.values()), str(T1_MS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _answer(dosma: subprocess.Popen[str]) -> float:
    """The seconds of one turn; DOSMA's own prints are passed over."""
    if dosma.stdin is None or dosma.stdout is None:
        raise OSError("expected pipes to DOSMA's process")
    print(file=dosma.stdin, flush=True)
    for line in dosma.stdout:
        if line.startswith("seconds "):
            return float(line.split()[1])
    raise InputError(f"expected a map of DOSMA, got: {(dosma.communicate()[1] or '')[-300:]}")


def _compared(ours: NDArray[Any], theirs: NDArray[Any]) -> list[table.Row]:
    here, there = np.isfinite(ours), theirs > 0
    apart = np.abs(ours - theirs)[here & there].max()
    return [
        table.Row("apart at most", "ms", [float(apart)], "half of DOSMA's last digit", [0.05]),
        table.Row("T2 in both", "% of voxels", [100 * float(np.mean(here & there))]),
        table.Row("only in ours", "% of voxels", [100 * float(np.mean(here & ~there))]),
        table.Row("only in DOSMA's", "% of voxels", [100 * float(np.mean(there & ~here))]),
    ]


if __name__ == "__main__":
    table.run(measure)
