"""The upsampler of a method by its name, and super-resolution in one call."""

from pathlib import Path
from typing import TYPE_CHECKING

from mrsr_tf.inference.upsampling import Interpolation, Method, Upsampler, wrap
from mrsr_tf.mri.slices import DEFAULT_FACTOR
from mrsr_tf.network.precision import Precision
from mrsr_tf.network.weights_file import PRETRAINED
from mrsr_tf.volume import Volume, intensity_scale

if TYPE_CHECKING:
    from mrsr_tf.network.trained_model import TrainedModel


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
    if method == Method.MRSR:
        from mrsr_tf.inference.super_resolution import Network
        from mrsr_tf.network.trained_model import load_model

        if model is None or isinstance(model, str | Path):
            model = load_model(model or PRETRAINED, slice_factor=slice_factor)
        upsampler: Upsampler = Network(model, precision=precision)
    else:
        upsampler = Interpolation(method, slice_factor or DEFAULT_FACTOR)
    return wrap(upsampler, ensemble=ensemble, consistent=consistent)


def super_resolve(
    volume: Volume,
    model: "str | Path | TrainedModel | None" = None,
    ensemble: bool = False,
    consistent: bool = False,
    precision: str = Precision.FLOAT32,
) -> Volume:
    """Super-resolves all echoes of a scan together.

    Args:
        volume: thick slices, one or two echoes, raw scanner intensities on any scale.
        model: from `mrsr_tf.load_model`, or what that takes; None means the network that comes with
            the package.
        ensemble: take the mean over eight mirrored scans, which takes eight times as long.
        consistent: change the result as little as possible so that, thickened again, it equals the
            scan.
        precision: number format of the convolutions: "float32", "bfloat16" or "float16".

    Returns:
        The scan with `model.slice_factor` times the slices, on the same intensity scale. The origin
        is that of the thick scan, unless the network was trained on thick slices that lie between
        fine ones.

    Raises:
        InputError: the network was trained for another number of echoes or cannot be loaded, or the
            scan is empty or has intensities that float32 cannot compute with.
        MemoryError: the scan is too large for this machine.
    """
    upsampler = choose_upsampler(
        Method.MRSR, model=model, precision=precision, ensemble=ensemble, consistent=consistent
    )
    intensity_scale(volume.array)  # refuses what float32 cannot compute with
    fine = upsampler.upsample(volume.array)
    return volume.resliced(fine, upsampler.factor, upsampler.first_slice)
