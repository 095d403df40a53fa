"""From a thick scan to a fine one in TensorFlow, in bounded memory.

What training did to its data (interpolate along slices, divide by one intensity scale), the
network's convolutions, the residual sum and the scale back, as one piece of code: `mrsr_tf.infer`
runs it as it stands, the SavedModel holds it as a graph, so both give the same voxels.

The convolutions run over slabs of planes along the longest axis. Each layer keeps the last two
planes it was given, which is all a 3x3x3 kernel needs of the slab before:

    given to layer 1    |0 1 2 3 4|5 6 7|8 9|
    given to layer 2    |0 1 2 3|4 5 6|7 8 9|     one plane behind
    given to layer 3    |0 1 2|3 4 5|6 7 8 9|     two planes behind; the last slab catches up

so every voxel of every layer is computed once and the result is that of the whole volume at once.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.model import UNFOLDED, Fold, FoldVoxels, UnfoldVoxels
from mrsr_tf.slices import cubic_weights
from mrsr_tf.volume import SCALE_PERCENTILE

PRECISIONS = ("float32", "bfloat16", "float16")
# One layer's activations in one slab.
SLAB_BYTES = 192 * 2**20


class SuperResolver(tf.Module):
    """The whole way from raw thick slices to super-resolved ones.

    Attributes:
        kernels: one (3, 3, 3, maps in, maps out) per convolution.
        biases: one (maps out,) per convolution.
        slice_factor: fine slices per thick one.
        fold: rows, columns and slices of voxels in one cell of the convolutions' grid.
        first_slice: where thick slice 0 sits, in fine slices from the result's slice 0; see
            `mrsr_tf.slices.first_slice`.
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
        self._fold, self._unfold = FoldVoxels(fold), UnfoldVoxels(fold)
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
        precision: str = "float32",
    ) -> tf.Tensor:
        """Super-resolves one scan.

        Args:
            volume: float32 (rows, cols, thick slices, echoes), raw intensities.
            advance: called with the number of planes, of those that `planes` tells, that each slab
                finished.
            precision: of `PRECISIONS`, that of the convolutions; all else is float32.

        Returns:
            float32 (rows, cols, slice_factor * thick slices, echoes), on the same scale; slice i
            lies i - first_slice fine slices beyond thick slice 0.
        """
        interpolated = _interpolate(volume, self.slice_factor, self.first_slice)
        scale = _intensity_scale(interpolated)
        scaled = interpolated / scale
        cells = self._fold(scaled[None])[0]
        longest_first = tf.argsort(tf.shape(cells)[:3], direction="DESCENDING", stable=True)
        as_given = tf.math.invert_permutation(longest_first)
        turned = [tf.transpose(k, tf.concat([longest_first, [3, 4]], 0)) for k in self.kernels]
        residual = self._residual(
            tf.transpose(cells, tf.concat([longest_first, [3]], 0)),
            [tf.cast(kernel, precision) for kernel in turned],
            [tf.cast(bias, precision) for bias in self.biases],
            advance,
        )
        residual = tf.transpose(residual, tf.concat([as_given, [3]], 0))
        return (scaled + self._unfold([residual[None], scaled[None]])[0]) * scale

    def _residual(
        self,
        cells: tf.Tensor,
        kernels: list[tf.Tensor],
        biases: list[tf.Tensor],
        advance: Callable[[int], object] | None,
    ) -> tf.Tensor:
        precision = kernels[0].dtype
        maps = self.maps
        shape = tf.shape(cells)
        plane_bytes = precision.size * max(maps) * tf.reduce_prod(tf.cast(shape[1:3], tf.int64))
        planes = tf.cast(tf.maximum(SLAB_BYTES // plane_bytes, 1), tf.int32)
        tails = [tf.zeros([1, *tf.unstack(shape[1:3]), given], precision) for given in maps[:-1]]
        slabs = tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False)
        # The first slab is longer by what the layers fall behind.
        start, stop = tf.constant(0), planes + len(kernels)
        while stop < shape[0]:
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[(tails, [tf.TensorShape([None, *t.shape[1:]]) for t in tails])]
            )
            convolve = convolution_stack(maps, precision, last=False)
            slab, tails = convolve(cells[start:stop], tails, kernels, biases)
            slabs = slabs.write(slabs.size(), slab)
            start, stop = stop, stop + planes
            if advance is not None:
                advance(int(planes))
        convolve = convolution_stack(maps, precision, last=True)
        slab, _ = convolve(cells[start:], tails, kernels, biases)
        return slabs.write(slabs.size(), slab).concat()


@lru_cache(maxsize=16)
def convolution_stack(
    maps: tuple[int, ...], precision: tf.DType, *, last: bool
) -> Callable[..., tuple[tf.Tensor, list[tf.Tensor]]]:
    """All layers over one slab, as one graph for slabs of any size.

    Args:
        maps: those given to each layer, and those that the last one makes.
        precision: of the convolutions.
        last: no slab follows.

    Returns:
        A function of float32 planes (n, rows, cols, maps), the planes that each layer kept of the
        slab before, and the layers' kernels and biases; it gives the float32 planes of the last
        layer and the planes for each layer to keep, none where no slab follows.
    """
    signature = (
        tf.TensorSpec([None, None, None, maps[0]]),
        [tf.TensorSpec([None, None, None, given], precision) for given in maps[:-1]],
        [tf.TensorSpec([3, 3, 3, *pair], precision) for pair in itertools.pairwise(maps)],
        [tf.TensorSpec([made], precision) for made in maps[1:]],
    )
    return tf.function(partial(_convolve, last=last), input_signature=signature)


def _convolve(
    planes: tf.Tensor,
    tails: list[tf.Tensor],
    kernels: list[tf.Tensor],
    biases: list[tf.Tensor],
    *,
    last: bool,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    # Constant padding and bias and ReLU as ops of their own: on a CPU, TensorFlow makes one of
    # them and the convolution, which neither copies the padded slab nor goes over it again.
    padding = [[0, 0], [0, int(last)], [1, 1], [1, 1], [0, 0]]
    planes, new_tails = tf.cast(planes, kernels[0].dtype), []
    for layer, (tail, kernel, bias) in enumerate(zip(tails, kernels, biases, strict=True), 1):
        planes = tf.concat([tail, planes], 0)
        if not last:
            count = tf.shape(planes)[0]
            # Gathered, not sliced: a slice would be a view that keeps the whole slab in memory.
            new_tails.append(tf.gather(planes, tf.range(tf.maximum(count - 2, 0), count)))
        with tf.control_dependencies(new_tails[-1:]):  # or a busy machine gathers when it likes
            batch = planes[None]
        x = tf.nn.conv3d(tf.pad(batch, padding), kernel, [1] * 5, "VALID")
        x = tf.nn.bias_add(x, bias)
        planes = (tf.nn.relu(x) if layer < len(kernels) else x)[0]
    return tf.cast(planes, tf.float32), new_tails


def _interpolate(volume: tf.Tensor, factor: int, first: float) -> tf.Tensor:
    """What `mrsr_tf.slices.tricubic_matrix` does, for a slice count known only when run."""
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
