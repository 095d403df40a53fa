"""The flags by which infer and serve choose their upsampler, defined once for both."""

from typing import TYPE_CHECKING

from absl import flags

from mrsr_tf import cli
from mrsr_tf.inference.methods import choose_upsampler
from mrsr_tf.inference.upsampling import Method
from mrsr_tf.network.precision import Precision
from mrsr_tf.network.weights_file import PRETRAINED, SHIPPED

if TYPE_CHECKING:
    from mrsr_tf.inference.upsampling import Upsampler

flags.disclaim_key_flags()  # the flags below belong to the commands that define them


class UpsamplerFlags:
    """Defines --method, --model and the other flags of an upsampler, and reads them."""

    def __init__(self) -> None:
        self.method = flags.DEFINE_enum(
            "method",
            Method.MRSR,
            list(Method),
            "How slices are computed: by the network (mrsr, the default), by tricubic "
            "interpolation (tci) or by Fourier interpolation (fi).",
        )
        self.model = flags.DEFINE_string(
            "model",
            PRETRAINED,
            "The network of --method=mrsr: a run folder, an exported folder, or a network that "
            f"comes with the package ({', '.join(SHIPPED)}).",
        )
        self.slice_factor = cli.define_slice_factor(
            None, "Fine slices per thick slice. By default that of the model, and 2 for tci and fi."
        )
        self.precision = flags.DEFINE_enum(
            "precision",
            Precision.FLOAT32,
            list(Precision),
            "Number format of the network's convolutions. Half precision is faster on GPUs and "
            "CPUs that have it in hardware.",
        )
        self.ensemble = flags.DEFINE_bool(
            "ensemble",
            False,
            "Take the mean over eight mirrored inputs, which takes eight times as long. Their "
            "deviation is the uncertainty, of which infer writes maps.",
        )
        self.consistent = flags.DEFINE_bool(
            "consistent",
            False,
            "Change the output minimally so that, thickened again, it equals the input.",
        )

    def choose(self) -> "Upsampler":
        """Makes the upsampler. Only the network loads TensorFlow."""
        if self.method.value == Method.MRSR:
            with cli.quiet_imports():
                from mrsr_tf.inference import super_resolution  # noqa: F401 (loads TensorFlow)
        return choose_upsampler(
            self.method.value,
            model=self.model.value,
            slice_factor=self.slice_factor.value,
            precision=self.precision.value,
            ensemble=self.ensemble.value,
            consistent=self.consistent.value,
        )
