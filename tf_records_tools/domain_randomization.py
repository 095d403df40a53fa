"""One isotropic volume, many scans: other slices, contrasts, resolutions and noise, all by chance.

What a knee scan is on top of its anatomy is drawn at random around it: which axis counts slices,
how much coarser than the pixels they are, how bright each tissue is in each echo, how the coils
shade it, what k-space was sampled and how it was windowed, how noisy it is, and whether the
scanner interpolated the pixels. Real texture stays real.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.interpolate import PchipInterpolator

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume, intensity_scale

KNOTS = 5  # of an intensity curve, air included
DIMMEST = 0.1  # tissue at a knot, of the brightest
SHADING = 0.3
ISOTROPY = 1.5  # the longest edge of a voxel by the shortest
INTERPOLATES = 0.5  # of all scanners


@dataclass(frozen=True)
class Ranges:
    """What is drawn evenly, from the lowest to the highest; what multiplies, in its logarithm.

    Attributes:
        pixels: sampled rows and columns by those of the volume.
        interpolated: rows and columns written by those sampled, as a scanner's zero-filling.
        thickness: distance of slices by that of the volume's voxels.
        window: how much of a Hamming window is on k-space.
        noise: of each channel of the receiver, by the intensity scale.
    """

    pixels: tuple[float, float] = (0.8, 1.4)
    interpolated: tuple[float, float] = (1.0, 1.6)
    thickness: tuple[float, float] = (1.0, 3.0)
    window: tuple[float, float] = (0.0, 1.0)
    noise: tuple[float, float] = (0.002, 0.015)


def varied(
    volume: Volume,
    echoes: int,
    chance: np.random.Generator,
    *,
    fewest_slices: int,
    ranges: Ranges = Ranges(),
) -> Volume:
    """A scan that another scanner might have made of the same anatomy.

    Args:
        volume: of voxels alike along all axes, one echo; all of its axes may become slices.
        echoes: 1 or 2, each with a contrast and noise of its own.
        chance: what decides.
        fewest_slices: slices are made thick only as far as so many are left.
        ranges: of what is drawn.

    Raises:
        InputError: more than one echo, voxels longer than wide, or fewer slices along all axes.
    """
    _check(volume, fewest_slices)
    axes = [axis for axis in range(3) if volume.array.shape[axis] >= fewest_slices]
    fine = np.moveaxis(volume.array[..., 0], chance.choice(axes), 2)
    draw = _Draw(chance, ranges)
    thickness = min(draw.factor("thickness"), fine.shape[2] / fewest_slices)
    pixels = draw.factor("pixels")
    sampled = _counts(fine.shape, (pixels, pixels, 1 / thickness))
    zoom = draw.factor("interpolated") if chance.random() < INTERPOLATES else 1.0
    written = _counts(sampled, (zoom, zoom, 1.0))
    window, noise = chance.uniform(*ranges.window), draw.factor("noise")
    shading = _shading(fine.shape, chance)
    fine = fine / np.float32(intensity_scale(fine))
    images = []
    for _ in range(echoes):
        image = resampled(_curve(chance)(fine) * shading, sampled, window)
        images.append(_received(image, noise, written, chance))
    edge = float(volume.spacing_mm.mean())
    spacing = edge * np.array(fine.shape) / written
    return Volume(np.stack(images, axis=-1), np.diag([*spacing, 1.0]))


def resampled(
    image: NDArray[np.floating], shape: tuple[int, ...], window: float = 0.0
) -> NDArray[np.float32]:
    """The same field of view in other counts of voxels: its spectrum cropped or filled with zeros.

    The spectrum is that of the image mirrored at its ends (a DCT), so one end does not ring into
    the other.

    Args:
        image: any shape.
        shape: of the result, as many axes.
        window: how much of a Hamming window is on what is left of the spectrum.
    """
    for axis, count in enumerate(shape):
        there = image.shape[axis]
        if there == count and not window:
            continue
        spectrum = fft.dct(image, axis=axis, norm="ortho", workers=-1)
        kept = np.moveaxis(spectrum, axis, -1)[..., :count]
        hamming = 0.54 + 0.46 * np.cos(np.pi * np.arange(kept.shape[-1]) / kept.shape[-1])
        kept = kept * (1 - window + window * hamming).astype(np.float32)
        kept = np.moveaxis(kept, -1, axis) * np.float32(np.sqrt(count / there))
        image = fft.idct(kept, n=count, axis=axis, norm="ortho", workers=-1)
    return image.astype(np.float32, copy=False)


@dataclass(frozen=True)
class _Draw:
    chance: np.random.Generator
    ranges: Ranges

    def factor(self, name: str) -> float:
        return float(np.exp(self.chance.uniform(*np.log(getattr(self.ranges, name)))))


def _check(volume: Volume, fewest_slices: int) -> None:
    spacing, shape = volume.spacing_mm, volume.array.shape[:3]
    if volume.echoes != 1 or spacing.max() > ISOTROPY * spacing.min():
        raise InputError(
            f"expected one echo of voxels alike along all axes, got {volume.echoes} of "
            f"{spacing.round(3).tolist()} mm"
        )
    if max(shape) < fewest_slices:
        raise InputError(f"expected {fewest_slices} voxels along some axis, got {shape}")


def _counts(shape: tuple[int, ...], factors: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(round(count * factor) for count, factor in zip(shape, factors, strict=True))


def _curve(chance: np.random.Generator) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Air stays dark; which tissue is how bright is chance, and nothing in between jumps."""
    brightness = chance.uniform(DIMMEST, 1, KNOTS - 1)
    curve = PchipInterpolator(np.linspace(0, 1, KNOTS), [0, *brightness / brightness.max()])
    return lambda image: curve(np.clip(image, 0, 1)).astype(np.float32)


def _shading(shape: tuple[int, ...], chance: np.random.Generator) -> NDArray[np.float32]:
    """Smooth, about 1: half a period of a cosine along each axis."""
    shading = np.ones(shape, np.float32)
    for axis, count in enumerate(shape):
        phase = np.pi * (np.arange(count) / count + chance.random())
        along = 1 + chance.uniform(0, SHADING) * np.cos(phase)
        shading *= np.expand_dims(along, [a for a in range(3) if a != axis]).astype(np.float32)
    return shading


def _received(
    image: NDArray[np.float32],
    noise: float,
    written: tuple[int, ...],
    chance: np.random.Generator,
) -> NDArray[np.float32]:
    """The magnitude of the image with noise in both channels, interpolated to what is written."""
    channels = (
        resampled(part + noise * chance.standard_normal(image.shape, np.float32), written)
        for part in (image, np.float32(0))
    )
    return np.hypot(*channels)
