"""Super-resolution of a scan: a `Volume` of thick slices in, one of fine slices out."""

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from mrsr_tf.errors import InputError
from mrsr_tf.runs import TrainedModel
from mrsr_tf.volume import Volume


def super_resolve(volume: Volume, model: TrainedModel) -> Volume:
    """Super-resolves all echoes of a scan together.

    Memory is bounded by one slab of the network's activations (see `mrsr_tf.streaming`) and a few
    copies of the scan.

    Args:
        volume: (rows, cols, thick slices, echoes), raw scanner intensities of any scale.
        model: what `mrsr_tf.runs.load` gives; it knows its factor and its echoes.

    Returns:
        The scan with slice_factor times the slices, on the same intensity scale.

    Raises:
        InputError: the network was trained for another number of echoes.
    """
    if volume.echoes != model.contrasts:
        raise InputError(
            f"expected a scan of {model.contrasts} echoes, as the network {model.name} was "
            f"trained for, got one of {volume.echoes}"
        )
    planes = max(*volume.array.shape[:2], volume.array.shape[2] * model.slice_factor)
    with tqdm(total=planes, unit="plane", desc="super-resolving", disable=None, delay=2) as bar:
        fine = model.resolver.super_resolve(tf.constant(volume.array), bar.update)
        bar.update(planes - bar.n)
    return volume.resliced(np.asarray(fine), model.slice_factor)
