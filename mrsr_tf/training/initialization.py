"""What a training starts from: the first weights, the network and its optimizer."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder
from mrsr_tf.network.architecture import build_model, convolution_layers, space_to_depth_of
from mrsr_tf.network.transfer import to_dual_contrast
from mrsr_tf.training.config import ECHOES, TrainingConfig
from mrsr_tf.training.step import PRECISIONS, make_optimizer


def first_weights(
    config: TrainingConfig, manifest: Mapping[str, Any], init_from: Path | None
) -> list[NDArray[np.float32]]:
    """The weights that training starts from: random by the seed, or another run's.

    Raises:
        InputError: the other run's network is not the one that `config` describes.
    """
    keras.utils.set_random_seed(config.seed)
    contrasts = ECHOES[manifest["contrasts"]]
    network = _build(config, contrasts)
    if init_from is None:
        return network.get_weights()
    start = run_folder.load_network(init_from)
    if contrasts == 2 and start.input_shape[-1] == 1:
        start = to_dual_contrast(start, plain_repeat=config.plain_repeat)
    expected, found = (_shape(n) for n in (network, start))
    if expected != found:
        raise InputError(f"expected to start from a {expected}, found a {found}: {init_from}")
    return start.get_weights()


def start_network(
    config: TrainingConfig,
    contrasts: int,
    weights: list[NDArray[np.float32]],
    steps: int,
    run_dir: Path,
) -> keras.Model:
    """The network compiled with its optimizer, new or as the last checkpoint has them.

    Args:
        config: the settings.
        contrasts: echoes in and out.
        weights: the first ones.
        steps: of the whole training.
        run_dir: where a checkpoint may be.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    if (run_dir / run_folder.CHECKPOINT).exists():
        return run_folder.load_network(run_dir, checkpoint=True)
    with _policy(PRECISIONS[config.precision]):
        model = _build(config, contrasts)
    model.set_weights(weights)
    for layer in convolution_layers(model)[1 : 1 + config.frozen]:
        layer.trainable = False
    optimizer = make_optimizer(
        config.learning_rate,
        steps,
        schedule=config.schedule,
        warmup_steps=config.warmup_steps,
        ema=config.ema,
        precision=config.precision,
    )
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, jit_compile=False)  # so that it is saved with its optimizer
    return model


def _build(config: TrainingConfig, contrasts: int) -> keras.Model:
    return build_model(
        contrasts,
        convolutions=config.convolutions,
        filters=config.filters,
        space_to_depth=config.space_to_depth,
    )


def _shape(network: keras.Model) -> str:
    convolutions = convolution_layers(network)
    return (
        f"network of {network.input_shape[-1]} echoes, {len(convolutions)} convolutions, "
        f"{convolutions[0].filters} filters and space-to-depth {space_to_depth_of(network)}"
    )


@contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
