r"""ScSR: whether its codes are the Lasso's, how fast they come, and what they gain over TCI.

    python -m benchmarks.scsr --train=scans/train --test=scans/test
    python -m benchmarks.scsr --train=brain.nii.gz --planes=24

Learns a dictionary from --train (or takes --scsr), and thickens the middle planes of the first scan
of --test, or without one of the columns of --train's scan that it did not learn from, a half each.
Speed is that of patches that are not flat, in turns with scikit-learn's `sparse_encode`
(lasso_cd), both on two cores.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags
from numpy.typing import NDArray

from mrsr_tf import command

if TYPE_CHECKING:
    from eval.scsr import ScSR

FLAGS = flags.FLAGS
TURNS = 3
CORES = 2
COMPARED = 1000  # patches whose objectives are compared
EDGE = 4  # voxels of the planes' rims that are not scored


def _define_flags() -> None:
    flags.DEFINE_string("train", None, "Scans to learn from, or one to learn from its half.")
    flags.DEFINE_string("test", None, "Scans, of which the first is the test.")
    flags.DEFINE_string("scsr", None, "A dictionary instead, of eval.train_scsr.")
    flags.DEFINE_integer("patches", 100_000, "To learn from.")
    flags.DEFINE_integer("passes", 10, "Over them.")
    flags.DEFINE_integer("planes", 16, "Middle planes of the test that are super-resolved.")
    flags.DEFINE_integer("timed", 4096, "Patches that are timed.")
    flags.DEFINE_bool("both_planes", False, "The mean with the (column, slice) planes.")
    flags.DEFINE_integer("slice_axis", 2, "Which axis of a NIfTI counts slices.")


def main() -> None:
    """Learns, compares and times, and prints the table."""
    train, test = _echoes()
    dictionary, learned_in = _dictionary(train)
    features = type(dictionary)(patches=max(FLAGS.timed, COMPARED)).training_pairs(test)[1]
    _print("load of the machine", f"{os.getloadavg()[0]:.1f}")
    _print("dictionary learned in", f"{learned_in:.0f} s")
    _compare(features[:COMPARED], dictionary.low)
    _time(features[: FLAGS.timed], dictionary.low)
    for echo, truth in enumerate(test, 1):
        _score(f"echo {echo}", truth, dictionary)


def _print(what: str, value: str) -> None:
    print(f"{what:34}{value}", flush=True)


def _echoes() -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """The echoes to learn from and those to test on, each of intensity scale 1."""
    from mrsr_tf.scans import find_subjects, read_scan
    from mrsr_tf.volume import intensity_scale

    def echoes(path: Path) -> list[NDArray[Any]]:
        array = read_scan(path, slice_axis=FLAGS.slice_axis).array
        return list(np.moveaxis(array / intensity_scale(array), 3, 0))

    train = [e for path in find_subjects(FLAGS.train).values() for e in echoes(path)]
    if FLAGS.test:
        return train, echoes(next(iter(find_subjects(FLAGS.test).values())))
    half = train[0].shape[1] // 2
    return [e[:, :half] for e in train], [e[:, half:] for e in train]


def _dictionary(train: list[NDArray[Any]]) -> "tuple[ScSR, float]":
    from eval.baselines import ScSR

    if FLAGS.scsr:
        return ScSR.load(FLAGS.scsr), 0.0
    start = time.perf_counter()
    dictionary = ScSR(patches=FLAGS.patches, passes=FLAGS.passes).fit(train)
    return dictionary, time.perf_counter() - start


def _compare(features: NDArray[Any], atoms: NDArray[Any]) -> None:
    """The objective of our codes and of scikit-learn's, and how far ours are from optimal."""
    from sklearn.linear_model import Lasso

    from eval.scsr import PENALTY
    from eval.sparse_coding import encode

    signals, columns = features.astype(float), atoms.T.astype(float)
    # Its objective is ours divided by the number of features.
    lasso = Lasso(PENALTY / len(columns), fit_intercept=False, max_iter=100_000, tol=1e-8)
    theirs = np.stack([lasso.fit(columns, signal).coef_ for signal in signals])
    ours = encode(features, atoms, PENALTY).astype(float)
    objective = [
        0.5 * np.sum((signals - codes @ columns.T) ** 2, axis=1)
        + PENALTY * np.abs(codes).sum(axis=1)
        for codes in (ours, theirs)
    ]
    excess = objective[0] / objective[1] - 1
    correlation = (signals - ours @ columns.T) @ columns
    gap = np.where(
        ours == 0,
        np.maximum(np.abs(correlation) - PENALTY, 0),
        np.abs(correlation - PENALTY * np.sign(ours)),
    )
    _print("atoms in a code", f"{np.count_nonzero(ours, axis=1).mean():.1f}")
    _print("objective over scikit-learn's", f"{excess.min():+.1e} to {excess.max():+.1e}")
    _print("optimality conditions, off by", f"{gap.max():.1e} of a penalty of {PENALTY}")


def _time(features: NDArray[Any], atoms: NDArray[Any]) -> None:
    """Patches a second, by the clock and by the processors' time; the best of some turns."""
    from sklearn.decomposition import sparse_encode

    from eval.scsr import PENALTY
    from eval.sparse_coding import encode

    def ours() -> None:
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(lambda some: encode(some, atoms, PENALTY), _parts(features)))

    few = features[:: max(1, len(features) // 512)]

    def theirs() -> None:
        sparse_encode(few, atoms, algorithm="lasso_cd", alpha=PENALTY, n_jobs=CORES, max_iter=1000)

    theirs()  # its processes start
    turns = [(_seconds(ours), _seconds(theirs)) for _ in range(TURNS)]
    rate = len(features) / min(turn[0][0] for turn in turns)
    cpu_rate = CORES * len(features) / min(turn[0][1] for turn in turns)
    peer = len(few) / min(turn[1][0] for turn in turns)
    _print("patches a second", f"{rate:.0f}")
    _print("of two processors' own time", f"{cpu_rate:.0f}")
    _print("scikit-learn's lasso_cd", f"{peer:.0f}")
    _print("ratio", f"{rate / peer:.1f}")


def _parts(features: NDArray[Any]) -> list[NDArray[Any]]:
    return np.array_split(features, CORES)


def _seconds(work: Any) -> tuple[float, float]:
    start, processors = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - processors


def _score(name: str, truth: NDArray[Any], dictionary: "ScSR") -> None:
    """PSNR of the middle planes by TCI, TCI back-projected and ScSR."""
    from eval.metrics import psnr
    from eval.scsr import back_project
    from mrsr_tf import slices

    first = (truth.shape[1] - FLAGS.planes) // 2
    truth = truth[:, first : first + FLAGS.planes]
    factor, profile = dictionary.factor, dictionary.profile
    thick = slices.thicken(truth, factor, profile=profile)
    tci = slices.interpolate(thick, factor, first=slices.first_slice(profile, factor))
    sparse = dictionary.apply(thick, factor, both_planes=FLAGS.both_planes)
    inner = np.s_[EDGE:-EDGE, :, EDGE : truth.shape[2] - EDGE]
    quality = [
        psnr(np.clip(truth, 0, 1)[inner], np.clip(estimate, 0, 1)[inner], data_range=1.0)
        for estimate in (tci, back_project(tci, thick, factor, profile), sparse)
    ]
    again = np.abs(slices.thicken(sparse, factor, profile=profile) - thick).max()
    _print(f"{name}, TCI", f"{quality[0]:.2f} dB")
    _print(f"{name}, TCI back-projected", f"{quality[1]:.2f} dB")
    _print(f"{name}, ScSR", f"{quality[2]:.2f} dB")
    _print(f"{name}, margin", f"{quality[2] - quality[1]:+.2f} dB")
    _print(f"{name}, thickened again, off by", f"{again:.1e}")


if __name__ == "__main__":
    _define_flags()
    flags.mark_flag_as_required("train")
    command.run(main)
