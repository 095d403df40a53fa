"""What data consistency and the ensemble change, also for scans of another slice profile.

    python -m benchmarks.studies.data_consistency --data=scans/test --model=runs/dual

Each scan in DATA, of fine slices, is thickened by each profile, brought back by the network and by
tricubic interpolation, as they are and made consistent with the profile that the network assumes;
of the network's own profile by the ensemble, too. Printed are the mean squared error x 1000 of the
intensity scale and the residual.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from absl import flags

from mrsr_tf import cli
from mrsr_tf.inference import super_resolution
from mrsr_tf.inference.upsampling import Way, interpolation, resolved
from mrsr_tf.io.scans import find_subjects, read_scan
from mrsr_tf.mri.slices import Profile, thicken
from mrsr_tf.network.trained_model import load_model
from mrsr_tf.volume import Volume, intensity_scale

DATA = flags.DEFINE_string("data", None, "Folder of subjects, or one scan.", required=True)
MODEL = flags.DEFINE_string("model", None, "A finished run, or an exported one.", required=True)


def main() -> None:
    """Measures each way on each scan."""
    network = super_resolution.network(load_model(MODEL.value))
    tci = interpolation("tci", network.slice_factor)
    print("subject  profile  way  error without -> with consistency  residual without")
    for name, path in find_subjects(DATA.value).items():
        truth = read_scan(path)
        for profile in Profile:
            ways = {"network": network, "tci": replace(tci, profile=network.profile)}
            if profile == network.profile:
                ways["ensemble"] = replace(network, ensemble=True)
            for label, way in ways.items():
                (before, residual), (after, _) = _errors(truth, profile, way)
                print(
                    f"{name}  {profile:14}  {label:8}  {before:.3f} -> {after:.3f}  {residual:.2%}",
                    flush=True,
                )


def _errors(truth: Volume, profile: str, way: Way) -> Iterator[tuple[float, float]]:
    """Error and residual, without consistency and with it."""
    factor, scale = way.slice_factor, intensity_scale(truth.array)
    thick = truth.resliced(thicken(truth.array, factor, profile=profile), 1 / factor)
    for consistent in (False, True):
        made = resolved(thick, replace(way, consistent=consistent))
        difference = (made.fine.array[:, :, : truth.array.shape[2]] - truth.array) / scale
        yield 1000 * float(np.mean(np.square(difference))), made.residual_of_scale


if __name__ == "__main__":
    cli.run(main)
