"""What a scanner does to an image besides its sequence: slab, coils, k-space and noise.

Pure functions on arrays (rows, cols, slices), for phantoms and for the training data that are made
of other scans.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

Complex = NDArray[np.complexfloating]


def slab_profile(slices: int, beyond: int, edge: float) -> NDArray[np.float32]:
    """Excitation of a slab by position: 1 in its middle and a half at its two faces.

    The faces are those of the outer slices. A selective pulse of finite length cannot end sharply,
    so that outer slices are dark and spins beyond the slab are excited too.

    Args:
        slices: of the slab.
        beyond: number of further positions at each end.
        edge: distance over which the excitation falls from 0.88 to 0.12, in slices; 0 is sharp.

    Returns:
        (slices + 2 beyond,).
    """
    position = np.arange(-beyond, slices + beyond) + 0.5
    depth = np.minimum(position, slices - position)
    if not edge:
        return (depth > 0).astype(np.float32)
    return (0.5 * (1 + np.tanh(2 * depth / edge))).astype(np.float32)


def fold(image: NDArray[Any], beyond: int) -> NDArray[Any]:
    """What lies beyond the slab appears at its other end, as slices are phase-encoded.

    Args:
        image: real or complex (rows, cols, slices + 2 beyond).
        beyond: number of slices at each end that are not part of the result, at most all of it.

    Returns:
        (rows, cols, slices).
    """
    if not beyond:
        return image
    folded = image[:, :, beyond:-beyond].copy()
    folded[:, :, -beyond:] += image[:, :, :beyond]
    folded[:, :, :beyond] += image[:, :, -beyond:]
    return folded


def coil_shading(
    shape: tuple[int, ...],
    spacing_mm: ArrayLike,
    rng: np.random.Generator,
    *,
    elements: int = 8,
    distance_mm: tuple[float, float] = (75.0, 110.0),
) -> NDArray[np.float32]:
    """Sensitivity of a ring of coil elements about the field of view, with mean 1.

    Each element has the profile of a loop on its axis, (1 + (d / a)^2)^(-3/2), and the elements are
    combined by the root of their sum of squares. Over a leg that fills the field of view the
    sensitivity varies two- to fourfold and is higher near the skin.

    Args:
        shape: rows, columns and slices.
        spacing_mm: of them.
        rng: source of the elements' places.
        elements: number of them.
        distance_mm: range of an element's distance from the middle.
    """
    axes = [
        (np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(d)
        for n, d in zip(shape, np.asarray(spacing_mm), strict=True)
    ]
    rows, cols, slices = np.meshgrid(*axes, indexing="ij", sparse=True)
    angles = 2 * np.pi * (np.arange(elements) / elements + rng.uniform(0, 1))
    power = np.zeros(shape, np.float32)
    for angle in angles:
        away = rng.uniform(*distance_mm)
        place = rng.uniform(-45, 45), away * np.cos(angle), away * np.sin(angle)
        squared = (rows - place[0]) ** 2 + (cols - place[1]) ** 2 + (slices - place[2]) ** 2
        power += (1 + squared / np.float32(rng.uniform(40, 60)) ** 2) ** -3
    shading = np.sqrt(power)
    return shading / shading.mean(dtype=np.float64).astype(np.float32)


def phase_encoding_window(
    columns: int, slices: int, fraction: float, *, corners: bool, fermi: bool
) -> NDArray[np.float32]:
    """The weights of the phase-encoded plane of k-space, 0 where nothing is acquired.

    3-D scans may leave out the corners of that plane: an ellipse has as much resolution in 0.79 of
    the time (Bernstein et al. 2001, doi 10.1002/jmri.1183). Against ringing, a Fermi function falls
    to a half at 0.92 of its radius.

    Args:
        columns: of the image.
        slices: of the image.
        fraction: acquired part of the columns' frequencies; the rest is filled with zeros.
        corners: whether the plane is a rectangle.
        fermi: whether it is filtered.

    Returns:
        (columns, slices), by frequency from 0 up.
    """
    axes = np.ix_(np.arange(columns) / (columns * fraction), np.arange(slices) / slices)
    radius = np.maximum(*axes) if corners else np.hypot(*axes)
    weights = 1 / (1 + np.exp((np.minimum(radius, 1) - 0.92) / 0.03)) if fermi else 1.0
    return np.where(radius < 1, weights, 0).astype(np.float32)


def filter_frequencies(image: NDArray, weights: NDArray, axes: tuple[int, ...]) -> NDArray:
    """Weights the frequencies of an image along some axes.

    The cosine transform continues the image by its mirror image, so that its ends do not wrap.

    Args:
        image: real or complex.
        weights: by frequency from 0 up, of a shape that broadcasts.
        axes: that are transformed.
    """
    if (weights == 1).all():
        return image
    spectrum = fft.dctn(image, axes=axes, norm="ortho", workers=-1) * weights
    return fft.idctn(spectrum, axes=axes, norm="ortho", workers=-1)


def magnitude(
    image: Complex, noise: Complex, rng: np.random.Generator, *, coils: int, floor: float
) -> NDArray[np.float32]:
    """The magnitude of an image with noise, as combined from several coils.

    The root of the sum of squares of n coils has a non-central chi distribution of 2n degrees of
    freedom (Constantinides et al. 1997, doi 10.1002/mrm.1910380524). It depends on how much signal
    all coils have together, so one of them carries it here. With one coil it is Rician.

    Args:
        image: complex.
        noise: complex, of the same shape, whose standard deviation may differ between voxels.
        rng: source of the further coils' noise.
        coils: their number.
        floor: part of the mean of pure noise that the scanner subtracts; what falls below 0 is 0.
    """
    power = np.abs(image + noise) ** 2
    deviation = np.float32(np.sqrt(np.mean(np.abs(noise) ** 2) / 2))
    if coils > 1:
        power += deviation**2 * rng.chisquare(2 * coils - 2, image.shape).astype(np.float32)
    result = np.sqrt(power)
    if floor:
        mean = np.sqrt(2 * coils - 0.5)  # of a chi distribution of 2n degrees, to 1 % and better
        result = np.maximum(result - np.float32(floor * mean) * deviation, 0)
    return result
