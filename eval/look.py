"""Makes one HTML page to look at a scan and its super-resolved version, which opens offline.

    python -m eval.look --scan=scans/knee --fine=super_resolved/knee --output=look.html
    python -m eval.look --scan=knee.nii.gz --fine=knee_sr.nii.gz --t2 --output=look.html

The page shows three linked planes. It flips and blends between the scan, interpolated, and the
super-resolved one, in either echo, and shows T2 and the uncertainty of `mrsr_tf.infer --ensemble`
over them. It states spacings, sequence, method, and how far the fine slices, thickened again, are
from the scan; it holds no name, date or path. `mrsr_tf.infer --look` makes the same page.
"""

from pathlib import Path

from absl import flags

from mrsr_tf import cli

SCAN = flags.DEFINE_string(
    "scan", None, "The scan: a folder of DICOM, or a NIfTI file.", required=True
)
FINE = flags.DEFINE_string(
    "fine", None, "What mrsr_tf.infer wrote for that scan, of the same kind.", required=True
)
T2 = flags.DEFINE_bool("t2", False, "Show T2 (analytic, T1 1200 ms) over the images, too.")
OUTPUT = flags.DEFINE_string("output", "look.html", "The page to write.")
SERIES = cli.define_series()
SLICE_AXIS = cli.define_slice_axis()
OVERWRITE = cli.define_overwrite()


def main() -> None:
    """Reads both scans and writes the page."""
    from mrsr_tf.io.derived_scans import find_derived
    from mrsr_tf.io.scans import find_scan
    from mrsr_tf.outputs import check_output
    from mrsr_tf.viewing import look

    check_output(OUTPUT.value, [SCAN.value, FINE.value])
    summary = look.write_page(
        find_scan(SCAN.value, SERIES.value),
        find_derived(Path(FINE.value)),
        Path(OUTPUT.value),
        with_t2=T2.value,
        slice_axis=SLICE_AXIS.value,
        overwrite=OVERWRITE.value,
    )
    print(summary)


if __name__ == "__main__":
    cli.run(main)
