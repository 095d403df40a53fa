r"""How long does a T2 map take, and does it agree with DOSMA's?

    python -m venv dosma
    dosma/bin/pip install dosma "numpy==1.26.*" "pydicom<3"
    python -m benchmarks.t2map --dosma_python=dosma/bin/python

Our maps and DOSMA's `generate_t2_map` take turns. DOSMA needs older packages than ours and so runs
in a Python of its own; its map is rounded to 0.1 ms and 0 where it has no T2. The signals are those
of cartilage, fluid and air with noise, for the spoiler of GE's qDESS.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from numpy.typing import NDArray

from benchmarks import peers, table
from benchmarks.measuring import in_turns, seconds

SEQUENCE: dict[str, Any] = {
    "tr_ms": 23.0, "te_ms": 7.0, "flip_deg": 20.0, "spoiler_area": 3132.0,
    "spoiler_duration_us": 1560.0, "diffusivity": 1.25e-9,
}  # fmt: skip
T1_MS, LONGEST_T2_MS, M0, NOISE, AIR_FRACTION = 1200.0, 110.0, 10_000.0, 10.0, 0.3
DOSMA_SCRIPT = """
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
    print("seconds:", seconds, flush=True)
"""

DOSMA_PYTHON = flags.DEFINE_string(
    "dosma_python", None, "The Python interpreter that has DOSMA.", required=True
)
SHAPE = flags.DEFINE_list("shape", ["416", "416", "160"], "Rows, columns and slices of the scan.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of rounds.", lower_bound=1)


def measure() -> list[table.Row]:
    """Times the maps in turns and compares them."""
    from mrsr_tf.mri.dess import t2_map

    s1, s2 = _signals(tuple(map(int, SHAPE.value)))
    maps = {}

    def compute(method: str) -> None:
        maps[method] = t2_map(s1, s2, t1_ms=T1_MS, method=method, **SEQUENCE)

    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "s1.npy", s1)
        np.save(Path(folder) / "s2.npy", s2)
        dosma = peers.start_peer(
            DOSMA_PYTHON.value, DOSMA_SCRIPT, folder, *SEQUENCE.values(), T1_MS
        )
        contenders = {
            "DOSMA": lambda: dosma(""),
            "exact": lambda: seconds(lambda: compute("exact")),
            "analytic": lambda: seconds(lambda: compute("analytic")),
        }
        measured = in_turns(contenders, ROUNDS.value)
        dosma_map = np.load(Path(folder) / "t2.npy")
    return [
        *(
            table.Row(f"T2 map, {method}", "s", measured[method], "DOSMA", measured["DOSMA"])
            for method in maps
        ),
        *_agreement(maps["analytic"], dosma_map),
    ]


def _signals(shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both echoes with noise, float32, of air and of T2 beyond the limit of the maps."""
    from mrsr_tf.mri.dess import dess_signals

    random = np.random.default_rng(0)
    t2_ms = random.uniform(5, LONGEST_T2_MS, shape).astype(np.float32)
    m0 = np.where(random.random(shape) < AIR_FRACTION, 0, M0).astype(np.float32)
    s1, s2 = dess_signals(m0, T1_MS, t2_ms, **SEQUENCE)
    noise = random.normal(0, NOISE, (2, *shape)).astype(np.float32)
    return np.abs(s1 + noise[0]), np.abs(s2 + noise[1])


def _agreement(t2_ms: NDArray[Any], dosma_ms: NDArray[Any]) -> list[table.Row]:
    ours, dosma = np.isfinite(t2_ms), dosma_ms > 0
    difference = float(np.abs(t2_ms - dosma_ms)[ours & dosma].max())
    return [
        table.Row("largest difference", "ms", [difference], "half of DOSMA's last digit", [0.05]),
        *(
            table.Row(quantity, "% of voxels", [100 * float(np.mean(mask))])
            for quantity, mask in (
                ("T2 in both maps", ours & dosma),
                ("T2 only in ours", ours & ~dosma),
                ("T2 only in DOSMA's", dosma & ~ours),
            )
        ),
    ]


if __name__ == "__main__":
    table.run(measure)
