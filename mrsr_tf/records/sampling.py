"""Which records an epoch draws, and how often: those with tissue more than those with air."""

import numpy as np
from numpy.typing import NDArray

# Of the subject's scale: what is darker in all echoes is air, or bone.
TISSUE = 0.05


def tissue_share(record: np.void) -> float:
    """Which share of the voxels of a record's truth has an echo as bright as tissue."""
    level = (TISSUE - record["truth_offset"]) / record["truth_step"]
    return float(np.mean(record["truth"].max(axis=3) >= level))


def draws_by_tissue(shares: NDArray[np.float64], foreground: float) -> NDArray[np.float64]:
    """How often an epoch shall draw each record on average.

    Args:
        shares: of tissue in each record.
        foreground: this part of all draws is in proportion to the share, the rest alike for all.

    Returns:
        Of each record; 1 on average.
    """
    if not shares.any():
        return np.ones(len(shares))
    return 1 - foreground + foreground * shares / shares.mean()


def drawn(draws: NDArray[np.float64], chance: np.random.Generator) -> NDArray[np.int64]:
    """As many numbers of records as there are, each its draws rounded up or down.

    The draws are laid end to end along a ruler of marks one apart, the first at a point of chance;
    each mark draws the record that it falls on (systematic sampling). So over the epochs every
    record comes as often as it shall, and within one never twice where once was asked for.

    Args:
        draws: how often to draw each record on average; 1 on average over the records.
        chance: of the epoch.
    """
    ends = np.floor(np.cumsum(draws) * (len(draws) / draws.sum()) + chance.random())
    ends[-1] = len(draws)
    return np.repeat(np.arange(len(draws)), np.diff(ends, prepend=0).astype(int))
