"""The network of the paper's Figure 2.

    interpolated echoes --+-- conv 3x3x3 + ReLU -- ... -- conv 3x3x3 --(+)-- super-resolved echoes
                          |   19 layers of 64 channels  one per echo   |
                          +--------------------------------------------+

The input is the thick scan interpolated to the fine slices (TCI) and divided by the subject's
intensity scale. The network adds the detail that interpolation cannot restore. Any image size is
accepted.

With space-to-depth the same convolutions run on a coarser grid, each cell of which holds a block
of voxels as channels: with blocks of 2x2x2 a convolution costs an eighth.

    interpolated --+-- space to depth -- conv + ReLU -- ... -- conv -- depth to space --(+)-- output
                   +---------------------------------------------------------------------+
"""

import math
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import layers

from mrsr_tf.errors import InputError
from mrsr_tf.network.space_to_depth import SINGLE_VOXEL, BlockShape, DepthToSpace, SpaceToDepth

# Scales of the initial weights, relative to He et al. 2015 (doi:10.1109/ICCV.2015.123).
FIRST_LAYER_GAIN, RANDOM_GAIN = 4.0, 0.1


def build_model(
    echoes: int = 2,
    *,
    convolutions: int = 20,
    filters: int = 64,
    space_to_depth: BlockShape = SINGLE_VOXEL,
) -> keras.Model:
    """Builds the residual 3-D CNN.

    Args:
        echoes: number of echoes in and out, 1 or 2.
        convolutions: number of 3x3x3 convolutions, at least 2. The receptive field is
            2 * convolutions + 1 cells wide.
        filters: number of feature maps of every convolution but the last.
        space_to_depth: rows, columns and slices of voxels in one cell of the convolutions' grid.

    Returns:
        A functional model from float32 (batch, rows, cols, slices, echoes) to the same shape.

    Raises:
        InputError: a number is out of range.
    """
    if echoes not in (1, 2) or convolutions < 2 or filters < 1 or min(space_to_depth) < 1:
        raise InputError(
            "expected 1 or 2 echoes, at least 2 convolutions, 1 filter and blocks of 1 voxel, "
            f"got {echoes}, {convolutions}, {filters} and {space_to_depth}"
        )
    interpolated = keras.Input((None, None, None, echoes), name="interpolated")
    in_blocks = space_to_depth != SINGLE_VOXEL
    x = interpolated
    if in_blocks:
        x = SpaceToDepth(space_to_depth, name="space_to_depth")(x)
    for number in range(1, convolutions):
        x = _convolution(filters, number, activation="relu")(x)
    residual = _convolution(echoes * math.prod(space_to_depth), convolutions)(x)
    if in_blocks:
        residual = DepthToSpace(space_to_depth, name="depth_to_space")([residual, interpolated])
    super_resolved = layers.Add(name="super_resolved", dtype="float32")([interpolated, residual])
    model = keras.Model(interpolated, super_resolved, name="mrsr")
    _initialize(convolution_layers(model)[:-1])
    return model


def convolution_layers(model: keras.Model) -> list[keras.layers.Conv3D]:
    """Returns the convolutions of a network, first to last."""
    return [layer for layer in model.layers if isinstance(layer, layers.Conv3D)]


def space_to_depth_of(model: keras.Model) -> BlockShape:
    """Returns the rows, columns and slices of voxels in one cell of a network's grid."""
    blocks = (layer.block_shape for layer in model.layers if isinstance(layer, SpaceToDepth))
    return next(blocks, SINGLE_VOXEL)


def architecture_of(model: keras.Model) -> dict[str, Any]:
    """Returns the arguments with which `build_model` builds a network of the same architecture."""
    convolutions = convolution_layers(model)
    return {
        "echoes": model.input_shape[-1],
        "convolutions": len(convolutions),
        "filters": convolutions[0].filters,
        "space_to_depth": space_to_depth_of(model),
    }


def _convolution(filters: int, number: int, activation: str | None = None) -> layers.Conv3D:
    # With a last layer of zeros the untrained network returns its input, the interpolation.
    return layers.Conv3D(
        filters,
        3,
        padding="same",
        activation=activation,
        kernel_initializer="he_normal" if activation else "zeros",
        name=f"convolution_{number:02d}",
    )


def _initialize(hidden_layers: Iterable[layers.Conv3D]) -> None:
    """Sets initial weights with which a network of any depth learns from its first step.

    The mean of each filter is removed, so that it responds to structure and not to brightness.
    All layers but the first start near the identity (as in DiracNets, Zagoruyko and Komodakis
    2017, arXiv:1706.00388), so that the features of the first layer reach the last one unchanged.
    With random weights in all layers, networks of 64 filters with space-to-depth died or did not
    learn.
    """
    for number, layer in enumerate(hidden_layers):
        kernel = layer.kernel.numpy()
        kernel -= kernel.mean(axis=(0, 1, 2, 3))
        if number:
            kernel *= RANDOM_GAIN
            kernel[1, 1, 1] += np.eye(kernel.shape[3])
        else:
            kernel *= FIRST_LAYER_GAIN
        layer.kernel.assign(kernel)
