"""Super-resolution of a whole scan in TensorFlow, in bounded memory.

The preparation that training applied to its data (interpolation along slices, division by one
intensity scale), the network's convolutions, the residual sum and the multiplication by the scale
are one piece of code. `mrsr_tf.infer` runs it as it is and the SavedModel holds it as a graph, so
that both give the same voxels.

The convolutions run over slabs of planes along the longest axis. Each layer keeps the last two
planes of its input, which is all that a 3x3x3 kernel needs of the slab before:

    input of layer 1    |0 1 2 3 4|5 6 7|8 9|
    input of layer 2    |0 1 2 3|4 5 6|7 8 9|     one plane behind
    input of layer 3    |0 1 2|3 4 5|6 7 8 9|     two planes behind; all catch up at the end

Every voxel of every layer is therefore computed once, and the result is the same as that of one
pass over the whole volume.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.mri.slices import cubic_weights
from mrsr_tf.network.precision import Precision
from mrsr_tf.network.space_to_depth import SINGLE_VOXEL, BlockShape, DepthToSpace, SpaceToDepth
from mrsr_tf.volume import SCALE_PERCENTILE

SLAB_BYTES = 192 * 2**20  # of one layer's activations
# This many layers catch up with the end of a scan together, each by one plane more than the last.
LAYERS_AT_ONCE = 5


class SuperResolver(tf.Module):
    """Computes super-resolved slices from raw thick ones.

    Attributes:
        kernels: one (3, 3, 3, input channels, output channels) per convolution.
        biases: one (output channels,) per convolution.
        slice_factor: fine slices per thick slice.
        space_to_depth: rows, columns and slices of voxels in one cell of the convolutions' grid.
        first_slice: position of thick slice 0, in fine slices from slice 0 of the result; see
            `mrsr_tf.mri.slices.first_slice`.
    """

    def __init__(
        self,
        weights: Sequence[NDArray[np.float32]],
        slice_factor: int,
        space_to_depth: BlockShape = SINGLE_VOXEL,
        *,
        first_slice: float = 0.0,
    ) -> None:
        """Takes kernel and bias of each convolution, first to last, as Keras lists them."""
        super().__init__(name="super_resolver")
        self.kernels = [tf.Variable(kernel, trainable=False) for kernel in weights[0::2]]
        self.biases = [tf.Variable(bias, trainable=False) for bias in weights[1::2]]
        self.slice_factor = slice_factor
        self.space_to_depth = space_to_depth
        self._to_cells = SpaceToDepth(space_to_depth)
        self.first_slice = first_slice

    @property
    def echoes(self) -> int:
        """Number of echoes in and out."""
        return self.kernels[0].shape[3] // math.prod(self.space_to_depth)

    @property
    def channels(self) -> tuple[int, ...]:
        """Input channels of each convolution, and output channels of the last."""
        return (self.kernels[0].shape[3], *(kernel.shape[4] for kernel in self.kernels))

    @property
    def weights(self) -> list[NDArray[np.float32]]:
        """Kernel and bias of each convolution, first to last."""
        pairs = zip(self.kernels, self.biases, strict=True)
        return [variable.numpy() for pair in pairs for variable in pair]

    def planes(self, shape: Sequence[int]) -> int:
        """Returns how many planes of cells a scan of (rows, cols, thick slices) is computed in."""
        fine = (*shape[:2], shape[2] * self.slice_factor)
        return max(
            -(-voxels // cell) for voxels, cell in zip(fine, self.space_to_depth, strict=True)
        )

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
            advance: called after each slab with the number of planes, out of `planes`, that it
                finished.
            precision: number format of the convolutions; everything else is float32.

        Returns:
            float32 (rows, cols, slice_factor * thick slices, echoes), on the same scale; slice i
            lies i - first_slice fine slices after thick slice 0.
        """
        # Reusing a name frees the memory of the step before.
        scaled = _interpolate(volume, self.slice_factor, self.first_slice)
        scale = _intensity_scale(scaled)
        scaled = scaled / scale
        cells = self._to_cells(scaled[None])[0]
        longest_first = tf.argsort(tf.shape(cells)[:3], direction="DESCENDING", stable=True)
        cells = tf.transpose(cells, tf.concat([longest_first, [3]], 0))
        kernels = [tf.transpose(k, tf.concat([longest_first, [3, 4]], 0)) for k in self.kernels]
        cells = self._residual(
            cells,
            [tf.cast(kernel, precision) for kernel in kernels],
            [tf.cast(bias, precision) for bias in self.biases],
            advance,
        )
        original_order = tf.concat([tf.math.invert_permutation(longest_first), [3]], 0)
        residual = tf.transpose(cells, original_order)
        return residual_sum(self.space_to_depth)(scaled, residual, scale)

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
        plane_bytes = precision.size * max(self.channels) * voxels
        planes = tf.cast(tf.maximum(SLAB_BYTES // plane_bytes, 1), tf.int32)
        tails = [tf.zeros([1, shape[1], shape[2], n], precision) for n in self.channels[:-1]]
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
        # All layers at once would need a slab of all the planes that they have fallen behind.
        for first in range(0, len(kernels), LAYERS_AT_ONCE):
            no_planes = tails[first][:0]
            slab, tails = _convolve(
                no_planes, tails, kernels, biases, first=first, ended=first + LAYERS_AT_ONCE
            )
            slabs = slabs.write(slabs.size(), slab)
        return slabs.concat()


def _convolve(
    planes: tf.Tensor,
    tails: list[tf.Tensor],
    kernels: list[tf.Tensor],
    biases: list[tf.Tensor],
    *,
    first: int = 0,
    ended: int = 0,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Passes one slab through the layers from `first` on; those before `ended` get no more input.

    Tails are replaced in the list itself, because two lists of them would need twice the memory.
    """
    planes = tf.cast(planes, kernels[0].dtype)
    for layer in range(first, len(kernels)):
        tail, channels = tails[layer], (tails[layer].shape[3], biases[layer].shape[0])
        is_last = layer < ended
        if is_last or tf.shape(tail)[0] + tf.shape(planes)[0] > 2:
            activated = layer < len(kernels) - 1
            convolve = convolution(channels, planes.dtype, activated=activated, is_last=is_last)
            planes, tails[layer] = convolve(planes, tail, kernels[layer], biases[layer])
        else:
            tails[layer] = tf.concat([tail, planes], 0)
            planes = tf.zeros([0, *tf.unstack(tf.shape(planes)[1:3]), channels[1]], planes.dtype)
    return tf.cast(planes, tf.float32), tails


@lru_cache(maxsize=32)
def convolution(
    channels: tuple[int, int], precision: tf.DType, *, activated: bool, is_last: bool
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Returns a graph that applies one layer to one slab of any size.

    Its inputs are planes (n, rows, cols, input channels), the planes that were kept of the slab
    before, kernel and bias; its outputs are the convolved planes and the planes to keep.

    Args:
        channels: of the input and of the output.
        precision: of the convolution.
        activated: whether the layer ends in a ReLU.
        is_last: whether this is the last slab, after which no planes are kept.
    """

    def convolve(
        planes: tf.Tensor, tail: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        planes = tf.concat([tail, planes], 0)
        count = tf.shape(planes)[0]
        # Gathered, not sliced: a slice would be a view that keeps the whole slab in memory.
        kept = tf.gather(planes, tf.range(count if is_last else tf.maximum(count - 2, 0), count))
        with tf.control_dependencies([kept]):  # else a busy machine gathers much later
            batch = planes[None]
        # With constant padding, and bias and ReLU as separate ops, TensorFlow on a CPU fuses all
        # into one op, which neither copies the padded slab nor reads the result again.
        padding = [[0, 0], [0, int(is_last)], [1, 1], [1, 1], [0, 0]]
        features = tf.nn.conv3d(tf.pad(batch, padding), kernel, [1] * 5, "VALID")
        features = tf.nn.bias_add(features, bias)
        return (tf.nn.relu(features) if activated else features)[0], kept

    planes = tf.TensorSpec([None, None, None, channels[0]], precision)
    kernel = tf.TensorSpec([3, 3, 3, *channels], precision)
    return _graph(convolve, planes, planes, kernel, tf.TensorSpec(channels[1:], precision))


@lru_cache(maxsize=16)
def residual_sum(space_to_depth: BlockShape) -> Callable[..., tf.Tensor]:
    """Returns a graph of the last step: (scaled scan, residual in cells, scale) -> fine scan.

    As a graph, because TensorFlow then computes sum and product in place.
    """
    to_voxels = DepthToSpace(space_to_depth)

    def add(scaled: tf.Tensor, residual: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        return (to_voxels([residual[None], scaled[None]])[0] + scaled) * scale

    image = tf.TensorSpec([None] * 4)
    return _graph(add, image, image, tf.TensorSpec([]))


def _graph(function: Callable[..., Any], *inputs: tf.TensorSpec) -> Callable[..., Any]:
    """Traces a function outside of any other graph, so that all of them can use it."""
    with tf.init_scope():
        return tf.function(function).get_concrete_function(*inputs)


def _interpolate(volume: tf.Tensor, factor: int, first: float) -> tf.Tensor:
    """As `mrsr_tf.mri.slices.tricubic_matrix`, for a number of slices known only at run time."""
    slices = tf.shape(volume)[2]
    unit, index = tf.eye(slices, dtype=tf.float64), tf.range(slices)

    def shifted(offset: int) -> tf.Tensor:
        mirrored = (index + offset) % (2 * slices)
        return tf.gather(unit, tf.minimum(mirrored, 2 * slices - 1 - mirrored))

    def basis(phase: int) -> tf.Tensor:
        """Weights of the fine slices `phase` after each thick one: (slices, knots)."""
        near = (phase - first) // factor
        weights = cubic_weights((phase - first) / factor - near)
        return sum(w * shifted(int(near) + o) for o, w in zip((-1, 0, 1, 2), weights, strict=True))

    coefficients = tf.linalg.inv((4 * unit + shifted(-1) + shifted(1)) / 6)
    matrix = tf.stack([basis(phase) @ coefficients for phase in range(factor)], 1)
    matrix = tf.cast(tf.reshape(matrix, [factor * slices, slices]), tf.float32)
    return tf.einsum("rcse,fs->rcfe", volume, matrix)


def _intensity_scale(interpolated: tf.Tensor) -> tf.Tensor:
    """As `mrsr_tf.volume.intensity_scale`: the joint percentile of all echoes."""
    intensities = tf.reshape(interpolated, [-1])
    rank = SCALE_PERCENTILE / 100 * tf.cast(tf.size(intensities) - 1, tf.float64)
    below = tf.cast(tf.floor(rank), tf.int32)
    above = tf.cast(rank - tf.floor(rank), tf.float32)
    highest = tf.math.top_k(intensities, tf.size(intensities) - below).values
    next_higher = highest[tf.maximum(tf.size(highest) - 2, 0)]
    scale = (1 - above) * highest[-1] + above * next_higher
    return tf.where(scale > 0, scale, 1.0)  # a scan of zeros stays zero
