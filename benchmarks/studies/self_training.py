"""Self-training: a two-dimensional network that learns from the rows and columns of a thick scan.

A scan of thick slices is fine within them. A slice resampled along its rows or columns to the
spacing of the fine slices shows what a plane across the slices should look like. Thickened along
that axis and interpolated again, it is an example of what a network has to undo. The network then
restores the planes across the slices, in both directions. The idea is that of SMORE (Zhao et al.
2021, doi 10.1109/TMI.2020.3037187); network and examples are simpler here.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.mri.slices import DEFAULT_FACTOR, interpolate, thicken
from mrsr_tf.network.precision import Precision
from mrsr_tf.volume import intensity_scale
from tf_records_tools.domain_randomization import resample

FACTOR = DEFAULT_FACTOR
COARSEST = 1.1  # a pixel that the network learns from, relative to the fine slices
PLANES = 8  # restored at a time

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """The network and its training.

    Attributes:
        filters: feature maps of each layer.
        layers: convolutions; the first and the last change between pixels and cells of 2 x 2.
        batch_size: patches in a step.
        patch: its rows and columns, an even number.
        learning_rate: of Adam at the first step; it falls to 0 as a cosine.
        precision: number format of the convolutions.
    """

    filters: int = 64
    layers: int = 7
    batch_size: int = 16
    patch: int = 64
    learning_rate: float = 1e-3
    precision: Precision = Precision.FLOAT32


class Example(NamedTuple):
    """Slices of one scan: float32 (slices, along, across, echoes), on the scale of the scan.

    Along `along`, `interpolated` was thickened and interpolated again; `truth` was not.
    """

    interpolated: Image
    truth: Image


def find_examples(thick: Image, spacing_mm: ArrayLike) -> list[Example]:
    """Examples of planes across the slices, made along the rows, the columns or both.

    Args:
        thick: (rows, cols, slices, echoes).
        spacing_mm: of its rows, columns and thick slices.

    Raises:
        InputError: neither rows nor columns are as fine as the slices that are wanted.
    """
    *in_plane_mm, thick_mm = np.asarray(spacing_mm, float)
    scaled = thick / np.float32(intensity_scale(interpolate(thick, FACTOR)))
    examples = []
    for axis, pixel_mm in enumerate(in_plane_mm):
        ratio = pixel_mm * FACTOR / thick_mm
        if ratio > COARSEST:
            continue
        pixels = scaled.shape[axis]
        shape = list(scaled.shape)
        shape[axis] = FACTOR * round(pixels * min(ratio, 1) / FACTOR)
        truth = resample(scaled, tuple(shape))
        coarse = interpolate(thicken(truth, FACTOR, axis), FACTOR, axis)
        order = (2, axis, 1 - axis, 3)
        examples.append(Example(coarse.transpose(order), truth.transpose(order)))
    if not examples:
        raise InputError(
            f"expected pixels of at most {COARSEST * thick_mm / FACTOR:.3g} mm to learn slices of "
            f"{thick_mm / FACTOR:.3g} mm from, got {in_plane_mm[0]:.3g} x {in_plane_mm[1]:.3g} mm"
        )
    return examples


class PlaneNetwork:
    """A residual network for planes (along slices, across them), which starts as interpolation."""

    def __init__(self, echoes: int, settings: Settings = Settings(), seed: int = 0) -> None:
        """Draws random weights."""
        keras.utils.set_random_seed(seed)
        policy = settings.precision.keras_policy
        planes = keras.Input((None, None, echoes))
        maps = keras.layers.Conv2D(
            settings.filters, 4, strides=2, padding="same", activation="relu", dtype=policy
        )(planes)
        for _ in range(settings.layers - 2):
            maps = keras.layers.Conv2D(
                settings.filters, 3, padding="same", activation="relu", dtype=policy
            )(maps)
        residual = keras.layers.Conv2DTranspose(
            echoes, 4, strides=2, padding="same", kernel_initializer="zeros", dtype=policy
        )(maps)
        self.model = keras.Model(planes, keras.layers.Add(dtype="float32")([planes, residual]))
        self.settings = settings
        self._random = np.random.default_rng(seed)

    def learn(
        self,
        examples: Sequence[Example],
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> int:
        """Trains for a time and returns the number of steps."""
        start, steps, passed = clock(), 0, 0.0
        self.model.compile(keras.optimizers.Adam(self.settings.learning_rate), loss="mse")
        while passed < 1:
            rate = self.settings.learning_rate * (1 + np.cos(np.pi * passed)) / 2
            self.model.optimizer.learning_rate.assign(rate)
            self.model.train_on_batch(*self._batch(examples))
            steps += 1
            passed = (clock() - start) / seconds
        return steps

    def super_resolve(self, thick: Image) -> Image:
        """(rows, cols, FACTOR * slices, echoes): the mean of the planes in both directions."""
        coarse = interpolate(thick, FACTOR)
        scale = np.float32(intensity_scale(coarse))
        coarse = coarse / scale
        results = [
            self._restore(coarse.transpose(order)).transpose(np.argsort(order))
            for order in ((0, 2, 1, 3), (1, 2, 0, 3))
        ]
        return np.mean(results, axis=0) * scale

    def _restore(self, planes: Image) -> Image:
        across = planes.shape[2]
        padded = np.pad(planes, ((0, 0), (0, 0), (0, across % 2), (0, 0)), mode="edge")
        return self.model.predict(padded, batch_size=PLANES, verbose=0)[:, :, :across]

    def _batch(self, examples: Sequence[Example]) -> tuple[Image, Image]:
        """Random patches; thick slices lie at their even positions along, as in whole planes."""
        sizes = np.array([example.truth.size for example in examples], float)
        smallest = min(min(example.truth.shape[1:3]) for example in examples)
        patch = min(self.settings.patch, smallest - smallest % 2)
        inputs, targets = [], []
        for index in self._random.choice(
            len(examples), self.settings.batch_size, p=sizes / sizes.sum()
        ):
            slices, along, across, _ = examples[index].truth.shape
            plane = self._random.integers(slices)
            top = FACTOR * self._random.integers((along - patch) // FACTOR + 1)
            left = self._random.integers(across - patch + 1)
            turn = -1 if self._random.random() < 0.5 else 1
            cut = np.s_[plane, top : top + patch, left : left + patch][:3]
            inputs.append(examples[index].interpolated[cut][:, ::turn])
            targets.append(examples[index].truth[cut][:, ::turn])
        return np.stack(inputs), np.stack(targets)
