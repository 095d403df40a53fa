"""Super-resolution of a scan: a `Volume` of thick slices in, one of fine slices out."""

import sys
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from mrsr_tf.inference.domain_check import trained_sets
from mrsr_tf.inference.upsampling import Way
from mrsr_tf.network.trained_model import TrainedModel
from mrsr_tf.volume import Volume

# A bar for whoever looks; in a log a line every half minute.
LINE = "{desc}: {n_fmt} of {total_fmt} planes, {remaining} to go\n"
PROGRESS: dict[str, Any] = (
    {"delay": 2}
    if sys.stderr.isatty()
    else {"delay": 30, "mininterval": 30, "maxinterval": 60, "bar_format": LINE}
)


def super_resolve(volume: Volume, model: TrainedModel) -> Volume:
    """Super-resolves all echoes of a scan together.

    Memory is bounded by one slab of the network's activations (see
    `mrsr_tf.network.streaming`) and a few copies of the scan.

    Args:
        volume: (rows, cols, thick slices, echoes), raw scanner intensities of any scale.
        model: of `mrsr_tf.network.trained_model.load_model`; it knows its factor and its echoes.

    Returns:
        The scan with slice_factor times the slices, on the same intensity scale. Its origin is
        that of the thick scan, unless the network was trained on slices that sit between fine ones.

    Raises:
        InputError: the network was trained for another number of echoes.
        MemoryError: the scan is too large for this machine.
    """
    fine = _resolve(volume.array, model)
    return volume.resliced(fine, model.slice_factor, model.first_slice)


def network(
    model: TrainedModel,
    *,
    precision: str = "float32",
    ensemble: bool = False,
    consistent: bool = False,
) -> Way:
    """The way of a network, for `mrsr_tf.inference.upsampling` and `mrsr_tf.inference.batch`.

    Args:
        model: what `mrsr_tf.network.trained_model.load_model` gives.
        precision: of the convolutions, one of `streaming.PRECISIONS`.
        ensemble: as for `Way`.
        consistent: as for `Way`; the profile is the one that the network was trained on.
    """
    how = {"weights_sha256": model.weights_sha256, "precision": precision}
    if model.other:
        how["other_weights_sha256"] = model.other.weights_sha256
    sets = trained_sets(model.card, model.slice_factor)
    thickening = sets[0].get("thickening", {}) if sets else {}
    return Way(
        lambda thick: _resolve(thick, model, precision),
        model.slice_factor,
        {"method": "mrsr", "slice_factor": model.slice_factor, **how},
        profile=thickening.get("profile", Way.profile),
        first_slice=model.first_slice,
        card=model.card,
        ensemble=ensemble,
        consistent=consistent,
    )


def _resolve(
    thick: NDArray[np.floating], model: TrainedModel, precision: str = "float32"
) -> NDArray[np.floating]:
    model = model.for_echoes(thick.shape[3])
    planes = model.resolver.planes(thick.shape[:3])
    with tqdm(None, "super-resolving", planes, leave=None, unit="plane", **PROGRESS) as bar:
        try:
            fine = model.resolver.super_resolve(
                tf.constant(thick), bar.update, precision=precision
            ).numpy()
        except tf.errors.ResourceExhaustedError:
            raise MemoryError(
                f"expected memory for a scan of {thick.shape}, this machine has too little"
            ) from None
        bar.update(planes - bar.n)
    return fine
