"""How often an epoch visits each record: patches of tissue more often than patches of air."""

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.records.schema import PATCHES

# In units of the subject's intensity scale: what is darker in all echoes is air or bone.
TISSUE = 0.05


def tissue_share(record: np.void) -> float:
    """The share of voxels of a record's target with an echo as bright as tissue, 0 to 1."""
    level = ((TISSUE - record["offset"]) / record["scale"])[PATCHES.index("target")]
    return float(np.mean(record["target"].max(axis=3) >= level))


def expected_counts(shares: NDArray[np.float64], foreground: float) -> NDArray[np.float64]:
    """How often an epoch should visit each record on average.

    Args:
        shares: (n,) share of tissue in each record, 0 to 1.
        foreground: this part of all visits is in proportion to the share of tissue, 0 to 1; the
            rest is the same for all records.

    Returns:
        (n,), with a mean of 1.
    """
    if not shares.any():
        return np.ones(len(shares))
    return 1 - foreground + foreground * shares / shares.mean()


def sample_epoch(counts: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """Draws as many record numbers as there are records: each its count rounded up or down.

    This is systematic sampling: the counts are laid end to end along a ruler with marks one apart,
    starting at a random point, and each mark draws the record that it falls on. Over many epochs
    every record is drawn as often as it should be, and within one epoch a record whose count is
    at most 1 is never drawn twice.

    Args:
        counts: (n,) how often to draw each record on average, with a mean of 1.
        random: the generator of the epoch.

    Returns:
        (n,) record numbers, ascending.
    """
    ends = np.floor(np.cumsum(counts) * (len(counts) / counts.sum()) + random.random())
    ends[-1] = len(counts)
    return np.repeat(np.arange(len(counts)), np.diff(ends, prepend=0).astype(int))
