"""What data consistency and the ensemble change, also for scans with another slice profile.

    python -m benchmarks.studies.data_consistency --data=scans/test --model=runs/dual

Each scan in DATA, of fine slices, is thickened with each profile and upsampled by the network and
by tricubic interpolation, without and with consistency for the profile that the network assumes;
for the network's own profile by the ensemble, too. The output is the mean squared error x 1000 of
the intensity scale, and the residual.
"""

from collections.abc import Iterator

import numpy as np
from absl import flags

from mrsr_tf import cli
from mrsr_tf.inference.data_consistency import measure_residual
from mrsr_tf.inference.methods import choose_upsampler
from mrsr_tf.inference.upsampling import (
    DataConsistent,
    Interpolation,
    Method,
    SelfEnsemble,
    Upsampler,
)
from mrsr_tf.io.scans import find_scans
from mrsr_tf.mri.slices import Profile, thicken
from mrsr_tf.volume import Volume, intensity_scale

DATA = flags.DEFINE_string("data", None, "A folder of subjects, or one scan.", required=True)
MODEL = flags.DEFINE_string("model", None, "A run folder, or an exported folder.", required=True)


def main() -> None:
    """Measures each method on each scan."""
    network = choose_upsampler(Method.MRSR, model=MODEL.value)
    tci = Interpolation(Method.TCI, network.factor, profile=network.profile)
    print("subject  profile  method  error without -> with consistency  residual without")
    for name, scan in find_scans(DATA.value).items():
        truth = scan.read()
        for profile in Profile:
            upsamplers = {"network": network, "tci": tci}
            if profile == network.profile:
                upsamplers["ensemble"] = SelfEnsemble(network)
            for label, upsampler in upsamplers.items():
                (before, residual), (after, _) = _errors(truth, profile, upsampler)
                print(
                    f"{name}  {profile:14}  {label:8}  {before:.3f} -> {after:.3f}  {residual:.2%}",
                    flush=True,
                )


def _errors(truth: Volume, profile: str, upsampler: Upsampler) -> Iterator[tuple[float, float]]:
    """Error and residual, without consistency and with it."""
    factor, scale = upsampler.factor, intensity_scale(truth.array)
    thick = truth.resliced(thicken(truth.array, factor, profile=profile), 1 / factor)
    for each in (upsampler, DataConsistent(upsampler)):
        result = each(thick)
        difference = (result.volume.array[:, :, : truth.array.shape[2]] - truth.array) / scale
        residual = measure_residual(result.volume, thick, profile=upsampler.profile)
        yield 1000 * float(np.mean(np.square(difference))), residual.of_scale


if __name__ == "__main__":
    cli.run(main)
