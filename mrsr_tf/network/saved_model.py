"""An exported network for people without this package: a TensorFlow SavedModel.

EXPORT_DIR/
  saved_model.pb, variables/   the whole computation, from raw thick slices to fine ones
  card.json                    the model card: factor, training records, quality, licence, digest
  check.py, example.npz        test that another machine computes the same; needs TensorFlow alone
"""

import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.network.model_card import CARD, ModelCard, read_card
from mrsr_tf.network.streaming import SuperResolver
from mrsr_tf.outputs import write_json

GRAPH, EXAMPLE, CHECK = "saved_model.pb", "example.npz", "check.py"
EXAMPLE_SHAPE = (13, 11, 4)


def export(resolver: SuperResolver, card: ModelCard, folder: Path) -> None:
    """Fills an empty folder with a SavedModel, its card and its check."""
    save_graph(resolver, folder)
    random = np.random.default_rng(0)
    volume = random.uniform(0, 1000, (*EXAMPLE_SHAPE, resolver.echoes)).astype(np.float32)
    fine = resolver.super_resolve(tf.constant(volume)).numpy()
    np.savez(folder / EXAMPLE, volume=volume, super_resolved=fine)
    shutil.copyfile(Path(__file__).with_name("check_export.py"), folder / CHECK)
    write_json(folder / CARD, card)


def save_graph(resolver: SuperResolver, folder: Path) -> None:
    """Writes a SavedModel whose signature takes raw scans and needs no code of this package.

    Input `volume` float32 (batch, rows, cols, thick slices, echoes); output `super_resolved`
    float32 (batch, rows, cols, slice_factor * thick slices, echoes), on the same intensity scale.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    raw = tf.TensorSpec([None] * 4 + [resolver.echoes], tf.float32, name="volume")

    @tf.function(input_signature=[raw])
    def serving_default(volume: tf.Tensor) -> dict[str, tf.Tensor]:
        # One scan at a time, so that a batch needs no more memory than one scan.
        return {"super_resolved": tf.map_fn(resolver.super_resolve, volume)}

    try:
        tf.saved_model.save(resolver, str(folder), signatures=serving_default)
    except tf.errors.OpError as error:
        raise OSError(f"expected room for an exported network: {error.message}") from error


def read(folder: Path) -> tuple[list[NDArray[np.float32]], ModelCard]:
    """Reads kernel and bias of each convolution, first to last, and the card of an export.

    Raises:
        InputError: a file is missing, damaged or of another kind.
    """
    card = read_card(folder)
    try:
        loaded = tf.saved_model.load(str(folder))
        pairs = zip(loaded.kernels, loaded.biases, strict=True)
        weights = [variable.numpy() for pair in pairs for variable in pair]
    except Exception as error:  # TensorFlow's reader raises many kinds
        raise InputError(f"expected an exported network, could not read it: {folder}") from error
    return weights, card
