"""How long does the sparse-coding baseline take, compared with scikit-learn's Lasso?

    python -m benchmarks.scsr
    python -m benchmarks.scsr --shape=64,64,48 --patches=2000 --passes=1

Learns a dictionary from a simulated knee and encodes the patches of another one, in turns with
scikit-learn's `sparse_encode` (lasso_cd); each uses one core.
"""

import warnings
from typing import Any

import numpy as np
from absl import flags
from numpy.typing import NDArray

from benchmarks import table
from benchmarks.measuring import in_turns, seconds

ROUNDS = 3
PEER_PATCHES = 512  # scikit-learn is so slow that it encodes only some of the patches

SHAPE = flags.DEFINE_list("shape", ["128", "128", "64"], "Rows, columns and slices of the knees.")
PATCHES = flags.DEFINE_integer("patches", 100_000, "Patches to learn the dictionary from.")
PASSES = flags.DEFINE_integer("passes", 10, "Passes over these patches.")
ENCODED = flags.DEFINE_integer("encoded", 4096, "Patches to encode in each round.", lower_bound=512)


def measure() -> list[table.Row]:
    """Learns a dictionary and compares the rates of encoding."""
    from eval.sparse import ScSR

    dictionary = ScSR(patches=PATCHES.value, passes=PASSES.value)
    knee = _knee(0)
    learning = seconds(lambda: dictionary.fit(knee))
    _, features = ScSR(patches=ENCODED.value).training_pairs(_knee(1))
    rates = _encoding_rates(features[: ENCODED.value], dictionary.low)
    return [
        table.Row("learning the dictionary", "s", [learning]),
        *table.rows_by_peer("encoding", "patches/s", rates),
    ]


def _knee(seed: int) -> list[NDArray[Any]]:
    """The echoes of a simulated knee, of intensity scale 1."""
    from mrsr_tf.volume import intensity_scale
    from phantom.scanner.protocols import HIGH_RESOLUTION
    from phantom.subject import SimulationConfig, make_subject

    rows, columns, slices = (int(length) for length in SHAPE.value)
    config = SimulationConfig(seed, HIGH_RESOLUTION, (rows, columns, slices), HIGH_RESOLUTION.snr)
    images = make_subject(0, config, threads=2).images.astype(np.float32)
    return list(np.moveaxis(images / intensity_scale(images), 3, 0))


def _encoding_rates(features: NDArray[Any], atoms: NDArray[Any]) -> dict[str, list[float]]:
    """Patches per second of each, in each round."""
    from sklearn.decomposition import sparse_encode
    from sklearn.exceptions import ConvergenceWarning

    from eval.sparse.lasso_homotopy import encode
    from eval.sparse.scsr import PENALTY, one_core_each

    some = features[:: max(1, len(features) // PEER_PATCHES)]

    def ours() -> float:
        return len(features) / seconds(lambda: encode(features, atoms, PENALTY))

    def scikit_learn() -> float:
        return len(some) / seconds(
            lambda: sparse_encode(some, atoms, algorithm="lasso_cd", alpha=PENALTY, max_iter=1000)
        )

    with one_core_each(), warnings.catch_warnings():
        # Rounding ends its iterations short of the tolerance.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return in_turns({table.OURS: ours, "scikit-learn's lasso_cd": scikit_learn}, ROUNDS)


if __name__ == "__main__":
    table.run(measure)
