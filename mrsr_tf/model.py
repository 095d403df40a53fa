"""The network of the paper's Figure 2, and its transfer from one contrast to two.

    interpolated echoes --+-- conv 3x3x3 + ReLU -- ... -- conv 3x3x3 --(+)-- super-resolved echoes
                          |    19 layers of 64 maps       one per echo   |
                          +----------------------------------------------+

The network sees the thick scan already interpolated to the fine slices (TCI) and divided by the
subject's intensity scale; it adds what interpolation cannot know. Sizes are free.
"""

import hashlib
from collections.abc import Iterable

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from mrsr_tf.errors import InputError

LAYERS = 20
FILTERS = 64


def build_model(
    contrasts: int = 2, *, convolutions: int = LAYERS, filters: int = FILTERS
) -> keras.Model:
    """The residual 3D CNN.

    Args:
        contrasts: echoes in and out, 1 or 2.
        convolutions: how many 3x3x3 convolutions, 2 or more; the receptive field is one more than
            twice as many voxels wide.
        filters: feature maps of all but the last.

    Returns:
        A functional model, float32 (batch, rows, cols, slices, contrasts) -> the same shape.

    Raises:
        InputError: a count out of range.
    """
    if contrasts not in (1, 2) or convolutions < 2 or filters < 1:
        raise InputError(
            f"expected 1 or 2 contrasts, at least 2 convolutions and 1 filter, "
            f"got {contrasts}, {convolutions} and {filters}"
        )
    interpolated = keras.Input((None, None, None, contrasts), name="interpolated")
    x = interpolated
    for number in range(1, convolutions):
        x = _convolution(filters, number, activation="relu")(x)
    residual = _convolution(contrasts, convolutions)(x)
    super_resolved = layers.Add(name="super_resolved", dtype="float32")([interpolated, residual])
    return keras.Model(interpolated, super_resolved, name="mrsr")


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
        2, convolutions=len(convolution_layers(single)), filters=first.kernel.shape[-1]
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


def weights_sha256(weights: Iterable[NDArray[np.float32]]) -> str:
    """A digest of the values of kernel and bias of each convolution, first to last."""
    digest = hashlib.sha256()
    for values in weights:
        digest.update(values.astype("<f4").tobytes())
    return digest.hexdigest()


def _convolution(filters: int, number: int, activation: str | None = None) -> layers.Conv3D:
    # Keras's own first weights halve the signal's power at every ReLU: twenty layers of them were
    # seen to stay at the input for good. He et al. 2015 (doi 10.1109/ICCV.2015.123) keep it, and a
    # last layer of zeros makes the untrained network the interpolation that it is to improve on.
    return layers.Conv3D(
        filters,
        3,
        padding="same",
        activation=activation,
        kernel_initializer="he_normal" if activation else "zeros",
        name=f"convolution_{number:02d}",
    )
