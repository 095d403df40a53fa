r"""Learns the dictionary of ScSR from the training cohort's scans with thin slices.

    python -m eval.train_scsr --data=scans/train --output=runs/scsr
    python -m eval.evaluate --cohort=image_quality --data=scans/test --output=results/quality \
        --model=runs/dual --methods=mrsr,tci,fi,scsr --scsr=runs/scsr

--data holds one folder per subject, or is one scan, as of eval.evaluate; both echoes are learned
from. Gives dictionary.npz, and dictionary.png, on which its atoms can be looked at.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

DATA = flags.DEFINE_string("data", None, "Folder of subjects, or one scan.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
SLICE_FACTOR = flags.DEFINE_integer("slice_factor", 2, "Fine slices per thick one.", lower_bound=2)
SLICE_PROFILE = flags.DEFINE_enum(
    "slice_profile",
    "fir",
    ["fir", "box", "kspace", "kspace_hamming"],
    "What makes a slice thick; eval.evaluate takes the paper's FIR.",
)
ATOMS = flags.DEFINE_integer("atoms", 512, "Atoms of the dictionary.", lower_bound=1)
PATCHES = flags.DEFINE_integer("patches", 100_000, "Patches to learn from.", lower_bound=1)
PASSES = flags.DEFINE_integer("passes", 10, "How often each is learned from.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Of the choice of patches, and of learning.")
ALLOW_INTERPOLATED = flags.DEFINE_bool(
    "allow_interpolated", False, "Learn from slices that the scanner interpolated, too."
)
SLICE_AXIS = flags.DEFINE_integer(
    "slice_axis", 2, "Which axis of a NIfTI counts slices.", lower_bound=0, upper_bound=2
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Remove what stands at --output, start anew.")


def main() -> None:
    """Learns, saves and draws the dictionary."""
    from eval.sparse.dictionary_figure import save_figure
    from eval.sparse.scsr import FILE, PICTURE, ScSR
    from mrsr_tf.io.scans import find_subjects
    from mrsr_tf.outputs import output_folder

    subjects = find_subjects(DATA.value)
    settings: dict[str, Any] = {
        "factor": SLICE_FACTOR.value,
        "profile": SLICE_PROFILE.value,
        "atoms": ATOMS.value,
        "patches": PATCHES.value,
        "passes": PASSES.value,
        "seed": SEED.value,
    }
    configuration = settings | {"slice_axis": SLICE_AXIS.value, "subjects": len(subjects)}
    with output_folder(OUTPUT.value, configuration, overwrite=OVERWRITE.value) as folder:
        dictionary = ScSR(**settings).fit(_echoes(list(subjects.values())))
        dictionary.save(folder / FILE)
        save_figure(dictionary, folder / PICTURE)
    learned_from = cli.counted(len(subjects), "subject")
    print(f"{ATOMS.value} atoms from {learned_from}: {Path(OUTPUT.value) / FILE}")


def _echoes(paths: list[Path]) -> "Iterator[NDArray[np.floating]]":
    """Each echo of each scan, on the scale of its thick slices interpolated; a scan at a time."""
    from tqdm import tqdm

    from mrsr_tf.io.scans import read_scan
    from mrsr_tf.mri import slices
    from mrsr_tf.mri.zero_filling import interpolated_slices
    from mrsr_tf.volume import intensity_scale

    factor, profile = SLICE_FACTOR.value, SLICE_PROFILE.value
    for path in tqdm(paths, "patches", unit="subject", disable=None, delay=2):
        scan = read_scan(path, slice_axis=SLICE_AXIS.value)
        reason = None if ALLOW_INTERPOLATED.value else interpolated_slices(scan)
        if reason:
            raise InputError(
                f"expected slices as they were acquired, to learn from, but {reason} "
                f"(--allow_interpolated takes them all the same): {path}"
            )
        thick = slices.thicken(scan.array, factor, profile=profile)
        scale = intensity_scale(slices.interpolate(thick, factor))
        for echo in range(scan.echoes):
            yield scan.array[..., echo] / scale


if __name__ == "__main__":
    cli.run(main)
