"""From a knee to what a scanner delivers: protocols, partial volume, coil, k-space, noise."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from phantom.anatomy.assembly import Structure
from phantom.anatomy.implicit_surfaces import Array
from phantom.anatomy.knee import Knee, Material
from phantom.anatomy.tissues import FIRST_CARTILAGE, table
from phantom.dess import dess_signals

BLOCK = (32, 32, 16)
FINEST_MM = 0.25  # distance of samples where tissues meet
FAT_SHIFT_HZ = -430.0  # at 3 T
# Of joint fluid and cysts, over that of cartilage: 2.5e-9 m^2/s, a little below water at the
# joint's 33 degrees C (Holz et al. 2000, doi 10.1039/b005319h).
LIQUID_DIFFUSION = 2.0


@dataclass(frozen=True)
class Protocol:
    """A scan protocol; `snr` is the range of the cartilage's S1 SNR that a subject's is drawn from.

    `phase_fraction` is how much of k-space is acquired along the phase-encoded columns.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    tr_ms: float
    te_ms: tuple[float, float]
    flip_deg: float
    snr: tuple[float, float]
    combined: bool = False
    phase_fraction: float = 0.9


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "high_resolution", (416, 416, 160), (160 / 416, 160 / 416, 0.7), 23.0, (7.0, 39.0),
            20.0, (70.0, 80.0),
        ),
        Protocol(
            "thick", (416, 416, 72), (160 / 416, 160 / 416, 1.6), 23.0, (7.0, 39.0),
            20.0, (35.0, 50.0),
        ),
        Protocol(
            "single_contrast", (384, 384, 160), (140 / 384, 140 / 384, 0.7), 16.3, (4.7, 27.9),
            25.0, (50.0, 80.0), combined=True,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Sequence:
    """What the signal equations need; a spoiler area of 0 where spins do not diffuse."""

    tr_ms: float
    te_ms: tuple[float, float]
    flip_deg: float
    diffusivity_m2_per_s: float = 0.0
    spoiler_area: float = 0.0
    spoiler_duration_us: float = 0.0


@dataclass(frozen=True, eq=False)
class Scan:
    """A noise-free scan and its truth; arrays are (rows, cols, slices[, echoes]).

    Attributes:
        signal: complex64, both echoes.
        label: int16, tissue at the voxel's centre.
        t1_ms: float32, of that tissue; `t2_ms` and `m0` likewise.
        t2_ms: see `t1_ms`.
        m0: see `t1_ms`.
    """

    signal: NDArray[np.complex64]
    label: NDArray[np.int16]
    t1_ms: Array
    t2_ms: Array
    m0: Array


def scan(
    knee: Knee,
    to_knee: NDArray[np.float64],
    shape: tuple[int, int, int],
    sequence: Sequence,
    threads: int = 1,
    finest_mm: float = FINEST_MM,
) -> Scan:
    """Scans a knee on a grid; voxels in which tissues meet are averages of complex signal.

    Args:
        knee: what is scanned.
        to_knee: (3, 4), (row, col, slice, 1) -> mm in the knee's own axes.
        shape: rows, cols, slices.
        sequence: what the signals depend on.
        threads: blocks done at once; the result does not depend on it.
        finest_mm: how far apart samples may be in a voxel where tissues meet.
    """
    result = Scan(
        np.zeros((*shape, 2), np.complex64),
        np.zeros(shape, np.int16),
        *(np.zeros(shape, np.float32) for _ in range(3)),
    )
    voxel_mm = np.linalg.norm(to_knee[:, :3], axis=0)
    offsets = _offsets(voxel_mm, finest_mm)

    def fill(task: tuple[tuple[slice, ...], list[Structure]]) -> None:
        block, structures = task
        _fill(result, block, structures, knee, to_knee, offsets, sequence)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, _tasks(knee, to_knee, shape, voxel_mm)):
            pass
    return result


def _tasks(
    knee: Knee, to_knee: NDArray[np.float64], shape: tuple[int, ...], voxel_mm: NDArray
) -> Iterator[tuple[tuple[slice, ...], list[Structure]]]:
    """Blocks of the grid, each with the structures that can reach into it."""
    starts = list(product(*(range(0, n, b) for n, b in zip(shape, BLOCK, strict=True))))
    centres = np.array(starts, float) + (np.array(BLOCK) - 1) / 2
    points = knee.points(*_positions(to_knee, centres.T))
    # Surfaces are not quite distances, and the warp stretches: half as far again is safe.
    reach = 0.75 * float(np.linalg.norm(BLOCK * voxel_mm)) / knee.size + 1.5
    distance = np.stack([points.of(s.surface) for s in knee.structures])
    for index, start in enumerate(starts):
        block = tuple(slice(a, min(a + b, n)) for a, b, n in zip(start, BLOCK, shape, strict=True))
        buried = np.flatnonzero(distance[:, index] < -reach)
        first = int(buried[-1]) if buried.size else 0
        near = np.flatnonzero(distance[first:, index] < reach) + first
        yield block, [knee.structures[i] for i in near]


def _fill(
    result: Scan,
    block: tuple[slice, ...],
    structures: list[Structure],
    knee: Knee,
    to_knee: NDArray[np.float64],
    offsets: NDArray[np.float64],
    sequence: Sequence,
) -> None:
    if not structures:
        result.t1_ms[block], result.t2_ms[block] = table("t1_ms")[0], table("t2_ms")[0]
        return
    index = np.stack([axis.ravel() for axis in np.mgrid[block]]).astype(np.float64)
    margin = 0.5 * float(np.linalg.norm(to_knee[:, :3])) / knee.size
    centre = knee.material(knee.points(*_positions(to_knee, index)), structures, margin)
    signal = _signal(centre, sequence)
    meeting = np.flatnonzero(centre.near)
    if meeting.size:
        fine = (index[:, meeting, None] + offsets[:, None, :]).reshape(3, -1)
        parts = knee.material(knee.points(*_positions(to_knee, fine)), structures, 0.0)
        mean = _signal(parts, sequence).reshape(2, meeting.size, -1).mean(axis=-1)
        # A voxel of one tissue keeps the signal of its centre, whose values are its truth.
        own = centre.label[meeting, None]
        mixed = (parts.label.reshape(meeting.size, -1) != own).any(axis=1)
        signal[:, meeting[mixed]] = mean[:, mixed]
    shape = result.label[block].shape
    result.signal[block] = signal.T.reshape(*shape, 2)
    for whole, part in (
        (result.label, centre.label),
        (result.t1_ms, centre.t1_ms),
        (result.t2_ms, centre.t2_ms),
        (result.m0, centre.m0),
    ):
        whole[block] = part.reshape(shape)


def _positions(to_knee: NDArray[np.float64], index: NDArray[np.float64]) -> list[Array]:
    return [
        (row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]).astype(np.float32)
        for row in to_knee
    ]


def _offsets(voxel_mm: NDArray, finest_mm: float) -> NDArray[np.float64]:
    """(3, n) positions within a voxel, in voxels, no further apart than the finest distance."""
    counts = np.ceil(voxel_mm / finest_mm).astype(int)
    axes = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])


def _signal(material: Material, sequence: Sequence) -> NDArray[np.complex64]:
    """(2, n) both echoes; what is left of fat turns by its chemical shift until the echo."""
    signal = np.empty((2, material.label.size), np.complex64)
    liquid = table("liquid")[material.label] > 0
    for which, faster in ((~liquid, 1.0), (liquid, LIQUID_DIFFUSION)):
        if which.any():
            signal[:, which] = dess_signals(
                material.m0[which],
                material.t1_ms[which],
                material.t2_ms[which],
                tr_ms=sequence.tr_ms,
                te_ms=sequence.te_ms[0],
                flip_deg=sequence.flip_deg,
                spoiler_area=sequence.spoiler_area,
                spoiler_duration_us=sequence.spoiler_duration_us,
                diffusivity=faster * sequence.diffusivity_m2_per_s,
            )
    fat = np.flatnonzero(table("fat")[material.label])
    # S2 is refocused by the pulse after it, TE later.
    for echo, time_ms in enumerate((sequence.te_ms[0], -sequence.te_ms[0])):
        signal[echo, fat] *= np.exp(2j * np.pi * FAT_SHIFT_HZ * time_ms / 1000)
    return signal


def receive_field(
    shape: tuple[int, int, int], spacing_mm: tuple[float, ...], rng: np.random.Generator
) -> NDArray[np.complex64]:
    """A smooth receive sensitivity, about 1 at the centre, and phase of a knee coil."""
    axes = [
        (np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(d / 80)
        for n, d in zip(shape, spacing_mm, strict=True)
    ]
    r, c, s = np.meshgrid(*axes, indexing="ij", sparse=True)
    slopes, turns = rng.normal(0, 0.05, 3).tolist(), rng.normal(0, 0.6, 3).tolist()
    bowl = rng.uniform(0.05, 0.15, 3).tolist()
    size = 1 + slopes[0] * r + slopes[1] * c + slopes[2] * s
    size = size - bowl[0] * r * r + bowl[1] * c * c + bowl[2] * s * s
    phase = turns[0] * r + turns[1] * c + turns[2] * s + 0.4 * (r * r + c * c)
    return np.maximum(size, 0.2) * np.exp(1j * phase).astype(np.complex64)


def cartilage_signal(scan: Scan, field: NDArray[np.complex64]) -> float:
    """Mean S1 of all cartilage as received; of the brightest percent where there is none."""
    s1 = np.abs(scan.signal[..., 0] * field)
    cartilage = scan.label >= FIRST_CARTILAGE
    return float(s1[cartilage].mean() if cartilage.any() else np.percentile(s1, 99))


def acquire(
    signal: NDArray[np.complex64],
    field: NDArray[np.complex64],
    sigma: float,
    phase_fraction: float | None,
    seed: list[int],
) -> NDArray[np.float32]:
    """One echo's magnitude image: as k-space is acquired, with complex noise.

    Args:
        signal: complex (rows, cols, slices), averages over voxels.
        field: receive field, likewise.
        sigma: noise of the real and of the imaginary part in the image.
        phase_fraction: acquired part of k-space along columns; the rest is zero-filled. None: the
            averages stay as they are.
        seed: of the noise.
    """
    image = np.empty(signal.shape, np.float32)
    received = signal * field
    rows, columns, slices = signal.shape
    window = gain = np.ones((columns, slices), np.float32)
    if phase_fraction is not None:
        window = _aperture(columns, slices, phase_fraction)
        gain = window * np.outer(_undamping(columns), _undamping(slices))
        for index in range(slices):
            received[..., index] = _weighted(received[..., index], _undamping(rows)[:, None], 0)
    before = np.float32(sigma / np.sqrt(np.mean(window**2)))
    for index in range(rows):
        plane = _weighted(received[index], gain)
        if sigma:
            rng = np.random.default_rng([*seed, index])
            drawn = rng.standard_normal((*plane.shape, 2), np.float32) * before
            plane = plane + _weighted(drawn.view(np.complex64)[..., 0], window)
        image[index] = np.abs(plane)
    return image


def _undamping(count: int) -> NDArray[np.float32]:
    """What undoes a voxel's averaging, by frequency: a scanner samples k-space undamped."""
    return (1 / np.sinc(np.arange(count) / (2 * count))).astype(np.float32)


def _aperture(columns: int, slices: int, fraction: float) -> NDArray[np.float32]:
    """The filter on the phase-encoded plane, 0 where nothing was acquired.

    3-D scans leave the corners of that plane out: an ellipse holds as much resolution in 0.79 of
    the time (Bernstein et al. 2001, doi 10.1002/jmri.1183). A Fermi function falls to a half at
    0.92 of its radius, against ringing.
    """
    radius = np.hypot(
        *np.ix_(np.arange(columns) / (columns * fraction), np.arange(slices) / slices)
    )
    fall = 1 / (1 + np.exp((np.minimum(radius, 1) - 0.92) / 0.03))
    return np.where(radius < 1, fall, 0).astype(np.float32)


def _weighted(
    image: NDArray[np.complex64], weights: NDArray, axes: int | None = None
) -> NDArray[np.complex64]:
    """Weighs the frequencies of an image, all axes or one, that its mirror continues (no wrap)."""
    if (weights == 1).all():
        return image
    return fft.idctn(fft.dctn(image, axes=axes, norm="ortho") * weights, axes=axes, norm="ortho")
