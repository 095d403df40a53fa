"""Super-resolves a scan, or a folder of scans: twice the slices, both echoes, T2 preserved.

A folder of DICOM gives a folder of derived DICOM (one series per echo), a NIfTI file a NIfTI file:

    python -m mrsr_tf.infer --input=scans/knee --output=super_resolved/knee --model=runs/dual
    python -m mrsr_tf.infer --input=knee.nii.gz --output=knee_sr.nii.gz --model=exported
    python -m mrsr_tf.infer --input=scans/knee --output=interpolated/knee --method=tci

A folder of several scans gives a folder with one output for each. A scan that fails does not stop
the others and is named at the end; the same call again skips what is finished:

    python -m mrsr_tf.infer --input=scans --output=super_resolved --model=runs/dual

Of a whole exam in DICOM the DESS is taken, or the series that is named by number or description:

    python -m mrsr_tf.infer --input=exam --output=super_resolved/knee --series=5

It is a BIDS-App, too: of a BIDS dataset it writes a derivative dataset, to another folder or to one
in BIDS_DIR/derivatives. --input and --output mean the same as the first two arguments:

    python -m mrsr_tf.infer bids super_resolved participant --participant_label 01 02

The mean over eight mirrored inputs takes eight times as long, and shows how far to trust each
voxel: knee_uncertainty.nii.gz and knee_t2_uncertainty_ms.nii.gz, written beside the output, hold
the standard deviations over the eight:

    python -m mrsr_tf.infer --input=scans/knee --output=super_resolved/knee --model=runs/dual --ensemble
"""  # noqa: E501 (commands can be pasted)

from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import AlreadyDone, Failures
from mrsr_tf.upsampler_flags import UpsamplerFlags

if TYPE_CHECKING:
    from mrsr_tf.inference.batch import Study
    from mrsr_tf.inference.upsampling import Upsampler

INPUT = cli.define_input()
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The folder (for DICOM) or NIfTI file to write; for several scans, the folder of all outputs.",
    required=True,
)
UPSAMPLER = UpsamplerFlags()
SERIES = cli.define_series()
PARTICIPANT_LABEL = cli.define_participant_label()
SLICE_AXIS = cli.define_slice_axis()
LOOK = flags.DEFINE_bool(
    "look", False, "Also make NAME_look.html beside each output, a page to look at it in a browser."
)
OVERWRITE = cli.define_overwrite()


def main() -> None:
    """Finds the studies and upsamples them."""
    from mrsr_tf.inference import batch
    from mrsr_tf.io import bids_dataset
    from mrsr_tf.outputs import check_output

    source, output = Path(INPUT.value), Path(OUTPUT.value)
    check_output(output, [*bids_dataset.apart_from(source, output), UPSAMPLER.model.value])
    failures = Failures()
    studies = batch.find_studies(
        source, output, SERIES.value, failures.add, PARTICIPANT_LABEL.value
    )
    if bids_dataset.has_derivative(source, output):
        bids_dataset.write_description(output, source)
    total = len(studies) + len(failures.subjects)
    upsampler = UPSAMPLER.choose()
    options: dict[str, Any] = {"slice_axis": SLICE_AXIS.value, "overwrite": OVERWRITE.value}
    failed = _derive(studies, upsampler, is_alone=total == 1, **options)
    if LOOK.value:
        from mrsr_tf.viewing.look import write_pages

        failed += write_pages([study for study in studies if study not in failed], **options)
    failures.subjects += [str(study.source) for study in failed]
    failures.check(total, "study", "the others are complete")


def _derive(
    studies: "list[Study]", upsampler: "Upsampler", *, is_alone: bool, **options: Any
) -> "list[Study]":
    """Upsamples the studies; returns those of several that failed. One alone raises its error."""
    from mrsr_tf.inference import batch

    if not is_alone:
        return batch.derive_all(studies, upsampler, **options)
    try:
        print(batch.derive(studies[0], upsampler, **options))
    except AlreadyDone as done:
        print(done)
    return []


if __name__ == "__main__":
    cli.run(main)
