"""The network of the paper's Figure 2, and its transfer from one contrast to two.

    interpolated echoes --+-- conv 3x3x3 + ReLU -- ... -- conv 3x3x3 --(+)-- super-resolved echoes
                          |    19 layers of 64 maps       one per echo   |
                          +----------------------------------------------+

The network sees the thick scan already interpolated to the fine slices (TCI) and divided by the
subject's intensity scale; it adds what interpolation cannot know. Sizes are free.

A folded network runs the same convolutions on a coarser grid, whose every cell holds a block of
voxels as channels: with blocks of 2x2x2 each convolution costs an eighth.

    interpolated echoes --+-- fold -- conv + ReLU -- ... -- conv -- unfold --(+)-- super-resolved
                          +------------------------------------------------+
"""

import hashlib
import math
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from mrsr_tf.errors import InputError

LAYERS = 20
FILTERS = 64
Fold = tuple[int, int, int]
UNFOLDED: Fold = (1, 1, 1)
# Of the first weights, by those of He et al. 2015 (doi 10.1109/ICCV.2015.123).
FIRST_GAIN, RANDOM_PART = 4.0, 0.1


def build_model(
    contrasts: int = 2,
    *,
    convolutions: int = LAYERS,
    filters: int = FILTERS,
    fold: Fold = UNFOLDED,
) -> keras.Model:
    """The residual 3D CNN.

    Args:
        contrasts: echoes in and out, 1 or 2.
        convolutions: how many 3x3x3 convolutions, 2 or more; the receptive field is one more than
            twice as many cells wide.
        filters: feature maps of all but the last.
        fold: rows, columns and slices of voxels in one cell of the convolutions' grid.

    Returns:
        A functional model, float32 (batch, rows, cols, slices, contrasts) -> the same shape.

    Raises:
        InputError: a count out of range.
    """
    if contrasts not in (1, 2) or convolutions < 2 or filters < 1 or min(fold) < 1:
        raise InputError(
            f"expected 1 or 2 contrasts, at least 2 convolutions, 1 filter and a fold of 1 voxel, "
            f"got {contrasts}, {convolutions}, {filters} and {fold}"
        )
    interpolated = keras.Input((None, None, None, contrasts), name="interpolated")
    x = interpolated if fold == UNFOLDED else FoldVoxels(fold, name="fold")(interpolated)
    for number in range(1, convolutions):
        x = _convolution(filters, number, activation="relu")(x)
    residual = _convolution(contrasts * math.prod(fold), convolutions)(x)
    if fold != UNFOLDED:
        residual = UnfoldVoxels(fold, name="unfold")([residual, interpolated])
    super_resolved = layers.Add(name="super_resolved", dtype="float32")([interpolated, residual])
    model = keras.Model(interpolated, super_resolved, name="mrsr")
    _start(convolution_layers(model)[:-1])
    return model


def to_dual_contrast(single: keras.Model, *, plain_repeat: bool = False) -> keras.Model:
    """Transfers a single-contrast network to two echoes, as section 3.2 of the paper does.

    The first layer's weights are repeated for the second echo, the last layer's for the second
    output; all others are taken as they are.

    Args:
        single: what `build_model(contrasts=1)` gave, trained.
        plain_repeat: repeat the first layer's weights as they are. By default they are halved, so
            that two equal echoes give the activations, and so the output, of the single network.

    Raises:
        InputError: the network is not a single-contrast one.
    """
    first = convolution_layers(single)[0]
    if single.input_shape[-1] != 1:
        raise InputError(
            f"expected a network of one contrast to transfer, got one of {single.input_shape[-1]}"
        )
    dual = build_model(
        2,
        convolutions=len(convolution_layers(single)),
        filters=first.kernel.shape[-1],
        fold=fold_of(single),
    )
    weights = single.get_weights()  # kernel and bias of each convolution, first to last
    weights[0] = np.repeat(weights[0], 2, axis=3) / (1 if plain_repeat else 2)
    weights[-2] = np.repeat(weights[-2], 2, axis=4)
    weights[-1] = np.repeat(weights[-1], 2)
    dual.set_weights(weights)
    return dual


def convolution_layers(model: keras.Model) -> list[keras.layers.Conv3D]:
    """The convolutions of a network that `build_model` made, first to last."""
    return [layer for layer in model.layers if isinstance(layer, layers.Conv3D)]


def fold_of(model: keras.Model) -> Fold:
    """Rows, columns and slices of voxels in one cell of a network's grid."""
    return next((layer.fold for layer in model.layers if isinstance(layer, FoldVoxels)), UNFOLDED)


@keras.saving.register_keras_serializable(package="mrsr_tf")
class FoldVoxels(layers.Layer):
    """(batch, rows, cols, slices, echoes) -> cells of voxels: (..., voxels of a cell * echoes).

    Sizes that do not divide are mirrored at their end. Channels count rows, then columns, then
    slices of the cell, echoes fastest.
    """

    def __init__(self, fold: Fold, **kwargs: Any) -> None:
        """Takes the rows, columns and slices of a cell."""
        super().__init__(**kwargs)
        rows, columns, slices = fold
        self.fold: Fold = (rows, columns, slices)

    def call(self, voxels: Any) -> Any:
        """Folds."""
        shape, fold = ops.shape(voxels), self.fold
        missing = [(0, -n % f) for n, f in zip(shape[1:4], fold, strict=True)]
        voxels = ops.pad(voxels, [(0, 0), *missing, (0, 0)], mode="symmetric")
        cells = [-(-n // f) for n, f in zip(shape[1:4], fold, strict=True)]
        split = [size for pair in zip(cells, fold, strict=True) for size in pair]
        blocks = ops.reshape(voxels, [shape[0], *split, shape[4]])
        channels = math.prod(fold) * shape[4]
        return ops.reshape(ops.transpose(blocks, _TO_CELLS), [shape[0], *cells, channels])

    def compute_output_shape(self, shape: Any) -> Any:
        """Of cells and their channels."""
        cells = [n if n is None else -(-n // f) for n, f in zip(shape[1:4], self.fold, strict=True)]
        return (shape[0], *cells, math.prod(self.fold) * shape[4])

    def get_config(self) -> dict[str, Any]:
        """The fold, for Keras to save."""
        return {**super().get_config(), "fold": self.fold}


@keras.saving.register_keras_serializable(package="mrsr_tf")
class UnfoldVoxels(FoldVoxels):
    """The way back from cells to the voxels of a second input, whose shape it takes."""

    def call(self, inputs: Any) -> Any:
        """Unfolds, and drops what folding had mirrored."""
        cells, like = inputs
        shape, wanted = ops.shape(cells), ops.shape(like)
        blocks = ops.reshape(cells, [*shape[:4], *self.fold, wanted[4]])
        whole = [n * f for n, f in zip(shape[1:4], self.fold, strict=True)]
        voxels = ops.reshape(ops.transpose(blocks, _TO_VOXELS), [shape[0], *whole, wanted[4]])
        return voxels[:, : wanted[1], : wanted[2], : wanted[3]]

    def compute_output_shape(self, shapes: Any) -> Any:
        """That of the second input."""
        return shapes[1]


# (batch, cell row, row in cell, cell column, ..., echo) -> cells first, what they hold last
_TO_CELLS = [0, 1, 3, 5, 2, 4, 6, 7]
_TO_VOXELS = [0, 1, 4, 2, 5, 3, 6, 7]


def weights_sha256(weights: Iterable[NDArray[np.float32]]) -> str:
    """A digest of the values of kernel and bias of each convolution, first to last."""
    digest = hashlib.sha256()
    for values in weights:
        digest.update(values.astype("<f4").tobytes())
    return digest.hexdigest()


def _start(hidden: Iterable[layers.Conv3D]) -> None:
    """First weights with which a network of any depth learns from its first step.

    Each map's weights lose their mean, so that it answers to structure and not to how bright a
    patch is. The layers after the first begin near the identity (as in DiracNets, Zagoruyko and
    Komodakis 2017, arXiv:1706.00388): what the first one finds reaches the last one unchanged. With
    weights that are random in all layers a folded network of 64 maps died or stood still.
    """
    for number, layer in enumerate(hidden):
        kernel = layer.kernel.numpy()
        kernel -= kernel.mean(axis=(0, 1, 2, 3))
        if number:
            kernel *= RANDOM_PART
            kernel[1, 1, 1] += np.eye(kernel.shape[3])
        else:
            kernel *= FIRST_GAIN
        layer.kernel.assign(kernel)


def _convolution(filters: int, number: int, activation: str | None = None) -> layers.Conv3D:
    # A last layer of zeros makes the untrained network the interpolation that it is to improve on.
    return layers.Conv3D(
        filters,
        3,
        padding="same",
        activation=activation,
        kernel_initializer="he_normal" if activation else "zeros",
        name=f"convolution_{number:02d}",
    )
