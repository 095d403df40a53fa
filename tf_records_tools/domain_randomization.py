"""Many different scans of one isotropic volume: other slices, contrasts, resolutions and noise.

All properties of a knee scan except the anatomy are drawn at random: which axis counts slices, how
much coarser they are than the pixels, how bright each tissue is in each echo, where the slab ends
and what folds into it, the shading by the coils, the sampled k-space and its window, the noise and
its floor in each echo, and whether the scanner interpolated the pixels. The texture is that of the
volume.

The ranges are wider than those of knee scans. S1 of a knee's cartilage is about 0.3 of the
intensity scale, so that the noise is 0.2 to 10 % of it: a signal-to-noise ratio of 10 to 600.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.interpolate import PchipInterpolator

from mrsr_tf.errors import InputError
from mrsr_tf.mri.reception import (
    coil_shading,
    fold,
    magnitude,
    noise_of_coils,
    random_coils,
    slab_profile,
)
from mrsr_tf.volume import Volume, intensity_scale

CURVE_POINTS = 5  # of an intensity curve, including air
DARKEST_TISSUE = 0.1  # at a point of the curve, relative to the brightest
# The second echo of a DESS scan is dark but for liquids: its ratio to the first at a point of the
# curve, and how often it has a contrast of its own instead.
ECHO_RATIO, OWN_CONTRAST = (0.05, 0.5), 0.3
COIL_FIELD_MM = 150.0  # the volume is as large as a knee in its coil
LARGEST_ANISOTROPY = 1.5  # the longest edge of a voxel relative to the shortest
INTERPOLATION_PROBABILITY = 0.5
FLOOR_PROBABILITY = 0.5


@dataclass(frozen=True)
class Ranges:
    """Lowest and highest value of each random property.

    Pixels, thickness and noise are uniform in their logarithm, the others are uniform.

    Attributes:
        pixels: sampled rows and columns, relative to those of the volume.
        interpolated: rows and columns after the scanner's zero-filling, relative to those sampled.
        thickness: distance between slices, relative to that between the volume's voxels.
        window: share of a Hamming window on k-space.
        slab_edge: distance over which the slab's excitation falls, in parts of the slab.
        beyond: part of the volume beyond the slab at each end, which folds into it.
        noise: standard deviation in each channel of the receiver, in units of the intensity scale.
        noise_ratio: noise of the second echo over that of the first.
        floor: part of the noise's power that the scanner subtracts, where it does so.
    """

    pixels: tuple[float, float] = (0.8, 1.4)
    interpolated: tuple[float, float] = (1.0, 1.6)
    thickness: tuple[float, float] = (1.0, 3.0)
    window: tuple[float, float] = (0.0, 1.0)
    slab_edge: tuple[float, float] = (0.0, 0.15)
    beyond: tuple[float, float] = (0.0, 0.05)
    noise: tuple[float, float] = (0.0005, 0.03)
    noise_ratio: tuple[float, float] = (0.6, 1.0)
    floor: tuple[float, float] = (0.2, 1.0)


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
    fine = fine / np.float32(intensity_scale(fine))
    most = (fine.shape[2] - fewest_slices) // 2
    beyond = min(round(random.uniform(*ranges.beyond) * fine.shape[2]), most)
    shape = (*fine.shape[:2], fine.shape[2] - 2 * beyond)
    thickness = min(_draw_factor(random, ranges.thickness), shape[2] / fewest_slices)
    pixels = _draw_factor(random, ranges.pixels)
    sampled = _scaled(shape, (pixels, pixels, 1 / thickness))
    interpolates = random.random() < INTERPOLATION_PROBABILITY
    zoom = _draw_factor(random, ranges.interpolated) if interpolates else 1.0
    written = _scaled(sampled, (zoom, zoom, 1.0))
    slab = slab_profile(shape[2], beyond, random.uniform(*ranges.slab_edge) * shape[2])
    sensitivity = coil_shading(fine.shape, COIL_FIELD_MM / np.array(fine.shape), random) * slab
    noise = _draw_factor(random, ranges.noise)
    deviations = (noise, noise * random.uniform(*ranges.noise_ratio))
    window, coils = random.uniform(*ranges.window), random_coils(random)
    images = []
    for contrast, deviation in zip(_contrasts(fine, echoes, random), deviations, strict=False):
        image = resample(fold(contrast * sensitivity, beyond), sampled, window)
        subtracts = random.random() < FLOOR_PROBABILITY
        floor = random.uniform(*ranges.floor) if subtracts else 0.0
        images.append(_receive(image, deviation, written, random, coils, floor))
    spacing = float(volume.spacing_mm.mean()) * np.array(shape) / written
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


def _contrasts(
    fine: NDArray[np.float32], echoes: int, random: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """The volume in the contrast of each echo; the brightest tissue of the first is 1."""
    first = _intensity_curve(random.uniform(DARKEST_TISSUE, 1, CURVE_POINTS - 1))(fine)
    yield first
    if echoes == 2 and random.random() < OWN_CONTRAST:
        yield _intensity_curve(random.uniform(DARKEST_TISSUE, 1, CURVE_POINTS - 1))(fine)
    elif echoes == 2:
        low, high = np.log(ECHO_RATIO)
        ratio = np.exp(random.uniform(low, high, CURVE_POINTS))
        ratio[random.integers(CURVE_POINTS)] *= random.uniform(1, 2 / max(ECHO_RATIO))
        curve = PchipInterpolator(np.linspace(0, 1, CURVE_POINTS), np.minimum(ratio, 1))
        yield first * curve(np.clip(fine, 0, 1)).astype(np.float32)


def _intensity_curve(
    brightness: NDArray[np.float64],
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A smooth curve from old to new intensity of tissue; air stays dark."""
    points = np.linspace(0, 1, CURVE_POINTS)
    curve = PchipInterpolator(points, [0, *brightness / brightness.max()])
    return lambda image: curve(np.clip(image, 0, 1)).astype(np.float32)


def _receive(
    image: NDArray[np.float32],
    noise: float,
    shape: tuple[int, ...],
    random: np.random.Generator,
    coils: int,
    floor: float,
) -> NDArray[np.float32]:
    """The magnitude of the image with the noise of several coils, interpolated to `shape`."""
    received = noise_of_coils(coils, shape, image.shape, random)
    signal = resample(image, shape).astype(np.complex64)
    return magnitude(signal, *received, coils=coils, deviation=noise, floor=floor)
