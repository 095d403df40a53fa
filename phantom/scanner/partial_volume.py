"""The signal of a knee in the voxels of a grid, before it is received, and the truth behind it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.mri.dess import dess_signals
from phantom.anatomy.implicit_surfaces import Array, Points, Surface
from phantom.anatomy.knee import Knee, Material, labels, paint
from phantom.anatomy.structure import Structure
from phantom.anatomy.tissues import LABELS, TISSUES, values_by_label
from phantom.scanner.protocols import Sequence

BLOCK_MM, BLOCK_VOXELS = 12.0, (4, 32)  # what is simulated at once, along each axis
FINEST_MM = 0.25  # distance of samples in voxels where tissues meet
FAT_SHIFT_HZ = -430.0  # at 3 T
# Diffusivity of joint fluid and cysts relative to that of cartilage: 2.5e-9 m^2/s, a little below
# water at the joint's 33 degrees C (Holz et al. 2000, doi 10.1039/b005319h).
LIQUID_DIFFUSION = 2.0

Block = tuple[slice, ...]


class NoiseFreeScan:
    """A scan without noise and its ground truth, of nothing but air until blocks are filled.

    Arrays are (rows, cols, slices[, echoes]).

    Attributes:
        signal: complex64, both echoes.
        label: int16, the tissue at the centre of the voxel.
        t1_ms: float32, T1 of that tissue.
        t2_ms: float32, T2 of that tissue.
        m0: float32, its proton density relative to water.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        air = TISSUES[LABELS["air"]]
        self.signal = np.zeros((*shape, 2), np.complex64)
        self.label = np.full(shape, LABELS["air"], np.int16)
        self.t1_ms, self.t2_ms, self.m0 = (
            np.full(shape, value, np.float32) for value in (air.t1_ms, air.t2_ms, air.m0)
        )

    def cropped(self, beyond: int) -> "NoiseFreeScan":
        """The scan without `beyond` slices at each end."""
        inner = copy(self)
        if beyond:
            for name in ("signal", "label", "t1_ms", "t2_ms", "m0"):
                setattr(inner, name, getattr(self, name)[:, :, beyond:-beyond])
        return inner

    def fill(self, block: Block, material: Material, signal: NDArray[np.complex64]) -> None:
        """Sets the voxels of a block from their n materials and (2, n) signals."""
        shape = self.label[block].shape
        self.signal[block] = signal.T.reshape(*shape, 2)
        for name in ("label", "t1_ms", "t2_ms", "m0"):
            getattr(self, name)[block] = getattr(material, name).reshape(shape)


def scan_knee(
    knee: Knee,
    to_knee: NDArray[np.float64],
    shape: tuple[int, int, int],
    sequence: Sequence,
    threads: int = 1,
    finest_mm: float = FINEST_MM,
    fat_excitation: Surface | None = None,
) -> NoiseFreeScan:
    """Scans a knee on a grid. Voxels in which tissues meet are averages of the complex signal.

    Args:
        knee: the knee to scan.
        to_knee: (3, 4), maps (row, col, slice, 1) to mm in the axes of the knee.
        shape: rows, cols and slices.
        sequence: determines the signals.
        threads: blocks that are simulated at once; the result does not depend on it.
        finest_mm: largest distance between samples in a voxel where tissues meet.
        fat_excitation: signal of fat over that of perfect water excitation, at points of the
            reference knee; 1 everywhere by default.
    """
    scan = NoiseFreeScan(shape)
    voxel_mm = np.linalg.norm(to_knee[:, :3], axis=0)
    offsets = _sample_offsets(voxel_mm, finest_mm)
    signals = partial(_signal, sequence, fat_excitation)

    def simulate(block_and_structures: tuple[Block, list[Structure]]) -> None:
        block, structures = block_and_structures
        index = np.stack([axis.ravel() for axis in np.mgrid[block]]).astype(np.float64)
        scan.fill(block, *_simulate_voxels(index, structures, knee, to_knee, offsets, signals))

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(simulate, _blocks(knee, to_knee, shape, voxel_mm)):
            pass
    return scan


def _blocks(
    knee: Knee, to_knee: NDArray[np.float64], shape: tuple[int, ...], voxel_mm: NDArray
) -> Iterator[tuple[Block, list[Structure]]]:
    """Blocks of the grid with the structures that can reach into them, where there are any."""
    sizes = np.clip(np.round(BLOCK_MM / voxel_mm), *BLOCK_VOXELS).astype(int)
    starts = list(product(*(range(0, n, b) for n, b in zip(shape, sizes, strict=True))))
    centres = np.array(starts, float) + (sizes - 1) / 2
    points = knee.to_reference(*_positions(to_knee, centres.T))
    # Surfaces are not quite distances, and the warp stretches: a margin of a half is safe.
    reach = 0.75 * float(np.linalg.norm(sizes * voxel_mm)) / knee.size + 1.5
    distance = np.stack([points.value(s.surface) for s in knee.structures])
    for index, start in enumerate(starts):
        block = tuple(slice(a, min(a + b, n)) for a, b, n in zip(start, sizes, shape, strict=True))
        enclosing = np.flatnonzero(distance[:, index] < -reach)
        first = int(enclosing[-1]) if enclosing.size else 0
        near = np.flatnonzero(distance[first:, index] < reach) + first
        if near.size:
            yield block, [knee.structures[i] for i in near]


def _simulate_voxels(
    index: NDArray[np.float64],
    structures: list[Structure],
    knee: Knee,
    to_knee: NDArray[np.float64],
    offsets: NDArray[np.float64],
    signals: Callable[[Material, Points], NDArray[np.complex64]],
) -> tuple[Material, NDArray[np.complex64]]:
    """Material at the centres of the voxels with (3, n) indices, and their (2, n) signals."""
    diagonal = float(np.linalg.norm(to_knee[:, :3])) / knee.size
    voxel_mm = np.abs(to_knee[:, :3]).max(axis=1) / knee.size  # along x, y and z
    points = knee.to_reference(*_positions(to_knee, index))
    owner, near = paint(points, structures, 0.5 * diagonal)
    centre = knee.material(points, structures, owner, voxel_mm.tolist())
    signal = signals(centre, points)
    boundary = np.flatnonzero(near)
    if boundary.size:
        structures = _reaching(points.take(boundary), structures, 0.75 * diagonal + 0.4)
        fine = (index[:, boundary, None] + offsets[:, None, :]).reshape(3, -1)
        samples = knee.to_reference(*_positions(to_knee, fine))
        owner, _ = paint(samples, structures)
        # A voxel of one tissue keeps the signal of its centre, whose values are its truth.
        label = labels(structures, owner).reshape(boundary.size, -1)
        mixed = (label != centre.label[boundary, None]).any(axis=1)
        chosen = np.flatnonzero(np.repeat(mixed, offsets.shape[1]))
        samples, sample_mm = samples.take(chosen), voxel_mm / np.cbrt(offsets.shape[1])
        material = knee.material(samples, structures, owner[chosen], sample_mm.tolist())
        mean = signals(material, samples).reshape(2, -1, offsets.shape[1]).mean(axis=-1)
        signal[:, boundary[mixed]] = mean
    return centre, signal


def _reaching(points: Points, structures: list[Structure], reach_mm: float) -> list[Structure]:
    """The structures whose surface is within reach of any of the points, and visible there."""
    distance = np.stack([points.value(s.surface) for s in structures])
    enclosing = np.flatnonzero(distance.max(axis=1) < -reach_mm)
    first = int(enclosing[-1]) if enclosing.size else 0
    near = np.flatnonzero(distance.min(axis=1) < reach_mm)
    return [structures[i] for i in near if i >= first]


def _positions(to_knee: NDArray[np.float64], index: NDArray[np.float64]) -> list[Array]:
    return [
        (row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]).astype(np.float32)
        for row in to_knee
    ]


def _sample_offsets(voxel_mm: NDArray, finest_mm: float) -> NDArray[np.float64]:
    """(3, n) positions within a voxel, in voxels, at most `finest_mm` apart."""
    counts = np.ceil(voxel_mm / finest_mm).astype(int)
    axes = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])


def _signal(
    sequence: Sequence, fat_excitation: Surface | None, material: Material, points: Points
) -> NDArray[np.complex64]:
    """(2, n) signals of both echoes; that of fat is rotated by its chemical shift."""
    signal = np.empty((2, material.label.size), np.complex64)
    liquid = values_by_label("liquid")[material.label] > 0
    for mask, relative_diffusivity in ((~liquid, 1.0), (liquid, LIQUID_DIFFUSION)):
        if mask.any():
            signal[:, mask] = dess_signals(
                material.m0[mask],
                material.t1_ms[mask],
                material.t2_ms[mask],
                tr_ms=sequence.tr_ms,
                te_ms=sequence.te_ms[0],
                flip_deg=sequence.flip_deg,
                spoiler_area=sequence.spoiler_area,
                spoiler_duration_us=sequence.spoiler_duration_us,
                diffusivity=relative_diffusivity * sequence.diffusivity_m2_per_s,
            )
    # T2' dephases spins for TE after the pulse of S1 and for TE before the pulse of S2.
    signal *= np.exp(-sequence.te_ms[0] / material.t2_prime_ms)
    fat = np.flatnonzero(values_by_label("fat")[material.label])
    if fat_excitation:
        signal[:, fat] *= fat_excitation(points.take(fat))
    # S2 is refocused by the pulse after it, TE later.
    for echo, time_ms in enumerate((sequence.te_ms[0], -sequence.te_ms[0])):
        signal[echo, fat] *= np.exp(2j * np.pi * FAT_SHIFT_HZ * time_ms / 1000)
    return signal
