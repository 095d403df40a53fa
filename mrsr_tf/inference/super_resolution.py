"""Super-resolution by a trained network, as an `Upsampler`."""

import sys
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from mrsr_tf.inference.domain_check import trained_sets
from mrsr_tf.inference.upsampling import UNWRAPPED, Image, Method, Upsampler
from mrsr_tf.mri.slices import Profile
from mrsr_tf.network.precision import Precision
from mrsr_tf.network.trained_model import TrainedModel

# A progress bar on a terminal; in a log file one line every half minute.
LINE = "{desc}: {n_fmt} of {total_fmt} planes, {remaining} to go\n"
PROGRESS: dict[str, Any] = (
    {"delay": 2}
    if sys.stderr.isatty()
    else {"delay": 30, "mininterval": 30, "maxinterval": 60, "bar_format": LINE}
)


class Network(Upsampler):
    """Super-resolves all echoes of a scan together with a trained network.

    Memory is bounded by one slab of the network's activations (see `mrsr_tf.network.streaming`)
    and a few copies of the scan. A scan with other echoes than the network was trained for is an
    `InputError`, one that is too large for this machine a `MemoryError`.
    """

    def __init__(self, model: TrainedModel, *, precision: str = Precision.FLOAT32) -> None:
        """Takes a network from `mrsr_tf.network.trained_model.load_model`."""
        weights = {"weights_sha256": model.weights_sha256, "precision": str(precision)}
        if model.other:
            weights["other_weights_sha256"] = model.other.weights_sha256
        sets = trained_sets(model.card, model.slice_factor)
        thickening = sets[0].get("thickening", {}) if sets else {}
        super().__init__(
            Method.MRSR,
            model.slice_factor,
            profile=thickening.get("profile", Profile.FIR),
            first_slice=model.first_slice,
            card=model.card,
            derivation={**weights, **UNWRAPPED},
        )
        self.model = model
        self.precision = precision

    def predictions(self, thick: Image) -> Iterator[Image]:
        """See `Upsampler.predictions`."""
        resolver = self.model.for_echoes(thick.shape[3]).resolver
        planes = resolver.planes(thick.shape[:3])
        with tqdm(None, "super-resolving", planes, leave=None, unit="plane", **PROGRESS) as bar:
            try:
                fine = resolver.super_resolve(
                    tf.constant(thick), bar.update, precision=self.precision
                ).numpy()
            except tf.errors.ResourceExhaustedError:
                raise MemoryError(
                    f"expected memory for a scan of {thick.shape}, this machine has too little"
                ) from None
            bar.update(planes - bar.n)
        yield fine
