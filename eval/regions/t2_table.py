"""T2 in each region of a scan, as a table for statistics."""

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.io.labels import LabelMap

COLUMNS = ("region", "voxels", "voxels_without_t2", "mean_ms", "median_ms", "sd_ms")


def t2_rows(t2_ms: NDArray[np.floating], labels: LabelMap) -> list[dict[str, Any]]:
    """Statistics of T2 over the voxels of each region that have one.

    Args:
        t2_ms: (rows, cols, slices) in ms; NaN where there is no T2.
        labels: on the same grid. Voxels of two regions count in both.

    Returns:
        For each region, by name: region, voxels (with T2), voxels_without_t2, mean_ms, median_ms
        and sd_ms (of the sample, n - 1); NaN where there are too few voxels for a value.
    """
    return [{"region": name, **_statistics(t2_ms[mask])} for name, mask in _masks(labels)]


def labels_digest(labels: LabelMap) -> str:
    """16 hexadecimal digits that differ where names or voxels of the regions differ."""
    digest = hashlib.sha256()
    for name, mask in _masks(labels):
        digest.update(name.encode() + np.packbits(mask).tobytes())
    return digest.hexdigest()[:16]


def _masks(labels: LabelMap) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The regions by name, then the labels without one, named by their number, in its order."""
    named = {name: label for name, label in sorted(labels.names.items()) if label.value}
    unnamed = [label for label in labels.labels if label not in named.values()]
    regions = named | {f"label_{label.value}": label for label in unnamed}
    for name, label in regions.items():
        yield name, labels.mask([label])


def _statistics(t2_ms: NDArray[np.floating]) -> dict[str, Any]:
    valid = t2_ms[np.isfinite(t2_ms)].astype(float)
    return {
        "voxels": valid.size,
        "voxels_without_t2": t2_ms.size - valid.size,
        "mean_ms": valid.mean() if valid.size else math.nan,
        "median_ms": np.median(valid) if valid.size else math.nan,
        "sd_ms": valid.std(ddof=1) if valid.size > 1 else math.nan,
    }
