"""From the signals of a knee to the magnitude images of a scanner."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsr_tf.mri.reception import (
    coil_shading,
    filter_frequencies,
    fold,
    magnitude,
    phase_encoding_window,
    slab_profile,
)
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS
from phantom.scanner.imperfections import Imperfections
from phantom.scanner.partial_volume import NoiseFreeScan

PADDING_MM = 3.0, 6.0  # nearest and farthest part of what lies behind the leg in the coil
Signal = NDArray[np.complex64]
ROWS, COLUMNS, SLICES = range(3)


def receive_field(
    shape: tuple[int, ...], spacing_mm: ArrayLike, rng: np.random.Generator
) -> Signal:
    """A random sensitivity of a knee coil, with mean 1, and its smooth phase."""
    axes = [
        (np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(d / 80)
        for n, d in zip(shape, np.asarray(spacing_mm), strict=True)
    ]
    r, c, s = np.meshgrid(*axes, indexing="ij", sparse=True)
    slopes = rng.normal(0, 0.6, 3).tolist()
    phase = slopes[0] * r + slopes[1] * c + slopes[2] * s + 0.4 * (r * r + c * c)
    return coil_shading(shape, spacing_mm, rng) * np.exp(1j * phase).astype(np.complex64)


def cartilage_signal(scan: NoiseFreeScan, field: Signal) -> float:
    """Mean received S1 of all cartilage; without cartilage, of the brightest percent."""
    s1 = np.abs(scan.signal[..., 0] * field)
    cartilage = scan.label >= FIRST_CARTILAGE
    return float(s1[cartilage].mean() if cartilage.any() else np.percentile(s1, 99))


def received(
    scan: NoiseFreeScan,
    echo: int,
    field: Signal,
    beyond: int,
    spacing_mm: ArrayLike,
    imperfections: Imperfections,
) -> Signal:
    """The image of one echo as it would be without noise.

    Args:
        scan: of `beyond` slices more at each end than the image.
        echo: 0 or 1.
        field: receive sensitivity at the voxels of the scan.
        beyond: number of slices.
        spacing_mm: of rows, columns and slices.
        imperfections: of the scanner.

    Returns:
        (rows, cols, slices).
    """
    slices = scan.label.shape[2] - 2 * beyond
    cartilage = cartilage_signal(scan, field)
    signal = scan.signal[..., echo] + imperfections.padding * cartilage * _padding(scan, spacing_mm)
    signal = signal * field * slab_profile(slices, beyond, imperfections.slab_edge * slices)
    signal += _ghosts(np.where(scan.label == LABELS["artery"], signal, 0), imperfections)
    image = _moved(fold(signal, beyond), float(np.asarray(spacing_mm)[COLUMNS]), imperfections)
    rows, columns, slices = image.shape
    image = filter_frequencies(image, _response(rows)[:, None, None], (ROWS,))
    return filter_frequencies(image, np.outer(_response(columns), _response(slices)), (1, 2))


def _padding(scan: NoiseFreeScan, spacing_mm: ArrayLike) -> NDArray[np.float32]:
    """1 in the padding, a flat sheet behind the hindmost point of the leg in each slice."""
    leg = scan.label != LABELS["air"]
    columns = leg.shape[COLUMNS]
    last = columns - 1 - np.argmax(leg[:, ::-1].any(axis=ROWS), axis=0)  # of each slice
    behind = np.where(leg.any(axis=(ROWS, COLUMNS)), last, columns)
    near, far = np.round(np.array(PADDING_MM) / np.asarray(spacing_mm)[COLUMNS])
    distance = np.arange(columns)[:, None] - behind
    return ((distance >= near) & (distance < far) & ~leg).astype(np.float32)


def _ghosts(artery: Signal, imperfections: Imperfections) -> Signal:
    """The pulsating artery at both sides along the phase direction."""
    shift = round(imperfections.ghost_shift * artery.shape[COLUMNS])
    both = np.roll(artery, shift, axis=COLUMNS) + np.roll(artery, -shift, axis=COLUMNS)
    return np.complex64(imperfections.ghost) * both


def _moved(image: Signal, column_mm: float, imperfections: Imperfections) -> Signal:
    """Parts of k-space are acquired while the leg lies elsewhere along the phase direction."""
    if not imperfections.motion:
        return image
    frequency = np.fft.fftfreq(image.shape[COLUMNS], column_mm)
    order = np.argsort(np.argsort(frequency)) / len(frequency)  # lines are acquired in this order
    starts, places = zip((0.0, 0.0), *imperfections.motion, strict=True)
    place_mm = np.array(places)[np.searchsorted(starts, order, side="right") - 1]
    ramp = np.exp(-2j * np.pi * frequency * place_mm).astype(np.complex64)
    return np.fft.ifft(np.fft.fft(image, axis=COLUMNS) * ramp[:, None], axis=COLUMNS).astype(
        np.complex64
    )


def acquire(
    image: Signal, sigma: float, echo: int, imperfections: Imperfections, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The magnitude of an image whose k-space is acquired in part, with noise.

    Args:
        image: complex (rows, cols, slices), without noise.
        sigma: standard deviation of the noise of S1 in the real and in the imaginary part, where
            the g-factor is 1.
        echo: 0 or 1.
        imperfections: of the scanner.
        rng: source of the noise.
    """
    columns = image.shape[COLUMNS]
    image = _acquired_part(image, imperfections)
    noise = np.zeros((), np.complex64)
    if sigma:
        sigma = sigma * (imperfections.noise_ratio if echo else 1.0)
        white = rng.standard_normal((*image.shape, 2), np.float32).view(np.complex64)[..., 0]
        white = _acquired_part(white, imperfections)
        middle = np.sin(np.pi * (np.arange(columns) + 0.5) / columns) ** 2
        g_factor = 1 + (imperfections.g_factor - 1) * middle[:, None]
        deviation = np.sqrt(np.mean(np.abs(white) ** 2) / 2)
        noise = white * (np.float32(sigma / deviation) * g_factor.astype(np.float32))
    return magnitude(image, noise, rng, coils=imperfections.coils, floor=imperfections.floor[echo])


def _acquired_part(image: Signal, imperfections: Imperfections) -> Signal:
    """The image of the acquired frequencies; zeros fill the others."""
    rows, columns, slices = image.shape
    readout = np.arange(rows) < imperfections.readout_fraction * rows
    window = phase_encoding_window(
        columns, slices, imperfections.phase_fraction,
        corners=imperfections.corners, fermi=imperfections.fermi,
    )  # fmt: skip
    image = filter_frequencies(image, readout.astype(np.float32)[:, None, None], (ROWS,))
    return filter_frequencies(image, window, (COLUMNS, SLICES))


def _response(count: int) -> NDArray[np.float32]:
    """By frequency, what undoes the averaging over voxels: k-space is sampled without it."""
    return (1 / np.sinc(np.arange(count) / (2 * count))).astype(np.float32)
