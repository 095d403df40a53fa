"""Transfer of a trained single-contrast network to two echoes, section 3.2 of the paper."""

import keras
import numpy as np

from mrsr_tf.errors import InputError
from mrsr_tf.network.architecture import architecture_of, build_model


def to_dual_contrast(single: keras.Model, *, plain_repeat: bool = False) -> keras.Model:
    """Creates a two-echo network from a trained single-contrast one.

    The weights of the first layer are repeated for the second echo of the input and halved, so
    that two equal echoes give the activations, and therefore the output, of `single`. Those of the
    last layer are repeated for the second echo of the output. All other weights are copied.

    Args:
        single: a trained network of `build_model(echoes=1)`.
        plain_repeat: whether to repeat the first layer's weights without halving them.

    Raises:
        InputError: the network has more than one echo.
    """
    architecture = architecture_of(single)
    if architecture["echoes"] != 1:
        raise InputError(
            f"expected a network of one echo to transfer, got one of {architecture['echoes']}"
        )
    dual = build_model(**architecture | {"echoes": 2})
    weights = single.get_weights()  # kernel and bias of each convolution, first to last
    weights[0] = np.repeat(weights[0], 2, axis=3) / (1 if plain_repeat else 2)
    weights[-2] = np.repeat(weights[-2], 2, axis=4)
    weights[-1] = np.repeat(weights[-1], 2)
    dual.set_weights(weights)
    return dual
