"""The start of a training: initial weights, network and optimizer."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder
from mrsr_tf.network.architecture import architecture_of, build_model
from mrsr_tf.network.precision import Precision
from mrsr_tf.network.transfer import to_dual_contrast
from mrsr_tf.training.config import TrainingConfig
from mrsr_tf.training.step import make_optimizer


def initial_weights(
    config: TrainingConfig, echoes: int, init_from: Path | None
) -> list[NDArray[np.float32]]:
    """Returns the weights that training starts from: random by the seed, or of another run.

    The weights of a single-contrast run are transferred to a network of two echoes.

    Raises:
        InputError: the network of the other run differs from the one that `config` describes.
    """
    keras.utils.set_random_seed(config.seed)
    network = _build(config, echoes)
    if init_from is None:
        return network.get_weights()
    start = run_folder.load_network(init_from)
    if echoes == 2 and start.input_shape[-1] == 1:
        start = to_dual_contrast(start, plain_repeat=config.plain_repeat)
    expected, found = _description(network), _description(start)
    if expected != found:
        raise InputError(f"expected to start from a {expected}, found a {found}: {init_from}")
    return start.get_weights()


def load_or_create_network(
    config: TrainingConfig,
    echoes: int,
    weights: list[NDArray[np.float32]],
    steps: int,
    run_dir: Path,
) -> keras.Model:
    """Returns the network compiled with its optimizer, from the last checkpoint if there is one.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    if (run_dir / run_folder.CHECKPOINT).exists():
        return run_folder.load_network(run_dir, checkpoint=True)
    keras.config.set_dtype_policy(Precision(config.precision).keras_policy)
    try:
        model = _build(config, echoes)
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(weights)
    optimizer = make_optimizer(config, steps)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, jit_compile=False)  # so that the optimizer is saved with the model
    return model


def _build(config: TrainingConfig, echoes: int) -> keras.Model:
    return build_model(
        echoes,
        convolutions=config.convolutions,
        filters=config.filters,
        space_to_depth=config.space_to_depth,
    )


def _description(network: keras.Model) -> str:
    return (
        "network of {echoes} echoes, {convolutions} convolutions, {filters} filters and "
        "space-to-depth {space_to_depth}"
    ).format(**architecture_of(network))
