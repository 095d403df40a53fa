r"""T2 maps of a DESS scan: ours beside DOSMA's `generate_t2_map`, in turns, and where they differ.

    python -m venv dosma
    dosma/bin/pip install dosma "numpy==1.26.*" "pydicom<3"
    python -m benchmarks.t2map --dosma_python=dosma/bin/python

DOSMA needs packages older than ours, so it runs in a Python of its own. Signals are those of
cartilage, fluid and air with noise, with the spoiler of GE's qDESS. DOSMA's map is rounded to
0.1 ms and 0 where it has no T2.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from numpy.typing import NDArray

from mrsr_tf import command
from mrsr_tf.errors import InputError

FLAGS = flags.FLAGS
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


def _define_flags() -> None:
    flags.DEFINE_string("dosma_python", None, "The interpreter that has DOSMA.", required=True)
    flags.DEFINE_list("shape", ["416", "416", "160"], "Rows, columns, slices.")
    flags.DEFINE_integer("turns", 3, "Of each; the best counts.", lower_bound=1)


def main() -> None:
    """Times both in turns, compares their maps and prints a table."""
    from mrsr_tf.dess import t2_map

    s1, s2 = _signals(tuple(map(int, FLAGS.shape)))
    load = os.getloadavg()[0]
    seconds: dict[str, list[float]] = {"DOSMA": [], "exact": [], "analytic": []}
    maps = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/s1.npy", s1)
        np.save(f"{folder}/s2.npy", s2)
        with _dosma(folder) as dosma:
            for _ in range(FLAGS.turns):
                seconds["DOSMA"].append(_answer(dosma))
                for method in ("exact", "analytic"):
                    start = time.perf_counter()
                    maps[method] = t2_map(s1, s2, t1_ms=T1_MS, method=method, **SEQUENCE)
                    seconds[method].append(time.perf_counter() - start)
        theirs = np.load(f"{folder}/t2.npy")
    print(f"{' x '.join(FLAGS.shape)} voxels, load of the machine {load:.1f}")
    for name, turns in seconds.items():
        ratio = min(seconds["DOSMA"]) / min(turns)
        print(f"{name:10}{min(turns):8.2f} s {1e9 * min(turns) / s1.size:8.1f} ns a voxel"
              f"{ratio:8.1f} times DOSMA's speed")  # fmt: skip
    _compare(maps["analytic"], theirs)


def _signals(shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Noisy echoes, float32, of T2 up to beyond the limit, and of air."""
    from mrsr_tf.dess import dess_signals

    random = np.random.default_rng(0)
    t2_ms = random.uniform(5, LONGEST_T2_MS, shape).astype(np.float32)
    m0 = np.where(random.random(shape) < AIR, 0, M0).astype(np.float32)
    s1, s2 = dess_signals(m0, T1_MS, t2_ms, **SEQUENCE)
    noise = random.normal(0, NOISE, (2, *shape)).astype(np.float32)
    return np.abs(s1 + noise[0]), np.abs(s2 + noise[1])


def _dosma(folder: str) -> subprocess.Popen[str]:
    if not Path(FLAGS.dosma_python).is_file():
        raise InputError(f"expected a Python that has DOSMA, found none: {FLAGS.dosma_python}")
    return subprocess.Popen(
        [FLAGS.dosma_python, "-c", DOSMA, folder, *map(str, SEQUENCE.values()), str(T1_MS)],
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


def _compare(ours: NDArray[Any], theirs: NDArray[Any]) -> None:
    both = np.isfinite(ours) & (theirs > 0)
    apart = np.abs(ours - theirs)[both]
    print(f"voxels with a T2 in both {both.mean():.1%}, apart by at most {apart.max():.3f} ms")
    for name, one, other in (
        ("ours", np.isfinite(ours), theirs > 0),
        ("DOSMA's", theirs > 0, np.isfinite(ours)),
    ):
        print(f"only in {name} {np.mean(one & ~other):.3%}")


if __name__ == "__main__":
    _define_flags()
    command.run(main)
