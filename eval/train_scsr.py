r"""Learns the ScSR dictionary from scans with thin slices.

    python -m eval.train_scsr --data=scans/train --output=runs/scsr
    python -m eval.evaluate --experiment=image_quality --data=scans/test --output=results/quality \
        --model=runs/dual --methods=mrsr,tci,fi,scsr --scsr=runs/scsr

The data folder holds one folder per subject, or is one scan, as for eval.evaluate; both echoes are
learned from. The output folder holds dictionary.npz.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.mri.slices import DEFAULT_FACTOR, Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from mrsr_tf.io.scans import Scan

DATA = flags.DEFINE_string("data", None, "A folder of subjects, or one scan.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
SLICE_FACTOR = cli.define_slice_factor(
    DEFAULT_FACTOR,
    "The number of fine slices per thick slice.",
)
SLICE_PROFILE = flags.DEFINE_enum(
    "slice_profile",
    Profile.FIR,
    list(Profile),
    "The slice profile with which the scans are thickened. The default is the filter of the paper, "
    "which eval.evaluate uses.",
)
ATOMS = cli.define_count("atoms", 512, "The number of atoms to learn.")
PATCHES = cli.define_count(
    "patches",
    100_000,
    "The number of patches to learn from.",
)
PASSES = cli.define_count("passes", 10, "The number of passes over the patches.")
SEED = cli.define_seed("The seed for the choice of patches and for learning.")
ALLOW_INTERPOLATED = flags.DEFINE_bool(
    "allow_interpolated",
    False,
    "Whether to learn also from slices that the scanner interpolated. By default such a scan is an "
    "error.",
)
SERIES = cli.define_series()
SLICE_AXIS = cli.define_slice_axis()
OVERWRITE = cli.define_overwrite()
SETTINGS = (SLICE_FACTOR, SLICE_PROFILE, ATOMS, PATCHES, PASSES, SEED)  # of ScSR


def main() -> None:
    """Learns the dictionary and saves it."""
    from eval.sparse import ScSR
    from eval.sparse.scsr import FILE
    from mrsr_tf.io.scans import find_scans
    from mrsr_tf.outputs import check_output, output_folder

    check_output(OUTPUT.value, [DATA.value])
    subjects = find_scans(DATA.value, SERIES.value)
    settings: dict[str, Any] = {flag.name.removeprefix("slice_"): flag.value for flag in SETTINGS}
    configuration = settings | {"slice_axis": SLICE_AXIS.value, "subjects": len(subjects)}
    output = output_folder(
        OUTPUT.value, configuration, command="eval.train_scsr", overwrite=OVERWRITE.value
    )
    with output as folder:
        ScSR(**settings).fit(_read_echoes(subjects.values())).save(folder / FILE)
    learned_from = cli.counted(len(subjects), "subject")
    print(f"{ATOMS.value} atoms from {learned_from}: {Path(OUTPUT.value) / FILE}")


def _read_echoes(scans: "Iterable[Scan]") -> "Iterator[NDArray[np.floating]]":
    """Each echo of each scan, divided by the scale of its interpolated thick slices."""
    from tqdm import tqdm

    from mrsr_tf.mri import slices
    from mrsr_tf.mri.zero_filling import interpolated_slices
    from mrsr_tf.volume import intensity_scale

    factor, profile = SLICE_FACTOR.value, SLICE_PROFILE.value
    for source in tqdm(list(scans), "patches", unit="subject", disable=None, delay=2):
        scan = source.read(SLICE_AXIS.value)
        reason = None if ALLOW_INTERPOLATED.value else interpolated_slices(scan)
        if reason:
            raise InputError(
                f"expected slices as they were acquired, to learn from, but {reason} "
                f"(--allow_interpolated takes them all the same): {source}"
            )
        thick = slices.thicken(scan.array, factor, profile=profile)
        scale = intensity_scale(slices.interpolate(thick, factor))
        for echo in range(scan.echoes):
            yield scan.array[..., echo] / scale


if __name__ == "__main__":
    cli.run(main)
