"""Random scans for tests, of any size, spacing, seed and sequence."""

import numpy as np

from mrsr_tf.volume import Volume


def make_array(
    shape: tuple[int, ...] = (6, 5, 4), echoes: int = 2, seed: int = 0, largest: int = 2000
) -> np.ndarray:
    """Random stored intensities below `largest`: int16 (rows, cols, slices, echoes)."""
    return np.random.default_rng(seed).integers(0, largest, (*shape, echoes), dtype=np.int16)


def make_scan(
    shape: tuple[int, ...] = (10, 9, 4),
    echoes: int = 2,
    *,
    spacing_mm: tuple[float, ...] = (0.4, 0.4, 1.5),
    seed: int = 0,
    largest: int = 2000,
    **header,
) -> Volume:
    """A DESS scan of random whole-number intensities; `header` sets fields of the Volume."""
    fields = {
        "array": make_array(shape, echoes, seed, largest),
        "affine": np.diag([*spacing_mm, 1.0]),
        "echo_times_ms": (7.0, 39.0)[:echoes],
        "repetition_time_ms": 23.0,
        "flip_angle_deg": 20.0,
    }
    return Volume(**fields | header)
