"""The acquisition of a knee: partial volume, receive coil, k-space and noise."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mrsr_tf.mri.dess import dess_signals
from phantom.anatomy.assembly import Structure
from phantom.anatomy.implicit_surfaces import Array
from phantom.anatomy.knee import Knee, Material
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS, TISSUES, values_by_label
from phantom.scanner.protocols import Sequence

BLOCK = (32, 32, 16)  # voxels that are simulated at once
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
) -> NoiseFreeScan:
    """Scans a knee on a grid. Voxels in which tissues meet are averages of the complex signal.

    Args:
        knee: the knee to scan.
        to_knee: (3, 4), maps (row, col, slice, 1) to mm in the axes of the knee.
        shape: rows, cols and slices.
        sequence: determines the signals.
        threads: blocks that are simulated at once; the result does not depend on it.
        finest_mm: largest distance between samples in a voxel where tissues meet.
    """
    scan = NoiseFreeScan(shape)
    voxel_mm = np.linalg.norm(to_knee[:, :3], axis=0)
    offsets = _sample_offsets(voxel_mm, finest_mm)

    def simulate(block_and_structures: tuple[Block, list[Structure]]) -> None:
        block, structures = block_and_structures
        index = np.stack([axis.ravel() for axis in np.mgrid[block]]).astype(np.float64)
        scan.fill(block, *_simulate_voxels(index, structures, knee, to_knee, offsets, sequence))

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(simulate, _blocks(knee, to_knee, shape, voxel_mm)):
            pass
    return scan


def _blocks(
    knee: Knee, to_knee: NDArray[np.float64], shape: tuple[int, ...], voxel_mm: NDArray
) -> Iterator[tuple[Block, list[Structure]]]:
    """Blocks of the grid with the structures that can reach into them, where there are any."""
    starts = list(product(*(range(0, n, b) for n, b in zip(shape, BLOCK, strict=True))))
    centres = np.array(starts, float) + (np.array(BLOCK) - 1) / 2
    points = knee.to_reference(*_positions(to_knee, centres.T))
    # Surfaces are not quite distances, and the warp stretches: a margin of a half is safe.
    reach = 0.75 * float(np.linalg.norm(BLOCK * voxel_mm)) / knee.size + 1.5
    distance = np.stack([points.value(s.surface) for s in knee.structures])
    for index, start in enumerate(starts):
        block = tuple(slice(a, min(a + b, n)) for a, b, n in zip(start, BLOCK, shape, strict=True))
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
    sequence: Sequence,
) -> tuple[Material, NDArray[np.complex64]]:
    """Material at the centres of the voxels with (3, n) indices, and their (2, n) signals."""
    margin = 0.5 * float(np.linalg.norm(to_knee[:, :3])) / knee.size
    points = knee.to_reference(*_positions(to_knee, index))
    centre = knee.material(points, structures, margin)
    signal = _signal(centre, sequence)
    boundary = np.flatnonzero(centre.near)
    if boundary.size:
        fine = (index[:, boundary, None] + offsets[:, None, :]).reshape(3, -1)
        points = knee.to_reference(*_positions(to_knee, fine))
        samples = knee.material(points, structures, 0.0)
        mean = _signal(samples, sequence).reshape(2, boundary.size, -1).mean(axis=-1)
        # A voxel of one tissue keeps the signal of its centre, whose values are its truth.
        own = centre.label[boundary, None]
        mixed = (samples.label.reshape(boundary.size, -1) != own).any(axis=1)
        signal[:, boundary[mixed]] = mean[:, mixed]
    return centre, signal


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


def _signal(material: Material, sequence: Sequence) -> NDArray[np.complex64]:
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
    fat = np.flatnonzero(values_by_label("fat")[material.label])
    # S2 is refocused by the pulse after it, TE later.
    for echo, time_ms in enumerate((sequence.te_ms[0], -sequence.te_ms[0])):
        signal[echo, fat] *= np.exp(2j * np.pi * FAT_SHIFT_HZ * time_ms / 1000)
    return signal


def receive_field(
    shape: tuple[int, int, int], spacing_mm: tuple[float, ...], rng: np.random.Generator
) -> NDArray[np.complex64]:
    """A smooth random receive sensitivity of a knee coil, about 1 at the centre, with its phase."""
    axes = [
        (np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(d / 80)
        for n, d in zip(shape, spacing_mm, strict=True)
    ]
    r, c, s = np.meshgrid(*axes, indexing="ij", sparse=True)
    slopes, phase_slopes = rng.normal(0, 0.05, 3).tolist(), rng.normal(0, 0.6, 3).tolist()
    bowl = rng.uniform(0.05, 0.15, 3).tolist()
    magnitude = 1 + slopes[0] * r + slopes[1] * c + slopes[2] * s
    magnitude = magnitude - bowl[0] * r * r + bowl[1] * c * c + bowl[2] * s * s
    phase = phase_slopes[0] * r + phase_slopes[1] * c + phase_slopes[2] * s
    phase = phase + 0.4 * (r * r + c * c)
    return np.maximum(magnitude, 0.2) * np.exp(1j * phase).astype(np.complex64)


def cartilage_signal(scan: NoiseFreeScan, field: NDArray[np.complex64]) -> float:
    """Mean received S1 of all cartilage; without cartilage, of the brightest percent."""
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
    """The magnitude image of one echo, from k-space as a scanner samples it, with noise.

    Args:
        signal: complex (rows, cols, slices), averages over the voxels.
        field: complex (rows, cols, slices), receive sensitivity.
        sigma: standard deviation of the noise in the real and in the imaginary part of the image.
        phase_fraction: acquired fraction of k-space along the columns; the rest is zero-filled.
            None keeps the averages over the voxels.
        seed: of the noise.
    """
    image = np.empty(signal.shape, np.float32)
    received = signal * field
    rows, columns, slices = signal.shape
    window = gain = np.ones((columns, slices), np.float32)
    if phase_fraction is not None:
        window = _phase_encoding_window(columns, slices, phase_fraction)
        gain = window * np.outer(_inverse_voxel_response(columns), _inverse_voxel_response(slices))
        row_gain = _inverse_voxel_response(rows)[:, None]
        for index in range(slices):
            received[..., index] = _filter(received[..., index], row_gain, 0)
    k_space_sigma = np.float32(sigma / np.sqrt(np.mean(window**2)))
    for index in range(rows):
        plane = _filter(received[index], gain)
        if sigma:
            rng = np.random.default_rng([*seed, index])
            noise = rng.standard_normal((*plane.shape, 2), np.float32) * k_space_sigma
            plane = plane + _filter(noise.view(np.complex64)[..., 0], window)
        image[index] = np.abs(plane)
    return image


def _inverse_voxel_response(count: int) -> NDArray[np.float32]:
    """By frequency, what undoes the averaging over voxels: k-space is sampled without it."""
    return (1 / np.sinc(np.arange(count) / (2 * count))).astype(np.float32)


def _phase_encoding_window(columns: int, slices: int, fraction: float) -> NDArray[np.float32]:
    """The filter on the phase-encoded plane, 0 where nothing is acquired.

    3-D scans leave out the corners of that plane: an ellipse has as much resolution in 0.79 of the
    time (Bernstein et al. 2001, doi 10.1002/jmri.1183). Against ringing, a Fermi function falls to
    a half at 0.92 of its radius.
    """
    radius = np.hypot(
        *np.ix_(np.arange(columns) / (columns * fraction), np.arange(slices) / slices)
    )
    fermi = 1 / (1 + np.exp((np.minimum(radius, 1) - 0.92) / 0.03))
    return np.where(radius < 1, fermi, 0).astype(np.float32)


def _filter(
    image: NDArray[np.complex64], weights: NDArray, axes: int | None = None
) -> NDArray[np.complex64]:
    """Weights the frequencies of an image along all axes or one of them.

    The cosine transform continues the image by its mirror image, so that its edges do not wrap.
    """
    if (weights == 1).all():
        return image
    return fft.idctn(fft.dctn(image, axes=axes, norm="ortho") * weights, axes=axes, norm="ortho")
