"""Super-resolves a scan, or a folder of scans: twice the slices, both echoes, T2 kept.

A folder of DICOM gives a folder of derived DICOM (one series per echo), a NIfTI file a NIfTI file:

    python -m mrsr_tf.infer --input=scans/knee --output=super_resolved/knee --model=runs/dual
    python -m mrsr_tf.infer --input=knee.nii.gz --output=knee_sr.nii.gz --model=exported
    python -m mrsr_tf.infer --input=scans/knee --output=interpolated/knee --method=tci

A folder of several scans gives a folder with one output for each. A scan that fails stops no other
and is named at the end; the same call again skips what is finished:

    python -m mrsr_tf.infer --input=scans --output=super_resolved --model=runs/dual

How far to trust a voxel (eight times the work): the mean over mirrored inputs, and beside it
knee_uncertainty.nii.gz and knee_t2_uncertainty_ms.nii.gz, how far they part:

    python -m mrsr_tf.infer --input=scans/knee --output=super_resolved/knee --model=runs/dual --ensemble
"""  # noqa: E501 (commands as one pastes them)

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import InputError

if TYPE_CHECKING:
    from mrsr_tf.inference.batch import Study
    from mrsr_tf.inference.upsampling import Way

DEFAULT_FACTOR = 2

INPUT = flags.DEFINE_string(
    "input", None, "A folder of DICOM, a NIfTI file, or a folder of several.", required=True
)
OUTPUT = flags.DEFINE_string(
    "output", None, "Folder or NIfTI file to write; of several scans, their folder.", required=True
)
MODEL = flags.DEFINE_string(
    "model",
    "pretrained",
    "A run or exported folder, pretrained, or pretrained-paper; for --method=mrsr.",
)
SLICE_FACTOR = flags.DEFINE_integer(
    "slice_factor", None, "Fine slices per thick one: the model's, and 2 for tci and fi.",
    lower_bound=2,
)  # fmt: skip
SLICE_AXIS = flags.DEFINE_integer(
    "slice_axis", 2, "Which axis of a NIfTI counts slices.", lower_bound=0, upper_bound=2
)
METHOD = flags.DEFINE_enum(
    "method", "mrsr", ["mrsr", "tci", "fi"], "The network, tricubic or Fourier interpolation."
)
PRECISION = flags.DEFINE_enum(
    "precision", "float32", ["float32", "bfloat16", "float16"],
    "Of the network's convolutions; half precision is for GPUs and CPUs that have it.",
)  # fmt: skip
ENSEMBLE = flags.DEFINE_bool(
    "ensemble", False, "Take the mean over eight mirrored inputs, and map how far they part."
)
CONSISTENT = flags.DEFINE_bool(
    "consistent", False, "Take away what the output, made thick again, lacks of the input."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an output of another configuration.")


def main() -> None:
    """Finds the studies, chooses the way, and goes it with each."""
    from mrsr_tf.inference import batch

    found = batch.find_studies(Path(INPUT.value), Path(OUTPUT.value))
    trust = {"ensemble": ENSEMBLE.value, "consistent": CONSISTENT.value}
    way = _network(trust) if METHOD.value == "mrsr" else _interpolation(trust)
    settings: dict[str, Any] = {"slice_axis": SLICE_AXIS.value, "overwrite": OVERWRITE.value}
    if len(found) == 1:
        print(batch.derive(found[0], way, **settings))
    else:
        _derive_all(found, way, settings)


def _network(trust: dict[str, bool]) -> "Way":
    with cli.quiet_imports():
        from mrsr_tf.inference import super_resolution
        from mrsr_tf.network.trained_model import load_model

    model = load_model(MODEL.value, slice_factor=SLICE_FACTOR.value)
    return super_resolution.network(model, precision=PRECISION.value, **trust)


def _interpolation(trust: dict[str, bool]) -> "Way":
    from mrsr_tf.inference import upsampling

    return upsampling.interpolation(METHOD.value, SLICE_FACTOR.value or DEFAULT_FACTOR, **trust)


def _derive_all(found: "Sequence[Study]", way: "Way", settings: dict[str, Any]) -> None:
    from tqdm import tqdm

    from mrsr_tf.inference import batch

    with tqdm(total=len(found), desc="studies", unit="study", disable=None) as bar:
        failed = batch.derive_all(found, way, tell=tqdm.write, advance=bar.update, **settings)
    if failed:
        names = ", ".join(str(study.source) for study in failed)
        raise InputError(
            f"expected {len(found)} studies to be made, {len(failed)} failed, as warned of above; "
            f"the others stand: {names}"
        )


if __name__ == "__main__":
    cli.run(main)
