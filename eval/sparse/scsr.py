"""ScSR: slice super-resolution by sparse coding (Yang et al. 2010, doi:10.1109/TIP.2010.2050625).

Each plane of (row, slice) is processed on its own. The thick slices are interpolated. For each
5 x 5 patch of the plane, the first and second derivatives in both directions are encoded sparsely
in the low half of a dictionary; the code times the high half predicts how the fine patch deviates
from the mean of the interpolated one. Overlapping patches are averaged. Back-projection then makes
the result consistent with the thick slices.

    interpolated plane --derivatives--> 100 features --code in `low`--> code x `high` = 25 voxels
"""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Lock
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from eval.sparse import lasso_homotopy
from eval.sparse.lasso_homotopy import Floats
from mrsr_tf.errors import InputError
from mrsr_tf.mri import slices
from mrsr_tf.outputs import output_file
from mrsr_tf.records.patches import cut, positions

PATCH = 5
SIZE = (PATCH, 1, PATCH)
DERIVATIVES = ([-1, 0, 1], [1, 0, -2, 0, 1])
FEATURES = 2 * len(DERIVATIVES) * PATCH**2
LEARNING_PENALTY, PENALTY = 0.15, 0.2
FLAT = 0.25  # feature norm below which a patch is excluded from learning and not normalized further
RIDGE = 1e-3  # regularization, as a share of the codes' mean power
BACK_PROJECTIONS = 20
CHUNK = 8192  # patches encoded at once
THREADS = 2  # that share the planes of a volume
FILE = "dictionary.npz"
ALL_CORES = Lock()  # one volume at a time, because its planes occupy all cores
SETTINGS = ("factor", "profile", "atoms", "patches", "passes", "seed")


@dataclass
class ScSR:
    """A dictionary for super-resolution, learned by `fit` and applied by `apply`.

    Attributes:
        factor: fine slices per thick slice.
        profile: slice profile of the thick slices, see `slices.thicken`.
        atoms: number of atoms in the dictionary.
        patches: number of patches to learn from, in `passes` over them.
        seed: for the choice of patches and for learning.
        high: float32 (atoms, 25), what each atom adds to a fine patch, as (rows, slices).
        low: float32 (atoms, 100), each atom's features, one derivative after the other; norm 1.
    """

    factor: int = 2
    profile: str = "fir"
    atoms: int = 512
    patches: int = 100_000
    passes: int = 10
    seed: int = 0
    high: Floats = field(default_factory=lambda: np.zeros((0, PATCH**2), np.float32), repr=False)
    low: Floats = field(default_factory=lambda: np.zeros((0, FEATURES), np.float32), repr=False)

    def fit(self, volumes: Iterable[ArrayLike]) -> "ScSR":
        """Learns the dictionary from fine volumes, which are thickened for the low half.

        High and low halves, scaled to equal power, are learned jointly. The high half is then
        refitted by least squares to codes of the features alone: these are the codes that `apply`
        uses, and they are smaller than the joint ones.

        Args:
            volumes: each (rows, cols, fine slices), one echo, intensity scale 1; read one by one.

        Returns:
            The object itself.

        Raises:
            InputError: a volume is not 3-D, not finite or smaller than a patch, or there are too
                few patches that are not flat.
        """
        high, low = self.training_pairs(volumes)
        joint = np.hstack([high * (np.linalg.norm(low) / np.linalg.norm(high)), low])
        joint *= np.sqrt(len(joint)) / np.linalg.norm(joint)
        learned = lasso_homotopy.learn(
            joint, self.atoms, LEARNING_PENALTY, passes=self.passes, seed=self.seed
        )
        self.low = lasso_homotopy.unit(learned[:, high.shape[1] :])
        self.high = _nearest_high(high, low, self.low)
        return self

    def apply(self, thick: ArrayLike, factor: int, *, stride: int = 1) -> Floats:
        """Super-resolves a thick scan.

        Args:
            thick: (rows, cols, slices), one echo, intensity scale 1.
            factor: fine slices per thick slice, which must be the dictionary's.
            stride: between patches, in voxels; 2 takes a quarter of the time of 1.

        Returns:
            float32 (rows, cols, factor x slices), not clipped; thickened, it is `thick` again.

        Raises:
            InputError: `thick` is not 3-D, not finite or smaller than a patch, the factor is not
                the dictionary's, or no dictionary was learned.
        """
        if not len(self.low):
            raise InputError("expected a dictionary: fit or load one first")
        if factor != self.factor:
            raise InputError(f"expected the dictionary's slice factor {self.factor}, got {factor}")
        thick = _checked(thick)
        fine = self._estimate(self._interpolate(thick), stride)
        return back_project(fine, thick, factor, self.profile)

    def save(self, path: str | Path) -> None:
        """Writes the dictionary as an .npz file of plain arrays."""
        values = {name: getattr(self, name) for name in SETTINGS}
        settings = json.dumps(values, allow_nan=False)
        with output_file(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, high=self.high, low=self.low, settings=settings)

    @classmethod
    def load(cls, path: str | Path) -> "ScSR":
        """Reads a file of `save`, or raises `InputError`; `path` may be its folder."""
        path = Path(path) / FILE if Path(path).is_dir() else Path(path)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                settings = json.loads(str(arrays["settings"]))
                dictionary = cls(**settings, high=arrays["high"], low=arrays["low"])
        except FileNotFoundError:
            raise InputError(f"expected a dictionary of eval.train_scsr, found no {path}") from None
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
            raise InputError(f"expected a dictionary of eval.train_scsr, got {path}") from None
        expected = ((dictionary.atoms, PATCH**2), (dictionary.atoms, FEATURES))
        shapes = (dictionary.high.shape, dictionary.low.shape)
        if shapes != expected:
            raise InputError(f"expected a dictionary of {expected}, got {shapes} in {path}")
        return dictionary

    @property
    def sha256(self) -> str:
        """A digest of all that determines the result of `apply`."""
        return sha256(self.profile.encode() + self.high.tobytes() + self.low.tobytes()).hexdigest()

    def _interpolate(self, thick: Floats) -> Floats:
        first = slices.first_slice(self.profile, self.factor)
        return slices.interpolate(thick, self.factor, first=first)

    def training_pairs(self, volumes: Iterable[ArrayLike]) -> tuple[Floats, Floats]:
        """(n, 25) fine patches and (n, 100) features, the same number from each volume."""
        random = np.random.default_rng(self.seed)
        pairs = np.zeros((0, PATCH**2 + FEATURES), np.float32)
        for number, volume in enumerate(volumes, 1):
            added = self._pairs(_checked(volume), -(-self.patches // number), random)
            retained = random.permutation(len(pairs))[: self.patches - len(added)]
            pairs = np.concatenate([pairs[retained], added])
        if len(pairs) < self.atoms:
            raise InputError(
                f"expected at least {self.atoms} patches that are not flat, one for each atom, "
                f"got {len(pairs)}"
            )
        return pairs[:, : PATCH**2], pairs[:, PATCH**2 :]

    def _pairs(self, fine: Floats, count: int, random: np.random.Generator) -> Floats:
        """(n, 25 + 100): fine patches minus the coarse mean, and features; both scaled alike."""
        thick = slices.thicken(fine, self.factor, profile=self.profile)
        coarse = self._interpolate(thick)[:, :, : fine.shape[2]]
        features = _features(coarse)
        starts = _structured_starts(features, count, random)
        low = _cut(features, starts)
        high = _cut(fine, starts) - _cut(coarse, starts).mean(axis=1, keepdims=True)
        return np.hstack([high, low]) / _norm(low)

    def _estimate(self, coarse: Floats, stride: int) -> Floats:
        """The super-resolved (row, slice) planes, without back-projection."""
        fine = np.empty_like(coarse)

        def estimate(col: int) -> None:
            fine[:, col] = self._plane(coarse[:, col : col + 1], stride)

        with ALL_CORES, one_core_each(), ThreadPoolExecutor(THREADS) as pool:
            planes = pool.map(estimate, range(coarse.shape[1]))
            for _ in tqdm(planes, "ScSR", fine.shape[1], unit="plane", disable=None, delay=2):
                pass
        return fine

    def _plane(self, coarse: Floats, stride: int) -> Floats:
        """(rows, slices) from (rows, 1, slices): the mean of the patches that cover each voxel."""
        starts = positions(coarse.shape, SIZE, (stride, 1, stride))
        features = _features(coarse)
        total, count = np.zeros((2, coarse.shape[0], coarse.shape[2]), np.float32)
        for first in range(0, len(starts), CHUNK):
            chunk = starts[first : first + CHUNK]
            patches = self._patches(_cut(coarse, chunk), _cut(features, chunk))
            for voxel, (row, col) in enumerate(np.ndindex(PATCH, PATCH)):
                index = chunk[:, 0] + row, chunk[:, 2] + col
                total[index] += patches[:, voxel]  # the starts differ, so no index occurs twice
                count[index] += 1
        return total / count

    def _patches(self, coarse: Floats, features: Floats) -> Floats:
        norm = _norm(features)
        codes = lasso_homotopy.encode(features / norm, self.low, PENALTY)
        return coarse.mean(axis=1, keepdims=True) + norm * (codes @ self.high)


def one_core_each() -> threadpool_limits:
    """A context in which matrix products use only the calling thread.

    Each plane has its own thread; with more from BLAS, encoding was two to three times slower.
    """
    return threadpool_limits(1, user_api="blas")


def back_project(
    fine: NDArray[np.floating], thick: NDArray[np.floating], factor: int, profile: str = "fir"
) -> NDArray[np.floating]:
    """Corrects fine slices (the last axis) until they agree with the thick ones when thickened.

    Each of 20 steps thickens the fine slices, and adds the interpolated difference from the thick
    ones. All steps are linear and act along slices only, so together they are one matrix. They
    reach the thick slices to 1e-3, except for the profile kspace_hamming, whose highest
    frequencies are so weak that they converge slowly.
    """
    count = thick.shape[2]
    up = slices.tricubic_matrix(count, factor, slices.first_slice(profile, factor))
    down = slices.thicken_matrix(factor * count, factor, profile)
    residual_after_step = np.eye(count) - down @ up
    steps = sum(
        np.linalg.matrix_power(residual_after_step, step) for step in range(BACK_PROJECTIONS)
    )
    residual = thick - fine @ down.T.astype(fine.dtype)
    return fine + residual @ (up @ steps).T.astype(fine.dtype)


def _checked(volume: ArrayLike) -> Floats:
    volume = np.asarray(volume, np.float32)
    if volume.ndim != 3:
        raise InputError(f"expected one echo (rows, cols, slices), got {volume.shape}")
    if not np.isfinite(volume).all():
        raise InputError("expected finite intensities, got NaN or infinity")
    return volume


def _features(image: Floats) -> Floats:
    """(rows, cols, slices, 4): first and second derivatives along rows, then along slices."""
    derivatives = [
        ndimage.correlate1d(image, kernel, axis) for axis in (0, 2) for kernel in DERIVATIVES
    ]
    return np.stack(derivatives, axis=3)


def _structured_starts(
    features: Floats, count: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """(n, 3): the first voxels of patches that are not flat, `count` of them or all."""
    positions(features.shape[:3], SIZE, PATCH)  # raises if the volume is smaller than a patch
    edge = PATCH // 2
    power = ndimage.uniform_filter(np.sum(features**2, axis=3), SIZE) * PATCH**2
    inner = power[edge:-edge, :, edge:-edge]
    structured = np.flatnonzero(inner > FLAT**2)
    chosen = random.choice(structured, min(count, len(structured)), replace=False)
    return np.stack(np.unravel_index(chosen, inner.shape), axis=1)


def _cut(image: Floats, starts: NDArray[np.int64]) -> Floats:
    """(n, voxels of a patch), one derivative after the other where there are several."""
    patches = cut(image.reshape(*image.shape[:3], -1), starts, SIZE)
    length = PATCH**2 * patches.shape[-1]
    return np.moveaxis(patches, -1, 1).reshape(len(starts), length).astype(np.float32, copy=False)


def _norm(features: Floats) -> Floats:
    return np.maximum(np.linalg.norm(features, axis=1, keepdims=True), FLAT)


def _nearest_high(high: Floats, features: Floats, low: Floats) -> Floats:
    """The high half whose products with the codes of the features are nearest to `high`."""
    power, product = np.zeros((len(low), len(low))), np.zeros((len(low), high.shape[1]))
    for start in range(0, len(features), CHUNK):
        chunk = slice(start, start + CHUNK)
        codes = lasso_homotopy.encode(features[chunk], low, PENALTY)
        power += codes.T @ codes
        product += codes.T @ high[chunk]
    ridge = RIDGE * np.trace(power) / len(low) * np.eye(len(low))
    return np.linalg.solve(power + ridge, product).astype(np.float32)
