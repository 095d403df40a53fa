r"""Computes the T2 map of a dual-echo DESS scan, in ms.

    python -m eval.t2map --input=scans/knee --output=t2/knee
    python -m eval.t2map --input=scans/knee --output=t2/knee --method=exact --t1_ms=1000
    python -m eval.t2map --input=knee.nii.gz --output=t2/knee --tr_ms=23 --te_ms=7 --flip_deg=20 \
        --spoiler_area=3132 --spoiler_duration_us=1560

The output folder holds t2_ms.nii.gz (NaN where there is no T2 in (0, 100] ms), t2_sd_ms.nii.gz (the
standard deviation of each voxel's T2 that is caused by the scan's noise), t2_ms.png and, for a
DICOM scan, dicom/ (a derived series; 0 where there is no T2). A folder of several scans gives a
folder for each; a scan that fails does not stop the others and is named at the end.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import AlreadyDone, Failures, InputError
from mrsr_tf.mri.dess import T2Method
from mrsr_tf.mri.t2 import CARTILAGE_T1_MS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mrsr_tf.io.scans import Scan
    from mrsr_tf.volume import Volume

INPUT = flags.DEFINE_string(
    "input", None, "A folder of DICOM, a NIfTI file, or a folder of several scans.", required=True
)
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The folder to write; for several scans, a folder for each in it.",
    required=True,
)
METHOD = flags.DEFINE_enum(
    "method",
    T2Method.ANALYTIC,
    list(T2Method),
    "The paper's formula (5 % too long at 50 ms, 13 % at 80), or inversion of the steady state.",
)
T1_MS = cli.define_quantity("t1_ms", CARTILAGE_T1_MS, "T1: 1200 for cartilage, 1000 for meniscus.")
TR_MS = cli.define_quantity("tr_ms", None, "Repetition time; overrides the header.")
TE_MS = cli.define_quantity("te_ms", None, "Echo time of S1; overrides the header.")
FLIP_DEG = cli.define_quantity("flip_deg", None, "Flip angle; overrides the header.", most=180)
SPOILER_AREA = cli.define_quantity(
    "spoiler_area",
    None,
    "Area of the gradient between the echoes as GE stores it (such as 3132); overrides the header.",
    least=0,
)
SPOILER_DURATION_US = cli.define_quantity(
    "spoiler_duration_us", None, "Duration of that gradient; overrides the header.", least=0
)
SERIES = cli.define_series()
SLICE_AXIS = cli.define_slice_axis()
OVERWRITE = cli.define_overwrite()


def main() -> None:
    """Computes the map of the scan, or of each scan in a folder of several."""
    from mrsr_tf.io.scans import find_scans
    from mrsr_tf.outputs import check_output

    check_output(OUTPUT.value, [INPUT.value])
    failures, output = Failures(), Path(OUTPUT.value)
    scans = find_scans(INPUT.value, SERIES.value, failures.add)
    if len(scans) == 1 and not failures.subjects:
        return _map(next(iter(scans.values())), output)
    total = len(scans) + len(failures.subjects)
    for name, scan in scans.items():
        try:
            _map(scan, output / name)
        except AlreadyDone as done:
            print(done)
        except InputError as error:
            failures.add(scan, error)
    failures.check(total, "scan", "the maps of the others are complete")


def _map(source: "Scan", output: Path) -> None:
    """Reads a scan, computes T2 and writes map, derived series and figure."""
    from mrsr_tf import __version__
    from mrsr_tf.outputs import output_folder

    scan = source.read(SLICE_AXIS.value)
    overrides = (TR_MS, TE_MS, FLIP_DEG, SPOILER_AREA, SPOILER_DURATION_US)
    sequence = {flag.name: flag.value for flag in overrides}
    configuration = {
        "version": __version__,
        "method": METHOD.value,
        "t1_ms": T1_MS.value,
        **sequence,
        "source": scan.identity,
        "slice_axis": SLICE_AXIS.value,
    }
    folder_of_map = output_folder(
        output, configuration, command="eval.t2map", overwrite=OVERWRITE.value
    )
    with folder_of_map as folder:
        print(f"{_write_maps(scan, source, sequence, folder)}: {output}")


def _write_maps(
    scan: "Volume", source: "Scan", sequence: dict[str, float | None], folder: Path
) -> str:
    """Writes all files of the output; returns a summary of the map."""
    from tqdm import tqdm

    from eval import t2_noise
    from eval.reporting.t2_figure import t2_figure
    from mrsr_tf import __version__
    from mrsr_tf.io import nifti
    from mrsr_tf.mri.noise import above_noise
    from mrsr_tf.mri.t2 import scan_t2, with_sequence

    identity, scan = scan.identity, with_sequence(scan, **sequence)
    with tqdm(total=3, desc="T2 map", unit="step", disable=None, delay=2) as progress:
        try:
            t2_ms, parameters = scan_t2(scan, method=METHOD.value, t1_ms=T1_MS.value, label=source)
        except InputError as error:
            raise InputError(f"{error}: {source}") from None
        deviation_ms = t2_noise.t2_deviation(scan, **parameters)
        tissue = above_noise(scan)
        progress.update()
        derivation = {"version": __version__, **parameters, "source": identity}
        sidecar: dict[str, Any] = {"Units": "ms", "Derivation": derivation}
        for name, image in (("t2_ms", t2_ms), ("t2_sd_ms", deviation_ms)):
            path = folder / f"{name}.nii.gz"
            nifti.write_map(image, scan, path, slice_axis=SLICE_AXIS.value, sidecar=sidecar)
        source.format.write_t2_map(t2_ms, scan, folder / "dicom", source, derivation)
        progress.update()
        title = f"T2, {METHOD.value}, T1 {T1_MS.value:g} ms"
        t2_figure(t2_ms, scan, tissue, title).savefig(folder / "t2_ms.png")
        progress.update()
    return _summary(t2_ms, tissue)


def _summary(t2_ms: "NDArray[np.floating]", tissue: "NDArray[np.bool_]") -> str:
    import numpy as np

    invalid = np.isnan(t2_ms)
    valid_t2 = t2_ms[tissue & ~invalid]
    median = f"median T2 {np.median(valid_t2):.1f} ms" if valid_t2.size else "no T2"
    return (
        f"{median}; of {tissue.sum():,} voxels above the noise {(tissue & invalid).sum():,} have "
        f"no T2 up to 100 ms, of all {invalid.size:,} voxels {invalid.sum():,}"
    )


if __name__ == "__main__":
    cli.run(main)
