"""What a scanner does to an image besides its sequence: slab, coils, k-space and noise.

Pure functions on arrays (rows, cols, slices), for phantoms and for the training data that are made
of other scans.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from mrsr_tf.errors import InputError

Complex = NDArray[np.complexfloating]

DRAWN_COILS = 4  # see `noise_of_coils`
# Numbers of coils that are combined, and how often: most knee coils have 8 to 18 channels.
COILS = {1: 0.1, 2: 0.1, 4: 0.1, 8: 0.3, 16: 0.4}


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
    angles = 2 * np.pi * (np.arange(elements) / elements + rng.uniform(0, 1))
    along = []  # of each element, the squares of the distances in units of its radius
    for angle in angles:
        away = rng.uniform(*distance_mm)
        place = rng.uniform(-45, 45), away * np.cos(angle), away * np.sin(angle)
        radius = rng.uniform(40, 60)
        along.append([((x - p) / radius) ** 2 for x, p in zip(axes, place, strict=True)])
    rows, columns, slices = (np.stack(squares) for squares in zip(*along, strict=True))
    beside = 1 + columns[:, :, None] + slices[:, None]
    shading = np.empty(shape, np.float32)
    for row, squared in enumerate(rows.T):  # a row's planes of all elements fit in the cache
        profile = 1 / (beside + squared[:, None, None])
        shading[row] = np.sqrt((profile * profile * profile).sum(axis=0))
    shading /= shading.mean(dtype=np.float64).astype(np.float32)
    return shading


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
    spectrum = fft.dctn(image, axes=axes, norm="ortho", workers=-1)
    spectrum *= weights
    return fft.idctn(spectrum, axes=axes, norm="ortho", workers=-1, overwrite_x=True)


def acquired_noise(
    shape: tuple[int, ...],
    acquired: tuple[int, ...],
    rng: np.random.Generator,
    weights: NDArray[np.float32] | None = None,
) -> NDArray[np.complex64]:
    """Noise of one coil: white at the acquired frequencies, and none at those filled with zeros.

    Args:
        shape: rows, columns and slices of the image.
        acquired: number of frequencies along each axis, from 0 up, at most `shape`.
        rng: source of the noise.
        weights: of the filter of k-space, (1 or `acquired` of each axis); 1 by default.

    Returns:
        `shape`, with a standard deviation of 1 in the real and in the imaginary part, also at the
        ends.
    """
    weights = np.ones((1, 1, 1), np.float32) if weights is None else weights
    filtered = [a for a in range(3) if weights.shape[a] > 1 or acquired[a] < shape[a]]
    places, kept = [], []  # along each axis: of the frequencies in the spectrum, and in the weights
    for axis, (n, count) in enumerate(zip(shape, acquired, strict=True)):
        # Those of a mirrored image, which the weights are of, are half as far apart.
        number = np.minimum(2 * np.abs(np.fft.fftfreq(n, 1 / n)).astype(int), n - 1)
        place = np.flatnonzero(number < count)
        places.append(place)
        kept.append(number[place] if weights.shape[axis] > 1 else [0])
    weights = weights[np.ix_(*kept)]
    sizes = [len(place) for place in places]
    noise = rng.standard_normal((*sizes, 2), np.float32).view(np.complex64)[..., 0]
    if not filtered:
        return noise
    part = np.prod(sizes) / np.prod(shape) * np.mean(np.square(weights, dtype=np.float64))
    noise *= weights * np.float32(1 / np.sqrt(part))
    spectrum = np.zeros(shape, np.complex64)
    spectrum[np.ix_(*places)] = noise
    return fft.ifftn(spectrum, axes=filtered, norm="ortho", workers=-1, overwrite_x=True)


def random_coils(rng: np.random.Generator) -> int:
    """A number of coils, by the shares of `COILS`."""
    return int(rng.choice(list(COILS), p=list(COILS.values())))


def noise_of_coils(
    coils: int,
    shape: tuple[int, ...],
    acquired: tuple[int, ...],
    rng: np.random.Generator,
    weights: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """The noise of one coil and the summed power of that of all others.

    At most four coils are drawn, since that takes about a second for each. The noise of every
    further four is theirs moved along the rows by a part of the image, which is as good: it is
    independent in each voxel and its neighbours.

    Args:
        coils: 1 to 4, or a multiple of 4.
        shape: see `acquired_noise`, as `acquired`, `rng` and `weights`.
        acquired: number of frequencies along each axis.
        rng: source of the noise.
        weights: of the filter of k-space.

    Raises:
        InputError: another number of coils.
    """
    if coils < 1 or (coils > DRAWN_COILS and coils % DRAWN_COILS):
        raise InputError(f"expected 1 to 4 coils or a multiple of 4, got {coils}")
    first = acquired_noise(shape, acquired, rng, weights)
    others = np.zeros(shape, np.float32)
    for _ in range(1, min(coils, DRAWN_COILS)):
        others += _power(acquired_noise(shape, acquired, rng, weights))
    drawn = others + _power(first)
    moves = coils // DRAWN_COILS
    for move in range(1, moves):
        others += np.roll(drawn, move * shape[0] // moves, axis=0)
    return first, others


def magnitude(
    image: Complex,
    noise: Complex | complex,
    others: ArrayLike,
    *,
    coils: int,
    deviation: ArrayLike,
    floor: float,
) -> NDArray[np.float32]:
    """The magnitude of an image with noise, as combined from several coils.

    The root of the sum of squares of n coils has a non-central chi distribution of 2n degrees of
    freedom (Constantinides et al. 1997, doi 10.1002/mrm.1910380524). It depends on how much signal
    all coils have together, so the first one carries it here. With one coil it is Rician.

    Args:
        image: complex.
        noise: of the first coil, with a deviation of 1 in the real and in the imaginary part.
        others: the summed power of that of the other coils.
        coils: their number.
        deviation: by which noise is multiplied, a number or a map that broadcasts.
        floor: part of the mean power of pure noise that the scanner subtracts from that of the
            image; what falls below 0 is 0. All of it leaves signal, and so T2, unbiased (McGibney
            and Smith 1993, doi 10.1118/1.597004).
    """
    deviation = np.asarray(deviation, image.real.dtype)
    power = _power(image + deviation * noise)
    power += np.square(deviation) * others
    if floor:
        power -= np.asarray(floor * 2 * coils, power.dtype) * np.square(deviation)
        np.maximum(power, 0, out=power)
    return np.sqrt(power, out=power)


def _power(image: Complex) -> NDArray[np.floating]:
    power = np.square(image.real)
    power += np.square(image.imag)
    return power
