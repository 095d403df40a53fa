"""Many different scans of one isotropic volume: other slices, contrasts, resolutions and noise.

All properties of a knee scan except the anatomy are drawn at random: which axis counts slices, how
much coarser they are than the pixels, how bright each tissue is in each echo, the shading by the
coils, the sampled k-space and its window, the noise, and whether the scanner interpolated the
pixels. The texture is that of the volume.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.interpolate import PchipInterpolator

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume, intensity_scale

CURVE_POINTS = 5  # of an intensity curve, including air
DARKEST_TISSUE = 0.1  # at a point of the curve, relative to the brightest
SHADING = 0.3
LARGEST_ANISOTROPY = 1.5  # the longest edge of a voxel relative to the shortest
INTERPOLATION_PROBABILITY = 0.5


@dataclass(frozen=True)
class Ranges:
    """Lowest and highest value of each random property.

    `window` is uniform, the others are uniform in their logarithm.

    Attributes:
        pixels: sampled rows and columns, relative to those of the volume.
        interpolated: rows and columns after the scanner's zero-filling, relative to those sampled.
        thickness: distance between slices, relative to that between the volume's voxels.
        window: share of a Hamming window on k-space.
        noise: standard deviation in each channel of the receiver, in units of the intensity scale.
    """

    pixels: tuple[float, float] = (0.8, 1.4)
    interpolated: tuple[float, float] = (1.0, 1.6)
    thickness: tuple[float, float] = (1.0, 3.0)
    window: tuple[float, float] = (0.0, 1.0)
    noise: tuple[float, float] = (0.002, 0.015)


def randomize_scan(
    volume: Volume,
    echoes: int,
    random: np.random.Generator,
    *,
    fewest_slices: int,
    ranges: Ranges = Ranges(),
) -> Volume:
    """Simulates a scan of the volume's anatomy by another scanner.

    Args:
        volume: isotropic, one echo; any of its axes may become the slice axis.
        echoes: 1 or 2, each with its own contrast and noise.
        random: generator of all random properties.
        fewest_slices: the slice thickness is limited so that at least so many slices remain.
        ranges: of the random properties.

    Raises:
        InputError: the volume has more than one echo, is not isotropic, or has fewer voxels than
            `fewest_slices` along all axes.
    """
    _check(volume, fewest_slices)
    axes = [axis for axis in range(3) if volume.array.shape[axis] >= fewest_slices]
    fine = np.moveaxis(volume.array[..., 0], random.choice(axes), 2)
    thickness = min(_draw_factor(random, ranges.thickness), fine.shape[2] / fewest_slices)
    pixels = _draw_factor(random, ranges.pixels)
    sampled = _scaled(fine.shape, (pixels, pixels, 1 / thickness))
    interpolates = random.random() < INTERPOLATION_PROBABILITY
    zoom = _draw_factor(random, ranges.interpolated) if interpolates else 1.0
    written = _scaled(sampled, (zoom, zoom, 1.0))
    window, noise = random.uniform(*ranges.window), _draw_factor(random, ranges.noise)
    shading = _coil_shading(fine.shape, random)
    fine = fine / np.float32(intensity_scale(fine))
    images = []
    for _ in range(echoes):
        image = resample(_intensity_curve(random)(fine) * shading, sampled, window)
        images.append(_receive(image, noise, written, random))
    spacing = float(volume.spacing_mm.mean()) * np.array(fine.shape) / written
    return Volume(np.stack(images, axis=-1), np.diag([*spacing, 1.0]))


def resample(
    image: NDArray[np.floating], shape: tuple[int, ...], window: float = 0.0
) -> NDArray[np.float32]:
    """Resamples an image in the same field of view: crops its spectrum or fills it with zeros.

    The spectrum is that of the image mirrored at its ends (a DCT), so one end does not ring into
    the other.

    Args:
        image: any shape.
        shape: of the result, as many axes.
        window: share of a Hamming window on the remaining spectrum, 0 to 1.
    """
    for axis, count in enumerate(shape):
        length = image.shape[axis]
        if length == count and not window:
            continue
        spectrum = fft.dct(image, axis=axis, norm="ortho", workers=-1)
        spectrum = np.moveaxis(spectrum, axis, -1)[..., :count]
        low = spectrum.shape[-1]
        hamming = 0.54 + 0.46 * np.cos(np.pi * np.arange(low) / low)
        spectrum = spectrum * (1 - window + window * hamming).astype(np.float32)
        spectrum = np.moveaxis(spectrum, -1, axis) * np.float32(np.sqrt(count / length))
        image = fft.idct(spectrum, n=count, axis=axis, norm="ortho", workers=-1)
    return image.astype(np.float32, copy=False)


def _check(volume: Volume, fewest_slices: int) -> None:
    spacing, shape = volume.spacing_mm, volume.array.shape[:3]
    if volume.echoes != 1 or spacing.max() > LARGEST_ANISOTROPY * spacing.min():
        raise InputError(
            f"expected one echo of voxels alike along all axes, got {volume.echoes} of "
            f"{spacing.round(3).tolist()} mm"
        )
    if max(shape) < fewest_slices:
        raise InputError(f"expected {fewest_slices} voxels along some axis, got {shape}")


def _draw_factor(random: np.random.Generator, extremes: tuple[float, float]) -> float:
    return float(np.exp(random.uniform(*np.log(extremes))))


def _scaled(shape: tuple[int, ...], factors: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(round(count * factor) for count, factor in zip(shape, factors, strict=True))


def _intensity_curve(
    random: np.random.Generator,
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A smooth curve from old to new intensity: random for tissue, and air stays dark."""
    brightness = random.uniform(DARKEST_TISSUE, 1, CURVE_POINTS - 1)
    points = np.linspace(0, 1, CURVE_POINTS)
    curve = PchipInterpolator(points, [0, *brightness / brightness.max()])
    return lambda image: curve(np.clip(image, 0, 1)).astype(np.float32)


def _coil_shading(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    """A smooth field around 1: half a period of a cosine along each axis."""
    shading = np.ones(shape, np.float32)
    for axis, count in enumerate(shape):
        phase = np.pi * (np.arange(count) / count + random.random())
        along = 1 + random.uniform(0, SHADING) * np.cos(phase)
        shading *= np.expand_dims(along, [a for a in range(3) if a != axis]).astype(np.float32)
    return shading


def _receive(
    image: NDArray[np.float32],
    noise: float,
    shape: tuple[int, ...],
    random: np.random.Generator,
) -> NDArray[np.float32]:
    """The magnitude of the image with noise in both channels, interpolated to `shape`."""
    channels = (
        resample(part + noise * random.standard_normal(image.shape, np.float32), shape)
        for part in (image, np.float32(0))
    )
    return np.hypot(*channels)
