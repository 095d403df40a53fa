"""From a thick scan to a fine one in TensorFlow, in bounded memory.

What training did to its data (interpolate along slices, divide by one intensity scale), the
network's convolutions, the residual sum and the scale back, as one piece of code: `mrsr_tf.infer`
runs it as it stands, the SavedModel holds it as a graph, so both give the same voxels.

The convolutions run over slabs of planes along the longest axis. Each layer keeps the last two
planes it was given, which is all a 3x3x3 kernel needs of the slab before:

    given to layer 1    |0 1 2 3 4|5 6 7|8 9|
    given to layer 2    |0 1 2 3|4 5 6|7 8 9|     one plane behind
    given to layer 3    |0 1 2|3 4 5|6 7 8 9|     two planes behind; all catch up in the end

so every voxel of every layer is computed once and the result is that of the whole volume at once.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.mri.slices import cubic_weights
from mrsr_tf.network.architecture import UNFOLDED, Fold, FoldVoxels, UnfoldVoxels
from mrsr_tf.network.precision import Precision
from mrsr_tf.volume import SCALE_PERCENTILE

# One layer's activations in one slab.
SLAB_BYTES = 192 * 2**20
# So many layers catch up with the end of a scan in one go, each by one plane more than the last.
LAYERS_AT_ONCE = 5


class SuperResolver(tf.Module):
    """The whole way from raw thick slices to super-resolved ones.

    Attributes:
        kernels: one (3, 3, 3, maps in, maps out) per convolution.
        biases: one (maps out,) per convolution.
        slice_factor: fine slices per thick one.
        fold: rows, columns and slices of voxels in one cell of the convolutions' grid.
        first_slice: where thick slice 0 sits, in fine slices from the result's slice 0; see
            `mrsr_tf.mri.slices.first_slice`.
    """

    def __init__(
        self,
        weights: Sequence[NDArray[np.float32]],
        slice_factor: int,
        fold: Fold = UNFOLDED,
        *,
        first_slice: float = 0.0,
    ) -> None:
        """Takes kernel and bias of each convolution, first to last, as Keras lists them."""
        super().__init__(name="super_resolver")
        self.kernels = [tf.Variable(kernel, trainable=False) for kernel in weights[0::2]]
        self.biases = [tf.Variable(bias, trainable=False) for bias in weights[1::2]]
        self.slice_factor = slice_factor
        self.fold = fold
        self._fold = FoldVoxels(fold)
        self.first_slice = first_slice

    @property
    def contrasts(self) -> int:
        """Echoes in and out."""
        return self.kernels[0].shape[3] // math.prod(self.fold)

    @property
    def maps(self) -> tuple[int, ...]:
        """Those given to each convolution, and those that the last one makes."""
        return (self.kernels[0].shape[3], *(kernel.shape[4] for kernel in self.kernels))

    @property
    def weights(self) -> list[NDArray[np.float32]]:
        """Kernel and bias of each convolution, first to last."""
        pairs = zip(self.kernels, self.biases, strict=True)
        return [variable.numpy() for pair in pairs for variable in pair]

    def planes(self, shape: Sequence[int]) -> int:
        """Planes of cells along the longest axis of a scan of (rows, cols, thick slices)."""
        fine = (*shape[:2], shape[2] * self.slice_factor)
        return max(-(-voxels // cell) for voxels, cell in zip(fine, self.fold, strict=True))

    def super_resolve(
        self,
        volume: tf.Tensor,
        advance: Callable[[int], object] | None = None,
        *,
        precision: str = Precision.FLOAT32,
    ) -> tf.Tensor:
        """Super-resolves one scan.

        Args:
            volume: float32 (rows, cols, thick slices, echoes), raw intensities.
            advance: called with the number of planes, of those that `planes` tells, that each slab
                finished.
            precision: one of `Precision`, for the convolutions; everything else is float32.

        Returns:
            float32 (rows, cols, slice_factor * thick slices, echoes), on the same scale; slice i
            lies i - first_slice fine slices beyond thick slice 0.
        """
        # Each step takes the name, and so the memory, of the one before.
        scaled = _interpolate(volume, self.slice_factor, self.first_slice)
        scale = _intensity_scale(scaled)
        scaled = scaled / scale
        cells = self._fold(scaled[None])[0]
        longest_first = tf.argsort(tf.shape(cells)[:3], direction="DESCENDING", stable=True)
        cells = tf.transpose(cells, tf.concat([longest_first, [3]], 0))
        turned = [tf.transpose(k, tf.concat([longest_first, [3, 4]], 0)) for k in self.kernels]
        cells = self._residual(
            cells,
            [tf.cast(kernel, precision) for kernel in turned],
            [tf.cast(bias, precision) for bias in self.biases],
            advance,
        )
        as_given = tf.concat([tf.math.invert_permutation(longest_first), [3]], 0)
        return addition(self.fold)(scaled, tf.transpose(cells, as_given), scale)

    def _residual(
        self,
        cells: tf.Tensor,
        kernels: list[tf.Tensor],
        biases: list[tf.Tensor],
        advance: Callable[[int], object] | None,
    ) -> tf.Tensor:
        precision = kernels[0].dtype
        shape = tf.shape(cells)
        voxels = tf.reduce_prod(tf.cast(shape[1:3], tf.int64))
        plane_bytes = precision.size * max(self.maps) * voxels
        planes = tf.cast(tf.maximum(SLAB_BYTES // plane_bytes, 1), tf.int32)
        tails = [tf.zeros([1, shape[1], shape[2], given], precision) for given in self.maps[:-1]]
        slabs = tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False)
        start = tf.constant(0)
        while start < shape[0]:
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[(tails, [tf.TensorShape([None, *t.shape[1:]]) for t in tails])]
            )
            slab, tails = _convolve(cells[start : start + planes], tails, kernels, biases)
            slabs = slabs.write(slabs.size(), slab)
            start += planes
            if advance is not None:
                advance(len(slab))
        # All layers at once would make a slab that grows by all that they have fallen behind.
        for first in range(0, len(kernels), LAYERS_AT_ONCE):
            none = tails[first][:0]
            slab, tails = _convolve(none, tails, kernels, biases, first, first + LAYERS_AT_ONCE)
            slabs = slabs.write(slabs.size(), slab)
        return slabs.concat()


def _convolve(
    planes: tf.Tensor,
    tails: list[tf.Tensor],
    kernels: list[tf.Tensor],
    biases: list[tf.Tensor],
    first: int = 0,
    ended: int = 0,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """One slab through the layers from `first` on, of which those before `ended` see their last.

    Each new tail takes the place of the one before in the list itself: two lists of them would need
    twice the memory.
    """
    planes = tf.cast(planes, kernels[0].dtype)
    for layer in range(first, len(kernels)):
        tail, maps = tails[layer], (tails[layer].shape[3], biases[layer].shape[0])
        is_last = layer < ended
        if is_last or tf.shape(tail)[0] + tf.shape(planes)[0] > 2:
            activated = layer < len(kernels) - 1
            convolve = convolution(maps, planes.dtype, activated=activated, is_last=is_last)
            planes, tails[layer] = convolve(planes, tail, kernels[layer], biases[layer])
        else:
            tails[layer] = tf.concat([tail, planes], 0)
            planes = tf.zeros([0, *tf.unstack(tf.shape(planes)[1:3]), maps[1]], planes.dtype)
    return tf.cast(planes, tf.float32), tails


@lru_cache(maxsize=32)
def convolution(
    maps: tuple[int, int], precision: tf.DType, *, activated: bool, is_last: bool
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """One layer over one slab, as a graph for slabs of any size.

    Args:
        maps: those given to it, and those that it makes.
        precision: of the convolution.
        activated: it ends in a ReLU.
        is_last: no slab follows.

    Returns:
        A function of planes (n, rows, cols, maps), the planes that were kept of the slab before,
        kernel and bias; it gives the layer's planes and those to keep, none where no slab follows.
    """

    def convolve(
        planes: tf.Tensor, tail: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        planes = tf.concat([tail, planes], 0)
        count = tf.shape(planes)[0]
        # Gathered, not sliced: a slice would be a view that keeps the whole slab in memory.
        kept = tf.gather(planes, tf.range(count if is_last else tf.maximum(count - 2, 0), count))
        with tf.control_dependencies([kept]):  # or a busy machine gathers when it likes
            batch = planes[None]
        # Constant padding and bias and ReLU as ops of their own: on a CPU, TensorFlow makes one of
        # them and the convolution, which neither copies the padded slab nor goes over it again.
        padding = [[0, 0], [0, int(is_last)], [1, 1], [1, 1], [0, 0]]
        made = tf.nn.bias_add(tf.nn.conv3d(tf.pad(batch, padding), kernel, [1] * 5, "VALID"), bias)
        return (tf.nn.relu(made) if activated else made)[0], kept

    given = tf.TensorSpec([None, None, None, maps[0]], precision)
    weights = [tf.TensorSpec([3, 3, 3, *maps], precision), tf.TensorSpec(maps[1:], precision)]
    return _graph(convolve, given, given, *weights)


@lru_cache(maxsize=16)
def addition(fold: Fold) -> Callable[..., tf.Tensor]:
    """The sum of a scan and what the network found, back on the scan's scale.

    As a graph, which writes the sum over one of its terms and the product over the sum.

    Args:
        fold: as for `SuperResolver`.

    Returns:
        A function of the scaled scan (rows, cols, slices, echoes), the residual in cells and the
        intensity scale; it gives the super-resolved scan.
    """
    unfold = UnfoldVoxels(fold)

    def add(scaled: tf.Tensor, residual: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        return (unfold([residual[None], scaled[None]])[0] + scaled) * scale

    image = tf.TensorSpec([None] * 4)
    return _graph(add, image, image, tf.TensorSpec([]))


def _graph(function: Callable[..., Any], *given: tf.TensorSpec) -> Callable[..., Any]:
    """A function as one graph; made outside of any other, since it is kept for all."""
    with tf.init_scope():
        return tf.function(function).get_concrete_function(*given)


def _interpolate(volume: tf.Tensor, factor: int, first: float) -> tf.Tensor:
    """What `mrsr_tf.mri.slices.tricubic_matrix` does, for a slice count known only when run."""
    slices = tf.shape(volume)[2]
    unit, index = tf.eye(slices, dtype=tf.float64), tf.range(slices)

    def shifted(offset: int) -> tf.Tensor:
        mirrored = (index + offset) % (2 * slices)
        return tf.gather(unit, tf.minimum(mirrored, 2 * slices - 1 - mirrored))

    def basis(phase: int) -> tf.Tensor:
        """Of the fine slices `phase` after each thick one's: (slices, knots)."""
        near = (phase - first) // factor
        weights = cubic_weights((phase - first) / factor - near)
        return sum(w * shifted(int(near) + o) for o, w in zip((-1, 0, 1, 2), weights, strict=True))

    coefficients = tf.linalg.inv((4 * unit + shifted(-1) + shifted(1)) / 6)
    matrix = tf.stack([basis(phase) @ coefficients for phase in range(factor)], 1)
    matrix = tf.cast(tf.reshape(matrix, [factor * slices, slices]), tf.float32)
    return tf.einsum("rcse,fs->rcfe", volume, matrix)


def _intensity_scale(interpolated: tf.Tensor) -> tf.Tensor:
    """What `mrsr_tf.volume.intensity_scale` does: the joint percentile of all echoes."""
    intensities = tf.reshape(interpolated, [-1])
    rank = SCALE_PERCENTILE / 100 * tf.cast(tf.size(intensities) - 1, tf.float64)
    below = tf.cast(tf.floor(rank), tf.int32)
    above = tf.cast(rank - tf.floor(rank), tf.float32)
    highest = tf.math.top_k(intensities, tf.size(intensities) - below).values
    next_higher = highest[tf.maximum(tf.size(highest) - 2, 0)]
    scale = (1 - above) * highest[-1] + above * next_higher
    return tf.where(scale > 0, scale, 1.0)  # of zeros come zeros


def save_graph(resolver: SuperResolver, folder: Path) -> None:
    """Writes a SavedModel whose serving signature takes raw scans and needs no code of ours.

    Input `volume` float32 (batch, rows, cols, thick slices, echoes); output `super_resolved`
    float32 (batch, rows, cols, slice_factor * thick slices, echoes), same intensity scale.
    """
    raw = tf.TensorSpec([None] * 4 + [resolver.contrasts], tf.float32, name="volume")

    @tf.function(input_signature=[raw])
    def serving_default(volume: tf.Tensor) -> dict[str, tf.Tensor]:
        # One scan at a time, so that a batch needs no more memory than a scan.
        return {"super_resolved": tf.map_fn(resolver.super_resolve, volume)}

    tf.saved_model.save(resolver, str(folder), signatures=serving_default)
