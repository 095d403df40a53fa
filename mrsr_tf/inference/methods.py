"""The choice of an upsampler by the name of its method."""

from pathlib import Path
from typing import TYPE_CHECKING

from mrsr_tf.inference.upsampling import Interpolation, Method, Upsampler, wrap
from mrsr_tf.mri.slices import DEFAULT_FACTOR
from mrsr_tf.network.precision import Precision

if TYPE_CHECKING:
    from mrsr_tf.network.trained_model import TrainedModel

PRETRAINED = "pretrained"


def choose_upsampler(
    method: str,
    *,
    model: "str | Path | TrainedModel | None" = None,
    slice_factor: int | None = None,
    precision: str = Precision.FLOAT32,
    ensemble: bool = False,
    consistent: bool = False,
) -> Upsampler:
    """Makes the upsampler of a method; only the network loads TensorFlow.

    Args:
        method: one of `Method`.
        model: the network: a loaded model, or an argument of `trained_model.load_model`; None means
            the network that comes with the package.
        slice_factor: fine slices per thick one; None means that of the model, or 2 for the
            interpolations.
        precision: of the network's convolutions, one of `Precision`.
        ensemble: take the mean over eight mirrored scans.
        consistent: make the result agree with the scan.

    Raises:
        InputError: the model cannot be loaded or was trained for another factor.
    """
    return wrap(
        _network(model, slice_factor, precision)
        if method == Method.MRSR
        else Interpolation(method, slice_factor or DEFAULT_FACTOR),
        ensemble=ensemble,
        consistent=consistent,
    )


def _network(
    model: "str | Path | TrainedModel | None", slice_factor: int | None, precision: str
) -> Upsampler:
    from mrsr_tf.inference.super_resolution import Network
    from mrsr_tf.network.trained_model import load_model

    if model is None or isinstance(model, str | Path):
        model = load_model(model or PRETRAINED, slice_factor=slice_factor)
    return Network(model, precision=precision)
