"""The T2 map of a scan, with the sequence that its header states."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.mri.acquisition import sequence
from mrsr_tf.mri.dess import T2Method, t2_map
from mrsr_tf.volume import Volume


class T2Map(NamedTuple):
    """A T2 map and how it was computed.

    Attributes:
        t2_ms: (rows, cols, slices), NaN where there is no T2 in (0, 100] ms.
        parameters: arguments of `mrsr_tf.mri.dess.t2_map` besides the echoes, as JSON values.
    """

    t2_ms: NDArray[np.floating]
    parameters: dict[str, Any]


def scan_t2_map(
    scan: Volume,
    *,
    method: str = T2Method.ANALYTIC,
    t1_ms: float = 1200.0,
    label: object = "a scan",
) -> T2Map:
    """Computes T2 from both echoes of a DESS scan.

    Without the spoiler's area and duration in the header, diffusion is ignored.

    Args:
        scan: two echoes.
        method: one of `T2Method`.
        t1_ms: T1 of the tissue.
        label: what warnings call the scan, such as its path.

    Raises:
        InputError: the scan has one echo, or its times or flip angle are unknown.
    """
    parameters: dict[str, Any] = {"method": str(method), "t1_ms": t1_ms, **sequence(scan, label)}
    return T2Map(t2_map(scan.array[..., 0], scan.array[..., 1], **parameters), parameters)
