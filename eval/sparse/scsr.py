"""ScSR: slice super-resolution by sparse codes (Yang et al. 2010, doi:10.1109/TIP.2010.2050625).

Every plane of (row, slice) is taken by itself. The thick slices are interpolated; of each 5 x 5
patch of the plane, first and second derivatives in both directions are coded sparsely in the low
half of a dictionary, and the code times its high half says by how much the fine patch departs from
the mean of the interpolated one. Overlapping patches are averaged. Back-projection then gives the
result the thick slices that were there.

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
FLAT = 0.25  # a patch of features of a smaller norm: not learned from, and coded as if of this one
RIDGE = 1e-3  # of the codes' mean power
BACK_PROJECTIONS = 20
CHUNK = 8192  # patches of one plane in memory
FILE, PICTURE = "dictionary.npz", "dictionary.png"
ALL_CORES = Lock()  # one volume at a time: its planes keep them busy
SETTINGS = ("factor", "profile", "atoms", "patches", "passes", "seed")


@dataclass
class ScSR:
    """A dictionary to be learned by `fit`, then applied.

    Attributes:
        factor: fine slices per thick one.
        profile: of the thick slices, see `slices.thicken`.
        atoms: of the dictionary.
        patches: to learn from.
        passes: over them.
        seed: of their choice, and of learning.
        high: float32 (atoms, 25), what each atom adds to a fine patch; rows before slices.
        low: float32 (atoms, 100), its features, of norm 1: a derivative after the other.
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
        """Learns the dictionary from fine volumes, each with its own thick slices.

        High and low halves, of equal power, are learned jointly. The high half is then replaced by
        the one that, with the codes that features alone give, comes nearest to the fine patches:
        those are the codes it will be applied with, and they are smaller than the joint ones.

        Args:
            volumes: each (rows, cols, fine slices), one echo, intensity scale 1; read one by one.

        Returns:
            This.

        Raises:
            InputError: a volume that is not 3-D, not finite or smaller than a patch, or too few
                patches that are not flat.
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

    def apply(
        self,
        thick: ArrayLike,
        factor: int,
        *,
        stride: int = 1,
        both_planes: bool = False,
        threads: int = 2,
    ) -> Floats:
        """Fine slices of a thick scan.

        Args:
            thick: (rows, cols, slices), one echo, intensity scale 1.
            factor: the dictionary's.
            stride: of patches, in voxels: 1 for an overlap of 4; 2 takes a quarter of the time.
            both_planes: the mean of what (row, slice) and (column, slice) planes give.
            threads: that share the planes.

        Returns:
            float32 (rows, cols, factor x slices), not clipped; thickened it is `thick` again.

        Raises:
            InputError: not 3-D, not finite, planes smaller than a patch, another factor than the
                dictionary's, or no dictionary.
        """
        if not len(self.low):
            raise InputError("expected a dictionary: fit or load one first")
        if factor != self.factor:
            raise InputError(f"expected the dictionary's slice factor {self.factor}, got {factor}")
        thick = _checked(thick)
        coarse = self._interpolate(thick)
        fine = self._estimate(coarse, stride, threads)
        if both_planes:
            turned = self._estimate(coarse.swapaxes(0, 1), stride, threads)
            fine = (fine + turned.swapaxes(0, 1)) / 2
        return back_project(fine, thick, factor, self.profile)

    def save(self, path: str | Path) -> None:
        """Writes the dictionary as .npz of plain arrays; whole or not at all."""
        settings = json.dumps({name: getattr(self, name) for name in SETTINGS})
        with output_file(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, high=self.high, low=self.low, settings=settings)

    @classmethod
    def load(cls, path: str | Path) -> "ScSR":
        """Reads what `save` wrote, the file or its folder; `InputError` for anything else."""
        path = Path(path) / FILE if Path(path).is_dir() else Path(path)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                settings = json.loads(str(arrays["settings"]))
                found = cls(**settings, high=arrays["high"], low=arrays["low"])
        except FileNotFoundError:
            raise InputError(f"expected a dictionary of eval.train_scsr, found no {path}") from None
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
            raise InputError(f"expected a dictionary of eval.train_scsr, got {path}") from None
        shapes = ((found.atoms, PATCH**2), (found.atoms, FEATURES))
        if (found.high.shape, found.low.shape) != shapes:
            raise InputError(
                f"expected a dictionary of {shapes}, got {found.high.shape, found.low.shape} "
                f"in {path}"
            )
        return found

    @property
    def sha256(self) -> str:
        """Of the numbers that decide what is applied."""
        return sha256(self.profile.encode() + self.high.tobytes() + self.low.tobytes()).hexdigest()

    def _interpolate(self, thick: Floats) -> Floats:
        first = slices.first_slice(self.profile, self.factor)
        return slices.interpolate(thick, self.factor, first=first)

    def training_pairs(self, volumes: Iterable[ArrayLike]) -> tuple[Floats, Floats]:
        """(n, 25) fine patches and (n, 100) features, as many from each volume as from another."""
        random = np.random.default_rng(self.seed)
        pairs = np.zeros((0, PATCH**2 + FEATURES), np.float32)
        for number, volume in enumerate(volumes, 1):
            new = self._pairs(_checked(volume), -(-self.patches // number), random)
            kept = random.permutation(len(pairs))[: self.patches - len(new)]
            pairs = np.concatenate([pairs[kept], new])
        if len(pairs) < self.atoms:
            raise InputError(
                f"expected at least {self.atoms} patches that are not flat, one for each atom, "
                f"got {len(pairs)}"
            )
        return pairs[:, : PATCH**2], pairs[:, PATCH**2 :]

    def _pairs(self, fine: Floats, count: int, random: np.random.Generator) -> Floats:
        """(n, 25 + 100): fine patches less the coarse mean, and features; both scaled alike."""
        thick = slices.thicken(fine, self.factor, profile=self.profile)
        coarse = self._interpolate(thick)[:, :, : fine.shape[2]]
        features = _features(coarse)
        where = _structured(features, count, random)
        low = _cut(features, where)
        high = _cut(fine, where) - _cut(coarse, where).mean(axis=1, keepdims=True)
        return np.hstack([high, low]) / _norm(low)

    def _estimate(self, coarse: Floats, stride: int, threads: int) -> Floats:
        """What the codes of each (row, slice) plane give, without back-projection."""
        fine = np.empty_like(coarse)

        def plane(col: int) -> None:
            fine[:, col] = self._plane(coarse[:, col : col + 1], stride)

        with ALL_CORES, one_core_each(), ThreadPoolExecutor(threads) as pool:
            planes = pool.map(plane, range(coarse.shape[1]))
            for _ in tqdm(planes, "ScSR", fine.shape[1], unit="plane", disable=None, delay=2):
                pass
        return fine

    def _plane(self, coarse: Floats, stride: int) -> Floats:
        """(rows, slices) from (rows, 1, slices): the mean of the patches over each voxel."""
        where = positions(coarse.shape, SIZE, (stride, 1, stride))
        features = _features(coarse)
        total, patches_over = np.zeros((2, coarse.shape[0], coarse.shape[2]), np.float32)
        for start in range(0, len(where), CHUNK):
            some = where[start : start + CHUNK]
            patches = self._patches(_cut(coarse, some), _cut(features, some))
            for voxel, (row, col) in enumerate(np.ndindex(PATCH, PATCH)):
                place = some[:, 0] + row, some[:, 2] + col
                total[place] += patches[:, voxel]  # no two patches have one place for a voxel
                patches_over[place] += 1
        return total / patches_over

    def _patches(self, coarse: Floats, features: Floats) -> Floats:
        norm = _norm(features)
        codes = lasso_homotopy.encode(features / norm, self.low, PENALTY)
        return coarse.mean(axis=1, keepdims=True) + norm * (codes @ self.high)


def one_core_each() -> threadpool_limits:
    """Within it, products of matrices run in the thread that asks for them.

    With planes in threads of their own, BLAS's further threads only get in each other's way: codes
    came two to three times slower.
    """
    return threadpool_limits(1, user_api="blas")


def back_project(
    fine: NDArray[np.floating], thick: NDArray[np.floating], factor: int, profile: str = "fir"
) -> NDArray[np.floating]:
    """Corrects fine slices until, thickened, they are the thick ones.

    A step adds what is missing of the thick slices, interpolated. All 20 are linear and act along
    slices alone, so that together they are one matrix. They meet the thick slices to 1e-3; but not
    of profile kspace_hamming, whose highest frequencies are so weak that they come back slowly.

    Args:
        fine: (rows, cols, factor x slices).
        thick: (rows, cols, slices).
        factor: fine slices per thick one.
        profile: of the thick slices, see `slices.thicken`.
    """
    count = thick.shape[2]
    up = slices.tricubic_matrix(count, factor, slices.first_slice(profile, factor))
    down = slices.thicken_matrix(factor * count, factor, profile)
    still_missing = np.eye(count) - down @ up
    steps = sum(np.linalg.matrix_power(still_missing, step) for step in range(BACK_PROJECTIONS))
    missing = thick - fine @ down.T.astype(fine.dtype)
    return fine + missing @ (up @ steps).T.astype(fine.dtype)


def _checked(volume: ArrayLike) -> Floats:
    volume = np.asarray(volume, np.float32)
    if volume.ndim != 3:
        raise InputError(f"expected one echo (rows, cols, slices), got {volume.shape}")
    if not np.isfinite(volume).all():
        raise InputError("expected finite intensities, got NaN or infinity")
    return volume


def _features(image: Floats) -> Floats:
    """(rows, cols, slices, 4): first and second derivative along rows, then along slices."""
    maps = [
        ndimage.correlate1d(image, kernel, axis=axis, mode="reflect")
        for axis in (0, 2)
        for kernel in DERIVATIVES
    ]
    return np.stack(maps, axis=3)


def _structured(features: Floats, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """(n, 3): where patches start that are not flat, `count` of them or all there are."""
    positions(features.shape[:3], SIZE, PATCH)  # refuses what is smaller than a patch
    edge = PATCH // 2
    power = ndimage.uniform_filter(np.sum(features**2, axis=3), SIZE) * PATCH**2
    inner = power[edge:-edge, :, edge:-edge]
    found = np.flatnonzero(inner > FLAT**2)
    chosen = random.choice(found, min(count, len(found)), replace=False)
    return np.stack(np.unravel_index(chosen, inner.shape), axis=1)


def _cut(image: Floats, where: NDArray[np.int64]) -> Floats:
    """(n, voxels of a patch); of derivatives, one after the other."""
    patches = cut(image.reshape(*image.shape[:3], -1), where, SIZE)
    numbers = PATCH**2 * patches.shape[-1]
    return np.moveaxis(patches, -1, 1).reshape(len(where), numbers).astype(np.float32, copy=False)


def _norm(features: Floats) -> Floats:
    return np.maximum(np.linalg.norm(features, axis=1, keepdims=True), FLAT)


def _nearest_high(high: Floats, features: Floats, low: Floats) -> Floats:
    """The high half whose products with the features' codes are nearest to `high`."""
    power, product = np.zeros((len(low), len(low))), np.zeros((len(low), high.shape[1]))
    for start in range(0, len(features), CHUNK):
        some = slice(start, start + CHUNK)
        codes = lasso_homotopy.encode(features[some], low, PENALTY)
        power += codes.T @ codes
        product += codes.T @ high[some]
    ridge = RIDGE * np.trace(power) / len(low) * np.eye(len(low))
    return np.linalg.solve(power + ridge, product).astype(np.float32)
