"""From the signals of a knee to the magnitude images of a scanner."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from mrsr_tf.mri.reception import (
    coil_shading,
    filter_frequencies,
    fold,
    magnitude,
    noise_of_coils,
    phase_encoding_window,
    slab_profile,
)
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS
from phantom.scanner.imperfections import Imperfections
from phantom.scanner.partial_volume import NoiseFreeScan

LOW_PER_MM = 0.25  # highest frequency that shapes of 2 mm, such as cartilage, depend on
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
    phases = [slope * axis for slope, axis in zip(rng.normal(0, 0.6, 3), axes, strict=True)]
    for axis in (ROWS, COLUMNS):
        phases[axis] += 0.4 * axes[axis] ** 2
    turns = [np.exp(1j * phase).astype(np.complex64) for phase in phases]
    field = coil_shading(shape, spacing_mm, rng) * turns[ROWS][:, None, None]
    field *= np.outer(*turns[COLUMNS:])
    return field


def cartilage_signal(scan: NoiseFreeScan, field: Signal) -> float:
    """Mean received S1 of all cartilage; without cartilage, of the brightest percent."""
    cartilage = scan.label >= FIRST_CARTILAGE
    if cartilage.any():
        return float(np.abs(scan.signal[cartilage, 0] * field[cartilage]).mean())
    return float(np.percentile(np.abs(scan.signal[..., 0] * field), 99))


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
    signal = scan.signal[..., echo] * field
    padding = _padding(scan, spacing_mm)
    signal[padding] += field[padding] * (imperfections.padding * cartilage_signal(scan, field))
    signal *= slab_profile(slices, beyond, imperfections.slab_edge * slices)
    _add_ghosts(signal, scan.label == LABELS["artery"], imperfections)
    image = _moved(fold(signal, beyond), float(np.asarray(spacing_mm)[COLUMNS]), imperfections)
    return _sampled(image, imperfections)


def _padding(scan: NoiseFreeScan, spacing_mm: ArrayLike) -> NDArray[np.bool_]:
    """The padding, a flat sheet behind the hindmost point of the leg in each slice."""
    leg = scan.label != LABELS["air"]
    columns = leg.shape[COLUMNS]
    last = columns - 1 - np.argmax(leg[:, ::-1].any(axis=ROWS), axis=0)  # of each slice
    behind = np.where(leg.any(axis=(ROWS, COLUMNS)), last, columns)
    near, far = np.round(np.array(PADDING_MM) / np.asarray(spacing_mm)[COLUMNS])
    distance = np.arange(columns)[:, None] - behind
    return (distance >= near) & (distance < far) & ~leg


def _add_ghosts(image: Signal, artery: NDArray[np.bool_], imperfections: Imperfections) -> None:
    """Adds the pulsating artery at both of its sides along the phase direction."""
    columns = image.shape[COLUMNS]
    shift = round(imperfections.ghost_shift * columns)
    row, column, index = np.nonzero(artery)
    ghost = image[artery] * np.float32(imperfections.ghost)
    for place in (column + shift, column - shift):
        image[row, place % columns, index] += ghost


def _moved(image: Signal, column_mm: float, imperfections: Imperfections) -> Signal:
    """Parts of k-space are acquired while the leg lies elsewhere along the phase direction.

    Places are relative to the mean of those at which low frequencies are acquired, so that the
    image is blurred and has ghosts, but its shapes lie where the truth has them.
    """
    if not imperfections.motion:
        return image
    frequency = np.fft.fftfreq(image.shape[COLUMNS], column_mm)
    order = np.argsort(np.argsort(frequency)) / len(frequency)  # lines are acquired in this order
    starts, places = zip((0.0, 0.0), *imperfections.motion, strict=True)
    place_mm = np.array(places)[np.searchsorted(starts, order, side="right") - 1]
    place_mm -= place_mm[np.abs(frequency) <= LOW_PER_MM].mean()
    ramp = np.exp(-2j * np.pi * frequency * place_mm).astype(np.complex64)
    spectrum = fft.fft(image, axis=COLUMNS, workers=-1)
    spectrum *= ramp[:, None]
    return fft.ifft(spectrum, axis=COLUMNS, workers=-1)


def _sampled(image: Signal, imperfections: Imperfections) -> Signal:
    """The image of the acquired frequencies; zeros fill the others.

    K-space is sampled without the low-pass filter of averaging over voxels, which is undone.
    """
    (readout, lines, _), window = _acquired(image.shape, imperfections)
    along_rows, along_columns, along_slices = map(_response, image.shape)
    along_rows[readout:] = 0
    plane = np.outer(along_columns, along_slices)
    plane[:lines] *= window[0]
    plane[lines:] = 0
    image = filter_frequencies(image, along_rows[:, None, None], (ROWS,))
    return filter_frequencies(image, plane, (COLUMNS, SLICES))


def _response(count: int) -> NDArray[np.float32]:
    """By frequency, what undoes the averaging over voxels."""
    return (1 / np.sinc(np.arange(count) / (2 * count))).astype(np.float32)


def _acquired(
    shape: tuple[int, ...], imperfections: Imperfections
) -> tuple[tuple[int, int, int], NDArray[np.float32]]:
    """How many frequencies are acquired along each axis, and their (1, lines, slices) weights."""
    rows, columns, slices = shape
    window = phase_encoding_window(
        columns, slices, imperfections.phase_fraction,
        corners=imperfections.corners, fermi=imperfections.fermi,
    )  # fmt: skip
    lines = int(np.count_nonzero(window.any(axis=1)))
    return (math.ceil(imperfections.readout_fraction * rows), lines, slices), window[None, :lines]


def acquire(
    image: Signal, sigma: float, echo: int, imperfections: Imperfections, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The magnitude of an image with the noise of all coils.

    The noise of each coil passes k-space as the image does, and has the same g-factor.

    Args:
        image: complex (rows, cols, slices), without noise.
        sigma: standard deviation of the noise of S1 in the real and in the imaginary part, where
            the g-factor is 1.
        echo: 0 or 1.
        imperfections: of the scanner.
        rng: source of the noise.
    """
    columns = image.shape[COLUMNS]
    acquired, window = _acquired(image.shape, imperfections)
    middle = np.sin(np.pi * (np.arange(columns) + 0.5) / columns) ** 2
    g_factor = 1 + (imperfections.g_factor - 1) * middle[:, None]
    deviation = np.float32(sigma * (imperfections.noise_ratio if echo else 1.0) * g_factor)
    coils, floor = imperfections.coils, imperfections.floor[echo]
    noise = noise_of_coils(coils, image.shape, acquired, rng, window) if sigma else (0.0, 0.0)
    return magnitude(image, *noise, coils=coils, deviation=deviation, floor=floor)
