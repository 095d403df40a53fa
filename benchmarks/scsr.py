r"""ScSR: whether its codes are the Lasso's, how fast they come, and what they gain over TCI.

    python -m benchmarks.scsr --train=scans/train --test=scans/test
    python -m benchmarks.scsr --train=brain.nii.gz --planes=24

Learns a dictionary from --train (or takes --scsr), and thickens the middle planes of the first scan
of --test, or without one of the columns of --train's scan that it did not learn from, a half each.
Speed is that of patches that are not flat, in turns with scikit-learn's `sparse_encode`
(lasso_cd), both on two cores.
"""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags
from numpy.typing import NDArray

from benchmarks import table
from benchmarks.measuring import in_turns, seconds

if TYPE_CHECKING:
    from eval.sparse.scsr import ScSR

TURNS = 3
CORES = 2
COMPARED = 1000  # patches whose objectives are compared
EDGE = 4  # voxels of the planes' rims that are not scored


TRAIN = flags.DEFINE_string(
    "train", None, "Scans to learn from, or one to learn from its half.", required=True
)
TEST = flags.DEFINE_string("test", None, "Scans, of which the first is the test.")
SCSR = flags.DEFINE_string("scsr", None, "A dictionary instead, of eval.train_scsr.")
PATCHES = flags.DEFINE_integer("patches", 100_000, "To learn from.")
PASSES = flags.DEFINE_integer("passes", 10, "Over them.")
PLANES = flags.DEFINE_integer("planes", 16, "Middle planes of the test that are super-resolved.")
TIMED = flags.DEFINE_integer("timed", 4096, "Patches that are timed.")
BOTH_PLANES = flags.DEFINE_bool("both_planes", False, "The mean with the (column, slice) planes.")
SLICE_AXIS = flags.DEFINE_integer("slice_axis", 2, "Which axis of a NIfTI counts slices.")


def measure() -> list[table.Row]:
    """Learns, compares, times and scores."""
    train, test = _echoes()
    dictionary, learned_in = _dictionary(train)
    features = type(dictionary)(patches=max(TIMED.value, COMPARED)).training_pairs(test)[1]
    return [
        table.Row("dictionary learned in", "s", [learned_in]),
        *_compared(features[:COMPARED], dictionary.low),
        *_timed(features[: TIMED.value], dictionary.low),
        *(
            row
            for echo, truth in enumerate(test, 1)
            for row in _scored(f"echo {echo}", truth, dictionary)
        ),
    ]


def _echoes() -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """The echoes to learn from and those to test on, each of intensity scale 1."""
    from mrsr_tf.io.scans import find_subjects, read_scan
    from mrsr_tf.volume import intensity_scale

    def echoes(path: Path) -> list[NDArray[Any]]:
        array = read_scan(path, slice_axis=SLICE_AXIS.value).array
        return list(np.moveaxis(array / intensity_scale(array), 3, 0))

    train = [e for path in find_subjects(TRAIN.value).values() for e in echoes(path)]
    if TEST.value:
        return train, echoes(next(iter(find_subjects(TEST.value).values())))
    half = train[0].shape[1] // 2
    return [e[:, :half] for e in train], [e[:, half:] for e in train]


def _dictionary(train: list[NDArray[Any]]) -> "tuple[ScSR, float]":
    from eval.sparse import ScSR

    if SCSR.value:
        return ScSR.load(SCSR.value), 0.0
    dictionary = ScSR(patches=PATCHES.value, passes=PASSES.value)
    return dictionary, seconds(lambda: dictionary.fit(train))


def _compared(features: NDArray[Any], atoms: NDArray[Any]) -> list[table.Row]:
    """The objective of our codes and of scikit-learn's, and how far ours are from optimal."""
    from sklearn.linear_model import Lasso

    from eval.sparse.lasso_homotopy import encode
    from eval.sparse.scsr import PENALTY

    signals, columns = features.astype(float), atoms.T.astype(float)
    # Its objective is ours divided by the number of features.
    lasso = Lasso(PENALTY / len(columns), fit_intercept=False, max_iter=100_000, tol=1e-8)
    with _rounding_expected():
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
    return [
        table.Row("atoms in a code", "", [float(np.count_nonzero(ours, axis=1).mean())]),
        table.Row("objective over scikit-learn's, at most", "", [float(excess.max())]),
        table.Row(f"optimality, off by, of a penalty of {PENALTY:g}", "", [float(gap.max())]),
    ]


def _timed(features: NDArray[Any], atoms: NDArray[Any]) -> list[table.Row]:
    """Patches a second of each, in turns."""
    from sklearn.decomposition import sparse_encode

    from eval.sparse.lasso_homotopy import encode
    from eval.sparse.scsr import PENALTY, one_core_each

    def ours() -> None:
        with one_core_each(), ThreadPoolExecutor(CORES) as pool:
            list(pool.map(lambda some: encode(some, atoms, PENALTY), _parts(features)))

    few = features[:: max(1, len(features) // 512)]

    def theirs() -> None:
        sparse_encode(few, atoms, algorithm="lasso_cd", alpha=PENALTY, n_jobs=CORES, max_iter=1000)

    with _rounding_expected():
        taken = in_turns({"ours": lambda: seconds(ours), "theirs": lambda: seconds(theirs)}, TURNS)
    rates = [len(features) / taken_ for taken_ in taken["ours"]]
    peer = [len(few) / taken_ for taken_ in taken["theirs"]]
    return [table.Row("sparse codes", "patches/s", rates, "scikit-learn's lasso_cd", peer)]


@contextmanager
def _rounding_expected() -> Iterator[None]:
    """Without scikit-learn's warnings that rounding ends it short of its tolerance of 1e-8."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _parts(features: NDArray[Any]) -> list[NDArray[Any]]:
    return np.array_split(features, CORES)


def _scored(name: str, truth: NDArray[Any], dictionary: "ScSR") -> list[table.Row]:
    """PSNR of the middle planes by TCI, TCI back-projected and ScSR."""
    from eval.metrics import psnr
    from eval.sparse.scsr import back_project
    from mrsr_tf.mri import slices

    first = (truth.shape[1] - PLANES.value) // 2
    truth = truth[:, first : first + PLANES.value]
    factor, profile = dictionary.factor, dictionary.profile
    thick = slices.thicken(truth, factor, profile=profile)
    tci = slices.interpolate(thick, factor, first=slices.first_slice(profile, factor))
    sparse = dictionary.apply(thick, factor, both_planes=BOTH_PLANES.value)
    inner = np.s_[EDGE:-EDGE, :, EDGE : truth.shape[2] - EDGE]
    projected = back_project(tci, thick, factor, profile)
    quality = {
        way: psnr(np.clip(truth, 0, 1)[inner], np.clip(estimate, 0, 1)[inner], data_range=1.0)
        for way, estimate in (("TCI", tci), ("TCI back-projected", projected), ("ScSR", sparse))
    }
    again = float(np.abs(slices.thicken(sparse, factor, profile=profile) - thick).max())
    return [
        *(table.Row(f"{name}, {way}", "dB", [value]) for way, value in quality.items()),
        table.Row(f"{name}, thickened again, off by", "", [again]),
    ]


if __name__ == "__main__":
    table.run(measure)
