"""The start of a training: initial weights, network and optimizer."""

from pathlib import Path

import keras

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder
from mrsr_tf.network.architecture import architecture_of, build_model
from mrsr_tf.network.precision import Precision
from mrsr_tf.network.trained_model import load_model
from mrsr_tf.network.transfer import to_dual_contrast
from mrsr_tf.training.config import TrainingConfig
from mrsr_tf.training.step import make_optimizer


def initial_network(
    config: TrainingConfig, echoes: int, init_from: str | Path | None
) -> keras.Model:
    """Returns the network that training starts from: random by the seed, or a trained one.

    Args:
        config: the settings. Those of the architecture may be None.
        echoes: number of echoes of the records. A network of one echo is transferred to two.
        init_from: what `load_model` loads; None for random weights.

    Raises:
        InputError: there is no trained network, it has two echoes and the records one, or a
            setting of the architecture contradicts it.
    """
    keras.utils.set_random_seed(config.seed)
    if init_from is None:
        return build_model(echoes, **config.architecture)
    network = _trained_network(init_from, echoes, plain_repeat=config.plain_repeat)
    for name, value in architecture_of(network).items():
        setting = getattr(config, name, None)
        if setting not in (None, value):
            raise InputError(
                f"expected --{name}={_text(value)} or none, as the network to start from has, got "
                f"{_text(setting)}: {init_from}"
            )
    return network


def load_or_create_network(
    config: TrainingConfig, start: keras.Model, steps: int, run_dir: Path
) -> keras.Model:
    """Returns the network compiled with its optimizer, from the last checkpoint if there is one.

    Without a checkpoint it has the architecture and weights of `start`.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    if (run_dir / run_folder.CHECKPOINT).exists():
        return run_folder.load_network(run_dir, checkpoint=True)
    keras.config.set_dtype_policy(Precision(config.precision).keras_policy)
    try:
        model = build_model(**architecture_of(start))
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(start.get_weights())
    optimizer = make_optimizer(config, steps)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, jit_compile=False)  # so that the optimizer is saved with the model
    return model


def _trained_network(init_from: str | Path, echoes: int, *, plain_repeat: bool) -> keras.Model:
    trained = load_model(init_from)
    by_echoes = {model.echoes: model for model in (trained, trained.other) if model}
    if echoes in by_echoes:
        return by_echoes[echoes].keras_model()
    if echoes == 1:
        raise InputError(
            "expected records of two contrasts, as the network to start from was trained on, got "
            f"records of one: {init_from}"
        )
    return to_dual_contrast(trained.keras_model(), plain_repeat=plain_repeat)


def _text(value: int | tuple[int, ...]) -> str:
    return str(value) if isinstance(value, int) else ",".join(map(str, value))
