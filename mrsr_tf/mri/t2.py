"""The T2 map of a scan, with the sequence that its header states."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.mri import dess
from mrsr_tf.mri.acquisition import sequence
from mrsr_tf.volume import Volume

CARTILAGE_T1_MS = 1200.0


def t2_map(
    volume: Volume, method: str = dess.T2Method.ANALYTIC, t1_ms: float = CARTILAGE_T1_MS
) -> NDArray[np.floating]:
    """Computes T2 from both echoes of a DESS scan.

    Without the spoiler's area and duration in the header, diffusion is ignored; a warning says so.

    Args:
        volume: two echoes.
        method: "analytic" (the paper's formula: 5 % too long at 50 ms, 13 % at 80) or "exact"
            (inversion of the steady state).
        t1_ms: T1 of the tissue: 1200 for cartilage, 1000 for meniscus.

    Returns:
        (rows, cols, slices) in ms, NaN where there is no T2 in (0, 100] ms.

    Raises:
        InputError: the scan has one echo, or its times or flip angle are unknown.
    """
    return scan_t2(volume, method=method, t1_ms=t1_ms)[0]


def scan_t2(
    volume: Volume, *, method: str, t1_ms: float, label: object = "a scan"
) -> tuple[NDArray[np.floating], dict[str, Any]]:
    """The result of `t2_map`, and the arguments of `dess.t2_map` it took, as JSON values.

    Warnings call the scan by its `label`.
    """
    parameters: dict[str, Any] = {"method": str(method), "t1_ms": t1_ms, **sequence(volume, label)}
    s1, s2 = volume.array[..., 0], volume.array[..., 1]
    return dess.t2_map(s1, s2, **parameters), parameters
